//! What is known of one exchange while it lasts: Pingora's per-request
//! context, and what the log line says in the end.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Uri};
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::EndpointId;

use crate::hop::Hop;

/// One exchange.
pub struct Exchange {
    /// When it began.
    pub started: Instant,
    /// The client's address.
    pub from: String,
    /// The method.
    pub method: Method,
    /// The target; its query may hold secrets (`buildargs`) and is not logged.
    pub target: Uri,
    /// Who is calling, once proved.
    pub caller: String,
    /// Another agent asks for itself, not for a caller of its own.
    pub errand: bool,
    /// A Portainer server is calling, itself or through another agent.
    pub portainer: bool,
    /// Another agent is calling.
    pub from_peer: bool,
    /// What is called.
    pub endpoint: Option<EndpointId>,
    /// The rule that allowed it.
    pub rule: &'static str,
    /// What the signature says of the body.
    pub body: BodyBinding,
    /// The body, where it was read and checked.
    pub held: Option<Bytes>,
    /// Where it goes, in words.
    pub to: Cow<'static, str>,
    /// Whom Pingora is to ask.
    pub hop: Option<Hop>,
    /// Any other manager would do as well.
    pub any_manager: bool,
    /// Connections that failed so far.
    pub failures: usize,
    /// The answer's status; 0 for none.
    pub status: u16,
    /// Bytes of the answer's body.
    pub out_bytes: u64,
    /// Why it was refused.
    pub refused: Option<&'static str>,
    /// The session is a dummy: nothing may be asked of it.
    pub hijacked: bool,
}

impl Exchange {
    /// An exchange that begins now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            from: String::new(),
            method: Method::GET,
            target: Uri::default(),
            caller: String::new(),
            errand: false,
            portainer: false,
            from_peer: false,
            endpoint: None,
            rule: "",
            body: BodyBinding::Empty,
            held: None,
            to: Cow::Borrowed(""),
            hop: None,
            any_manager: false,
            failures: 0,
            status: 0,
            out_bytes: 0,
            refused: None,
            hijacked: false,
        }
    }

    /// The path, as it was asked for.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The container that is inspected, if that is what is asked: the part of the
    /// path before its last.
    pub fn inspected(&self) -> Option<&str> {
        let inspects = self.endpoint == Some(EndpointId::ContainerInspect);
        inspects.then(|| self.path().rsplit('/').nth(1)).flatten()
    }

    /// The log line: one a request. What agents ask each other every few
    /// seconds, and what health checks ask, is only of interest when debugging.
    pub fn log(&self) {
        let routine = self.errand || self.endpoint == Some(EndpointId::AgentHealth);
        let level = match self.refused {
            Some(_) if self.status >= 500 => log::Level::Warn,
            None if routine => log::Level::Debug,
            _ => log::Level::Info,
        };
        let ms = self.started.elapsed().as_micros() as f64 / 1000.0;
        let (caller, from, to) = (&*self.caller, &*self.from, &*self.to);
        let (status, bytes) = (self.status, self.out_bytes);
        match self.refused {
            None => log::log!(
                target: "skep::request", level,
                caller, from, to, status, bytes, ms;
                "{} {}", self.method, self.path()
            ),
            Some(refused) => log::log!(
                target: "skep::request", level,
                caller, from, to, status, bytes, ms, refused;
                "{} {}", self.method, self.path()
            ),
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}
