//! Finds out whether an agent is silent, while a request to it waits.
//!
//! TCP does not tell: the kernel of a stopped process acknowledges in its place,
//! and a node that was cut off answers nothing at all. So a request that waits asks
//! its agent for another sign of life, again and again. An agent that is busy gives
//! one, and the request goes on waiting.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;
use tokio::time::{Instant, sleep, timeout};

use super::Connect;
use crate::forward::tunnel::Watch;
use crate::upstream::request;
use skep_filters::auth::BodyBinding;

/// The time that an agent has before it is asked for a sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time that it has to give one.
const ANSWER: Duration = Duration::from_secs(2);

/// The signs in a row that an agent has to miss before a stream through it ends.
const TRIES: u32 = 9;

/// The signs in a row that an agent has to miss before a request to it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misses {
    /// The request only reads, and another agent can answer it.
    One,
    /// The agent may have carried the request out, or there is no other.
    Several,
}

impl Misses {
    fn count(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Several => 5,
        }
    }
}

/// When each agent last gave a sign of life.
#[derive(Debug)]
pub(super) struct Signs(Mutex<Vec<Option<Instant>>>);

impl Signs {
    pub(super) fn of(servers: usize) -> Self {
        Self(Mutex::new(vec![None; servers]))
    }

    fn note(&self, server: usize) {
        let mut signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = signs.get_mut(server) {
            *last = Some(Instant::now());
        }
    }

    /// Whether another request has just asked.
    fn is_recent(&self, server: usize) -> bool {
        let signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = signs.get(server).copied().flatten();
        last.is_some_and(|last| last.elapsed() < PATIENCE)
    }
}

impl Connect {
    /// Resolves when an agent has missed so many signs of life in a row.
    pub(super) async fn silent(&self, server: usize, misses: Misses) {
        let mut missed = 0;
        while missed < misses.count() {
            sleep(PATIENCE).await;
            missed = if self.gives_a_sign(server).await {
                0
            } else {
                missed + 1
            };
        }
    }

    async fn gives_a_sign(&self, server: usize) -> bool {
        let server = server % self.servers.len();
        if self.signs.is_recent(server) {
            return true;
        }
        let answered = timeout(ANSWER, self.ask(server)).await;
        let answered = answered.is_ok_and(|answer| answer.is_ok());
        if answered {
            self.signs.note(server);
        }
        answered
    }

    /// Asks the agent alone, not its engine, over a new connection. Any answer is a
    /// sign of life, a refusal too.
    async fn ask(&self, server: usize) -> Result<()> {
        let mut head = request::get("/skep/v1/health")?;
        self.prepare(&mut head, BodyBinding::Empty, server)?;
        let peer = self.peer(server).await?;
        let mut connection = self.client.dedicated(&peer).await?;
        connection.write_request_header(Box::new(head)).await?;
        connection.read_response().await?;
        Ok(())
    }
}

/// Watches the agent of a request.
pub(super) struct StreamWatch<'a> {
    pub(super) connect: &'a Connect,
    pub(super) server: usize,
    /// The signs that it may miss before it has answered.
    pub(super) misses: Misses,
    /// Whether the time may be asked for, because the agent has refused this one.
    pub(super) asks_time: bool,
}

impl Watch for StreamWatch<'_> {
    async fn lost(&self) {
        self.connect.silent(self.server, self.misses).await;
    }

    async fn doubtful(&self) {
        self.connect.silent(self.server, Misses::One).await;
    }

    fn accepts(&self, answer: &ResponseHeader) -> bool {
        !(self.asks_time && answer.status == StatusCode::UNAUTHORIZED)
    }

    async fn answers(&self) -> bool {
        self.connect.gives_a_sign(self.server).await
    }

    fn try_for(&self) -> Duration {
        PATIENCE
    }

    fn tries(&self) -> u32 {
        TRIES
    }

    fn last_words(&self) -> String {
        let agent = self.connect.server(self.server);
        format!(
            "skep connect: {agent} does not answer any more, so this stream has ended; the process may still run"
        )
    }
}
