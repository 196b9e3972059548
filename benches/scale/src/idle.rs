//! What the agent uses while nothing happens.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::cluster::Cluster;

/// Per second, but for the memory.
pub(crate) struct Idle {
    /// Milliseconds of processor time.
    pub(crate) cpu: f64,
    /// Kilobytes to and from other agents, in both directions.
    pub(crate) kilobytes: f64,
    /// Questions to the engine.
    pub(crate) questions: f64,
    /// In MiB.
    pub(crate) memory: f64,
}

pub(crate) async fn measure(cluster: &Cluster, time: Duration) -> anyhow::Result<Idle> {
    let bytes = || cluster.crowd.bytes() + cluster.door.bytes();
    let questions = || cluster.engine.requests().len();
    let (cpu, sent, asked) = (cluster.agent.cpu()?, bytes(), questions());
    let began = Instant::now();
    sleep(time).await;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Idle {
        cpu: (cluster.agent.cpu()? - cpu).as_secs_f64() * 1e3 / seconds,
        kilobytes: (bytes() - sent) as f64 / 1e3 / seconds,
        questions: (questions() - asked) as f64 / seconds,
        memory: cluster.agent.rss()? as f64 / f64::from(1 << 20),
    })
}
