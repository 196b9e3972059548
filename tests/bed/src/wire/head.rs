//! The head of a request or a response: its first line, its header fields in
//! order with repetitions, and the original bytes.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// More than any engine, agent or client accepts.
const LONGEST: u64 = 1024 * 1024;

/// The head of a request or of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The request line or the status line.
    pub start: String,
    /// All fields in their order, including repeated ones.
    pub headers: Vec<(String, String)>,
    /// The original bytes, including the empty line at the end.
    pub raw: Vec<u8>,
}

impl Head {
    /// The value of the first field of that name (in any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        let field = fields.find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(&field.1)
    }

    /// The values of all fields of that name (in any case).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, v)| v.as_str())
    }

    /// Whether a list field has this member (both in any case).
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|m| m.trim().eq_ignore_ascii_case(member))
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> io::Result<u16> {
        let code = self.start.split(' ').nth(1);
        code.and_then(|code| code.parse().ok())
            .ok_or_else(|| invalid(format!("not a status line: {:?}", self.start)))
    }

    /// Reads one head; `None` if the other end closed before its first byte.
    pub(crate) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut raw = Vec::new();
        let mut from = from.take(LONGEST);
        loop {
            let before = raw.len();
            from.read_until(b'\n', &mut raw).await?;
            match &raw[before..] {
                [] if before == 0 => return Ok(None),
                b"\r\n" | b"\n" => return Self::parse(raw).map(Some),
                [.., b'\n'] => {}
                _ => return Err(cut("in a head")),
            }
        }
    }

    fn parse(raw: Vec<u8>) -> io::Result<Self> {
        let text = String::from_utf8_lossy(&raw);
        let mut lines = text.lines();
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.take_while(|line| !line.is_empty()).map(field);
        let headers = headers.collect::<io::Result<_>>()?;
        Ok(Self {
            start,
            headers,
            raw,
        })
    }
}

fn field(line: &str) -> io::Result<(String, String)> {
    match line.split_once(':') {
        Some((name, value)) => Ok((name.to_owned(), value.trim().to_owned())),
        None => Err(invalid(format!("not a header field: {line:?}"))),
    }
}

pub(super) fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

pub(super) fn cut(place: &str) -> io::Error {
    let why = format!("the connection ended {place}");
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_keeps_order_repetition_and_bytes() {
        let bytes = b"GET / HTTP/1.1\r\nB: 1\r\na:2 \r\nb: 3, x\r\n\r\nbody";
        let mut from = &bytes[..];
        let head = Head::read(&mut from).await.unwrap().unwrap();
        assert_eq!(head.start, "GET / HTTP/1.1");
        assert_eq!(head.all("b").collect::<Vec<_>>(), ["1", "3, x"]);
        assert_eq!(head.header("A"), Some("2"));
        assert!(head.lists("B", "X") && !head.lists("a", "x"));
        assert_eq!(head.raw, bytes[..bytes.len() - 4]);
        assert_eq!(from, b"body");
    }

    #[tokio::test]
    async fn a_close_is_an_error_only_inside_a_head() {
        assert!(Head::read(&mut &b""[..]).await.unwrap().is_none());
        for cut in [
            "HTTP/1.1 2",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nA: b",
        ] {
            let error = Head::read(&mut cut.as_bytes()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut:?}");
        }
    }

    #[tokio::test]
    async fn an_invalid_field_or_status_line_is_an_error() {
        assert!(
            Head::read(&mut &b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"[..])
                .await
                .is_err()
        );
        let head = Head::read(&mut &b"%!garbage\r\n\r\n"[..]).await;
        assert!(head.unwrap().unwrap().status().is_err());
    }
}
