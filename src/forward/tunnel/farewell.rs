//! Tells a client why its stream ends, where the stream has a place for that.
//!
//! In Docker's multiplexed streams a frame of type 3 is an error of the daemon
//! (moby `pkg/stdcopy`, `Systemerr`), which clients print. A terminal gets a line. In
//! any other stream a message would be data, and the connection just breaks.

use http::header::CONTENT_TYPE;
use pingora::http::ResponseHeader;

/// The type of a frame with an error of the daemon.
const SYSTEM_ERROR: u8 = 3;

const HEADER: usize = 8;

/// Follows the bytes to a client, so that a message does not fall into a frame.
#[derive(Debug)]
pub(crate) struct Farewell {
    form: Form,
    /// The part of a frame's header that was sent.
    header: Vec<u8>,
    /// The bytes that are left of a frame.
    left: u64,
    is_empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Docker's frames.
    Frames,
    /// A terminal, or frames: engines before API 1.42 give both the same type.
    Either,
    Terminal,
    Other,
}

impl Farewell {
    pub(crate) fn of(answer: &ResponseHeader) -> Self {
        let kind = answer.headers.get(CONTENT_TYPE);
        let form = match kind.and_then(|kind| kind.to_str().ok()) {
            Some("application/vnd.docker.multiplexed-stream") => Form::Frames,
            Some("application/vnd.docker.raw-stream") => Form::Either,
            _ => Form::Other,
        };
        Self {
            form,
            header: Vec::with_capacity(HEADER),
            left: 0,
            is_empty: true,
        }
    }

    /// Records bytes that were sent to the client.
    pub(crate) fn sent(&mut self, mut bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        while !bytes.is_empty() && matches!(self.form, Form::Frames | Form::Either) {
            let length = usize::try_from(self.left).unwrap_or(usize::MAX);
            let rest = &bytes[length.min(bytes.len())..];
            self.left -= (bytes.len() - rest.len()) as u64;
            bytes = rest;
            let more = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..more]);
            bytes = &bytes[more..];
            if !is_header(&self.header) {
                self.form = match self.form {
                    Form::Either => Form::Terminal,
                    _ => Form::Other,
                };
            } else if let [_, _, _, _, length @ ..] = &self.header[..]
                && let Ok(length) = length.try_into()
            {
                self.left = u32::from_be_bytes(length).into();
                self.header.clear();
            }
        }
    }

    /// The bytes that tell the client, if the stream has a place for them now.
    pub(crate) fn words(&self, text: &str) -> Option<Vec<u8>> {
        let between_frames = self.left == 0 && self.header.is_empty();
        match self.form {
            Form::Either if self.is_empty => None,
            Form::Frames | Form::Either if between_frames => {
                let length = u32::try_from(text.len()).ok()?.to_be_bytes();
                let mut frame = vec![SYSTEM_ERROR, 0, 0, 0];
                frame.extend_from_slice(&length);
                frame.extend_from_slice(text.as_bytes());
                Some(frame)
            }
            Form::Terminal => Some(format!("\r\n{text}\r\n").into_bytes()),
            Form::Frames | Form::Either | Form::Other => None,
        }
    }
}

/// Whether this begins as the header of a frame does.
fn is_header(bytes: &[u8]) -> bool {
    let kind = bytes.first().is_none_or(|kind| *kind <= SYSTEM_ERROR);
    kind && bytes.iter().skip(1).take(3).all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(kind: &str, pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.insert_header(CONTENT_TYPE, kind).unwrap();
        let mut farewell = Farewell::of(&head);
        for piece in pieces {
            farewell.sent(piece);
        }
        farewell.words("bye")
    }

    #[test]
    fn a_message_stands_only_between_frames_or_in_a_terminal() {
        const FRAMES: &str = "application/vnd.docker.multiplexed-stream";
        const RAW: &str = "application/vnd.docker.raw-stream";
        let frame: &[u8] = b"\x01\0\0\0\0\0\0\x02hi";
        let two = [frame, frame].concat();
        let words: &[u8] = b"\x03\0\0\0\0\0\0\x03bye";
        let line: &[u8] = b"\r\nbye\r\n";
        for (kind, pieces, expected) in [
            (FRAMES, &[][..], Some(words)),
            (FRAMES, &[frame][..], Some(words)),
            (FRAMES, &[&two[..]][..], Some(words)),
            (
                FRAMES,
                &[&two[..3], &two[3..13], &two[13..]][..],
                Some(words),
            ),
            (FRAMES, &[&two[..3]][..], None),
            (FRAMES, &[&two[..9]][..], None),
            (FRAMES, &[&two[..12]][..], None),
            (FRAMES, &[&b"$ "[..]][..], None),
            (RAW, &[][..], None),
            (RAW, &[&b"$ "[..]][..], Some(line)),
            (RAW, &[&b"$"[..], b" ls"][..], Some(line)),
            (RAW, &[frame, frame][..], Some(words)),
            (RAW, &[&frame[..9]][..], None),
            ("application/json", &[&b"{}"[..]][..], None),
            ("application/x-tar", &[][..], None),
        ] {
            let found = after(kind, pieces);
            assert_eq!(found.as_deref(), expected, "{kind} {pieces:?}");
        }
    }
}
