//! The in-process test bed: fake Docker engines and a raw HTTP client.
//!
//! Both ends of a test speak HTTP/1.1 on plain sockets, without an HTTP
//! library between the test and the bytes: so hijacked exchanges, half-closed
//! connections and broken answers are possible, and what arrives can be
//! compared byte for byte. Nothing here knows the agent; it stands between.

mod cable;
mod client;
mod engine;
pub mod fixture;
mod patience;
mod payload;
mod wire;

pub use cable::Cable;
pub use client::{Client, Connection, Hijack, RawStream, Response, Streaming};
pub use engine::{Behaviour, EngineBuilder, FakeEngine, Seen, tail};
pub use patience::{LIMIT, eventually};
pub use payload::{Noise, Sum, Tally, noise, sum};
pub use wire::{Head, chunk};
