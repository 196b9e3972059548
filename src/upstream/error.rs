//! Interprets errors of connections to upstreams.

use pingora::{Error, ErrorSource, ErrorType};

use super::words;

/// Whether a call never reached its server. No byte was sent, so the caller may
/// ask another server. Errors of the client have some of the same types.
pub(crate) fn was_not_reached(error: &Error) -> bool {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, SocketError,
        TLSHandshakeFailure, TLSHandshakeTimedout,
    };
    let kinds = [
        ConnectError,
        ConnectNoRoute,
        ConnectRefused,
        ConnectTimedout,
        SocketError,
        TLSHandshakeFailure,
        TLSHandshakeTimedout,
    ];
    *error.esource() != ErrorSource::Downstream && kinds.contains(error.etype())
}

/// Whether a connection was not made in time: its server may only be slow.
pub(crate) fn is_late(error: &Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout
    )
}

/// The innermost cause of an error in a few words.
///
/// With TLS 1.3 a client learns only on its first read that its certificate was
/// refused (RFC 8446 §4.4.2.4), so Pingora reports a read error.
pub(crate) fn explain(error: &Error) -> String {
    if is_late(error) {
        return "connecting took too long".to_owned();
    }
    let whole = error.to_string();
    let reason = words::plain(&innermost(error));
    if whole.contains("CertificateRequired") || whole.contains("fatal alert") {
        return format!("the TLS handshake was refused ({reason})");
    }
    reason
}

fn innermost(error: &Error) -> String {
    let context = error.context.as_ref().map(|c| c.as_str());
    let own = || match context {
        Some(context) if !context.is_empty() => context.to_owned(),
        _ => words::of_type(error.etype()).to_owned(),
    };
    match &error.cause {
        Some(cause) => match cause.downcast_ref::<Box<Error>>() {
            Some(inner) => innermost(inner),
            // Of a failed handshake, Pingora's cause has only our own address;
            // the context says what happened.
            None if cause.to_string().starts_with("local address ") => own(),
            None => cause.to_string(),
        },
        None => own(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_handshake_is_explained_by_its_context_and_not_by_our_address() {
        let context = "its certificate is not valid";
        let from = "local address 10.0.0.1:40000";
        let failed = Error::because(ErrorType::TLSHandshakeFailure, context, from);
        assert_eq!(explain(&failed), context);
        let failed = Error::because(ErrorType::ConnectRefused, "", "Connection refused");
        assert_eq!(explain(&failed), "Connection refused");
        let closed = Error::because(
            ErrorType::ReadError,
            "reading",
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/x",
        );
        let closed = Error::because(ErrorType::ReadError, "", closed);
        assert!(!explain(&closed).contains("https"), "{}", explain(&closed));
        assert_eq!(
            explain(&Error::new(ErrorType::ConnectNoRoute)),
            "no route to its address"
        );
    }
}
