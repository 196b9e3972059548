//! Load on one front: a number of callers, each with an open connection, send one
//! request after the other until the time is over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::connection::{Connection, Tls};
use crate::numbers::{ms, quantile};

/// The number of concurrent callers.
pub(crate) const CALLERS: usize = 32;

/// The result of a load.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// The number of answers.
    pub(crate) answers: usize,
    /// Answers per second.
    pub(crate) rate: f64,
    /// The median latency, in milliseconds.
    pub(crate) p50: f64,
    /// The 99th percentile of the latency, in milliseconds.
    pub(crate) p99: f64,
}

/// Runs until the time is over or the requests are used up.
pub(crate) async fn run(
    address: SocketAddr,
    tls: &Tls,
    requests: &Arc<Vec<Vec<u8>>>,
    time: Duration,
) -> anyhow::Result<Load> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::with_capacity(CALLERS);
    for _ in 0..CALLERS {
        let mut connection = Connection::open(address, tls).await?;
        // The front opens its own connections here.
        let request = requests.get(next.fetch_add(1, Ordering::Relaxed));
        connection.ask(request.context("too few requests")?).await?;
        connections.push(connection);
    }
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for mut connection in connections {
        let (next, requests) = (next.clone(), requests.clone());
        callers.spawn(async move {
            let mut latencies = Vec::new();
            let mut before = start;
            while before - start < time {
                let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                connection.ask(request).await?;
                let now = Instant::now();
                latencies.push(ms(now - before));
                before = now;
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(caller) = callers.join_next().await {
        latencies.extend(caller??);
    }
    Ok(Load {
        answers: latencies.len(),
        rate: latencies.len() as f64 / start.elapsed().as_secs_f64(),
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
    })
}
