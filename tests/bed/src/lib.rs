//! The in-process test bed: fake Docker engines and a raw HTTP client.
//!
//! Both ends of a test speak HTTP/1.1 on plain sockets, without an HTTP
//! library between the test and the bytes. So a test can hijack exchanges,
//! half-close connections, break answers, and compare every byte that arrives.
//! Nothing here knows the agent, which stands between the two ends.

mod cable;
mod client;
mod crowd;
mod engine;
pub mod fixture;
mod payload;
mod wait;
mod wire;

pub use cable::Cable;
pub use client::{Client, Connection, Hijack, RawStream, Response, Streaming};
pub use crowd::{Answer, Credentials, Crowd, Reply};
pub use engine::{Behaviour, Creation, EngineBuilder, FakeEngine, Seen, SwarmStore, tail};
pub use payload::{Noise, Sum, Tally, noise, sum};
pub use wait::{LIMIT, eventually};
pub use wire::{Head, chunk};
