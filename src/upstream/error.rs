//! The meaning of an error from a connection upstream.

use pingora::{Error, ErrorSource, ErrorType};

/// Whether a call never reached its server. Nothing was sent, so another server
/// may be asked. Errors of the client have some of the same types.
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

/// The innermost cause of an error in a few words.
///
/// With TLS 1.3 a client hears that its certificate was refused only on its
/// first read (RFC 8446 §4.4.2.4), so the framework calls it a read error.
pub(crate) fn explain(error: &Error) -> String {
    if matches!(
        error.etype(),
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout
    ) {
        return "no connection could be made in time".to_owned();
    }
    let whole = error.to_string();
    if whole.contains("CertificateRequired") || whole.contains("fatal alert") {
        return format!("the TLS handshake was refused ({})", innermost(error));
    }
    innermost(error)
}

fn innermost(error: &Error) -> String {
    let context = error.context.as_ref().map(|c| c.as_str());
    let own = || context.unwrap_or(error.etype().as_str()).to_owned();
    match &error.cause {
        Some(cause) => match cause.downcast_ref::<Box<Error>>() {
            Some(inner) => innermost(inner),
            // All that the framework says of the cause of a failed handshake
            // is from where we called; what happened is in the context.
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
    fn a_failed_handshake_is_explained_by_what_happened_and_not_by_from_where() {
        let context = "invalid peer certificate";
        let from = "local address 10.0.0.1:40000";
        let failed = Error::because(ErrorType::TLSHandshakeFailure, context, from);
        assert_eq!(explain(&failed), context);
        let failed = Error::because(ErrorType::ConnectRefused, "", "Connection refused");
        assert_eq!(explain(&failed), "Connection refused");
    }
}
