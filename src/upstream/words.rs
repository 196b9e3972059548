//! Says in plain words what went wrong with a connection. The texts of libraries have
//! names of types and links that help nobody who calls an agent.

use pingora::ErrorType;

/// What an error of this type means, where its cause says no more.
pub(super) fn of_type(kind: &ErrorType) -> &'static str {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectionClosed, H1Error, H2Error,
        HandshakeError, InvalidHTTPHeader, ReadError, ReadTimedout, SocketError,
        TLSHandshakeFailure, WriteError, WriteTimedout,
    };
    match kind {
        ConnectRefused => "connection refused",
        ConnectNoRoute => "no route to its address",
        ConnectError | SocketError => "no connection could be made",
        TLSHandshakeFailure | HandshakeError => "the TLS handshake failed",
        ConnectionClosed => CLOSED,
        ReadError => "the connection broke before the answer was complete",
        WriteError => "the connection broke before the request was sent",
        ReadTimedout => "no answer came in time",
        WriteTimedout => "it took the request too slowly",
        InvalidHTTPHeader | H1Error | H2Error => "its answer is not valid HTTP",
        _ => "the connection failed",
    }
}

const CLOSED: &str = "the connection was closed before the answer was complete";

/// The beginnings and parts of libraries' texts, and what they mean.
const KNOWN: &[(&str, &str)] = &[
    ("close_notify", CLOSED),
    ("unexpected end of file", CLOSED),
    ("early eof", CLOSED),
    ("UnknownIssuer", "its certificate is from another cluster"),
    ("NotValidForName", "its certificate is for another name"),
    (
        "NotValidYet",
        "its certificate is not valid yet: compare the clocks of both nodes",
    ),
    ("Expired", "its certificate has expired"),
    (
        "CertificateRequired",
        "it wants a certificate of this cluster",
    ),
    (
        "UnknownCA",
        "it does not know the authority of this cluster",
    ),
    (
        "BadCertificate",
        "it does not accept the certificate of this agent",
    ),
    ("invalid peer certificate", "its certificate is not valid"),
    ("fatal alert", "it refused the TLS connection"),
];

/// A library's text without type names, links and numbers.
pub(super) fn plain(text: &str) -> String {
    let known = KNOWN.iter().find(|(part, _)| text.contains(part));
    if let Some((_, words)) = known {
        return (*words).to_owned();
    }
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.split("https://docs.rs").next().unwrap_or_default();
    text.trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_a_link_a_number_of_the_system_or_the_name_of_a_type() {
        for (text, words) in [
            (
                "peer closed connection without sending TLS close_notify: \
                 https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof",
                CLOSED,
            ),
            ("Connection refused (os error 111)", "Connection refused"),
            (
                "Connection reset by peer (os error 104)",
                "Connection reset by peer",
            ),
            (
                "invalid peer certificate: UnknownIssuer",
                "its certificate is from another cluster",
            ),
            (
                "invalid peer certificate: Other(X)",
                "its certificate is not valid",
            ),
            (
                "received fatal alert: HandshakeFailure",
                "it refused the TLS connection",
            ),
            ("see this: https://docs.rs/x", "see this"),
            (
                "No such file or directory (os error 2)",
                "No such file or directory",
            ),
        ] {
            assert_eq!(plain(text), words);
        }
        for kind in [
            ErrorType::ConnectionClosed,
            ErrorType::H1Error,
            ErrorType::ReadError,
        ] {
            assert!(of_type(&kind).contains(' '));
        }
    }
}
