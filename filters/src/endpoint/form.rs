//! Describes the form of a request and its response: method, body, and the bytes
//! after the head.
//!
//! It tells the proxy whether it may buffer, must flush, or must pass the
//! connection to the tunnel.

use std::fmt;

use super::check::BodyCheck;

/// The method of a table row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET. It does not imply HEAD: gorilla/mux serves HEAD only where it is registered.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// Every method but OPTIONS: engines before 28.0 register `/debug` without
    /// one, so there `POST /debug/pprof/profile` works like a GET.
    Any,
    /// `PRI`, the first word of HTTP/2's connection preface (RFC 9113 §3.4); not a request's method.
    Preface,
}

impl Method {
    /// As in a request line; `*` for [`Method::Any`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Any => "*",
            Self::Preface => "PRI",
        }
    }

    /// Whether a request with this method reaches the row. Methods are
    /// case-sensitive (RFC 9110 §9.1), as they are to the engine.
    pub fn covers(self, method: &str) -> bool {
        self == Self::Any || self.as_str() == method
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The form of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The endpoint reads none.
    None,
    /// One JSON document, small enough to be inspected, and what a policy
    /// checks in it.
    Json(BodyCheck),
    /// Bytes of any length, mostly tar. Never buffer them.
    Stream,
    /// A form with a file of any length, which the agent reads itself. Never
    /// buffer it.
    Form,
}

impl Body {
    /// Whether it may be of any length.
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Stream | Self::Form => true,
            Self::None | Self::Json(_) => false,
        }
    }
}

/// The form of a successful response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Only status and headers.
    Empty,
    /// A few bytes of plain text.
    Text,
    /// One JSON document.
    Json,
    /// Flush each part as it arrives, for as long as it takes: logs, events,
    /// progress, `wait` (headers at once, the document when the container ends).
    Stream,
    /// A tar archive.
    Tar,
    /// The connection itself becomes the stream, with or without `Upgrade`.
    Hijack,
    /// As [`Hijack`](Self::Hijack), and the stream is HTTP/2.
    Http2,
    /// A WebSocket.
    WebSocket,
}

impl Wire {
    /// The protocol that a client may name in `Upgrade`; `None` where the
    /// connection stays HTTP.
    pub const fn upgrade(self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::Text | Self::Json | Self::Stream | Self::Tar => None,
            Self::Hijack => Some("tcp"),
            Self::Http2 => Some("h2c"),
            Self::WebSocket => Some("websocket"),
        }
    }

    /// Whether the connection becomes a tunnel.
    pub const fn is_tunnel(self) -> bool {
        self.upgrade().is_some()
    }
}
