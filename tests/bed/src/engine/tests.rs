//! The fake engine through the raw client: the behaviour that tests rely on.

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
