//! Replaces the refusals that Pingora sends by itself.
//!
//! Pingora answers a malformed request with an empty 400 (405 for `CONNECT`), but
//! every error of this agent is `{"message": …}`. No hook sees these answers, so
//! the connection replaces them on their way out.

/// The mark of Pingora's own answers; an engine's `Server` is `Docker/…`, and the
/// agent's own answers have none.
const SIGNED: &[u8] = b"Server: Pingora";

/// The replacement of a refusal, with these additional header lines; `None` if
/// `head` is any other answer.
pub(super) fn explain(head: &[u8], lines: &str) -> Option<Vec<u8>> {
    let (status, message) = if head.starts_with(b"HTTP/1.1 400 ") {
        ("400 Bad Request", "the request is not well-formed HTTP/1.1")
    } else if head.starts_with(b"HTTP/1.1 405 ") {
        ("405 Method Not Allowed", "CONNECT is not served here")
    } else {
        return None;
    };
    let signed = head.windows(SIGNED.len()).any(|window| window == SIGNED);
    if !signed || !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    Some(answer(status, message, lines))
}

/// The refusal of a head that is too long.
pub(super) fn too_long(lines: &str) -> Vec<u8> {
    answer(
        "431 Request Header Fields Too Large",
        "the head of the request is longer than 256 KiB",
        lines,
    )
}

fn answer(status: &str, message: &str, lines: &str) -> Vec<u8> {
    let body = format!("{{\"message\":\"{message}\"}}\n");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         {lines}Connection: close\r\n\r\n{body}"
    );
    answer.into_bytes()
}
