//! The fake engine, seen through the raw client: what a test relies on.

mod answers;
mod faults;
mod hijacks;
mod images;
mod transfers;

use super::{Behaviour, EngineBuilder, FakeEngine, tail};
use crate::{Client, eventually, fixture};

async fn start(engine: EngineBuilder) -> (FakeEngine, Client) {
    let engine = engine.start().await.unwrap();
    let client = Client::unix(engine.socket());
    (engine, client)
}
