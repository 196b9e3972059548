//! The end of a body, and its bytes as they arrive.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::head::{Head, cut, invalid};

/// The longest line between two chunks.
const LONGEST_LINE: u64 = 4096;

/// The rest of one body.
#[derive(Debug)]
pub(crate) enum Body {
    Ended,
    Length(u64),
    /// The rest of the current chunk; 0 before each chunk's size line.
    Chunked(u64),
    UntilClose,
}

impl Body {
    pub(crate) fn of_request(head: &Head) -> io::Result<Self> {
        Ok(Self::declared(head)?.unwrap_or(Self::Ended))
    }

    /// RFC 9112 section 6.3: the status and the method have precedence.
    pub(crate) fn of_response(head: &Head, method: &str) -> io::Result<Self> {
        let status = head.status()?;
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Self::Ended);
        }
        Ok(Self::declared(head)?.unwrap_or(Self::UntilClose))
    }

    fn declared(head: &Head) -> io::Result<Option<Self>> {
        if head.lists("Transfer-Encoding", "chunked") {
            return Ok(Some(Self::Chunked(0)));
        }
        let Some(length) = head.header("Content-Length") else {
            return Ok(None);
        };
        match length.parse() {
            Ok(0) => Ok(Some(Self::Ended)),
            Ok(n) => Ok(Some(Self::Length(n))),
            Err(_) => Err(invalid(format!("not a length: {length:?}"))),
        }
    }

    /// The next bytes, from one chunk at most; `None` at the end.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends before the body does.
    pub(crate) async fn next(
        &mut self,
        from: &mut (impl AsyncBufRead + Unpin),
    ) -> io::Result<Option<Bytes>> {
        if let Self::Chunked(0) = self {
            match size(&line(from).await?)? {
                0 => {
                    while !line(from).await?.is_empty() {}
                    *self = Self::Ended;
                }
                n => *self = Self::Chunked(n),
            }
        }
        let most = match self {
            Self::Ended => return Ok(None),
            Self::Length(n) | Self::Chunked(n) => *n,
            Self::UntilClose => u64::MAX,
        };
        let ready = from.fill_buf().await?;
        let n = ready.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let bytes = Bytes::copy_from_slice(&ready[..n]);
        from.consume(n);
        self.taken(n as u64, from).await?;
        Ok(match self {
            Self::Ended if bytes.is_empty() => None,
            _ => Some(bytes),
        })
    }

    async fn taken(&mut self, n: u64, from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
        match self {
            Self::UntilClose if n == 0 => *self = Self::Ended,
            Self::UntilClose | Self::Ended => {}
            Self::Length(_) | Self::Chunked(_) if n == 0 => return Err(cut("in a body")),
            Self::Length(left) if *left == n => *self = Self::Ended,
            Self::Length(left) => *left -= n,
            Self::Chunked(left) => {
                *left -= n;
                if *left == 0 && !line(from).await?.is_empty() {
                    return Err(invalid("a chunk is longer than its size says".into()));
                }
            }
        }
        Ok(())
    }
}

/// One chunk on the wire. It must not be empty: an empty chunk ends the body.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

fn size(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| invalid(format!("not a chunk size: {line:?}")))
}

async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    from.take(LONGEST_LINE).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None => Err(cut("between chunks")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(method: &str, bytes: &str) -> io::Result<(Vec<String>, String)> {
        let mut from = bytes.as_bytes();
        let head = Head::read(&mut from).await?.unwrap();
        let mut body = Body::of_response(&head, method)?;
        let mut pieces = Vec::new();
        while let Some(piece) = body.next(&mut from).await? {
            pieces.push(String::from_utf8(piece.to_vec()).unwrap());
        }
        assert!(body.next(&mut from).await?.is_none());
        Ok((pieces, String::from_utf8(from.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn a_body_ends_where_its_head_says() {
        let chunked =
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n";
        let cases: [(&str, u16, &str, &[&str], &str); 6] = [
            (
                "GET",
                200,
                "Content-Length: 3\r\n\r\nabcnext",
                &["abc"],
                "next",
            ),
            (
                "GET",
                200,
                &format!("{chunked}next"),
                &["abc", "de"],
                "next",
            ),
            ("GET", 200, "\r\nto the end", &["to the end"], ""),
            ("HEAD", 200, "Content-Length: 3\r\n\r\nnext", &[], "next"),
            ("GET", 204, "\r\nnext", &[], "next"),
            ("POST", 101, "Upgrade: tcp\r\n\r\nraw", &[], "raw"),
        ];
        for (method, status, rest, pieces, left) in cases {
            let answer = format!("HTTP/1.1 {status} X\r\n{rest}");
            let read = read(method, &answer).await.unwrap();
            assert_eq!(read.0, pieces, "{answer:?}");
            assert_eq!(read.1, left, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_truncated_body_is_an_error() {
        for rest in [
            "Content-Length: 4\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ] {
            let error = read("GET", &format!("HTTP/1.1 200 OK\r\n{rest}")).await;
            let kind = error.unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::UnexpectedEof, "{rest:?}");
        }
    }

    #[tokio::test]
    async fn a_written_chunk_reads_back() {
        let body = chunk(b"some\r\nbytes");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            String::from_utf8(body).unwrap()
        );
        assert_eq!(read("GET", &answer).await.unwrap().0, ["some\r\nbytes"]);
    }
}
