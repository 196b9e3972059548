//! Measures the fronts in turn. Each round sends every front the same requests, so
//! that a ratio compares measurements close in time. The table has the medians of
//! the rounds' ratios.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{LARGE, PING, SMALL};
use crate::fronts::{Front, Fronts};
use crate::load::{self, Load};
use crate::numbers::median;
use crate::{say, signed};

/// More answers per second than any front sends on one thread.
const MOST: f64 = 60_000.0;

/// One front's turn.
pub(crate) struct Turn {
    pub(crate) load: Load,
    /// Processor time of the front for each answer, in microseconds.
    pub(crate) cpu: f64,
}

/// Prints a line for each front and answer when its rounds are over.
pub(crate) async fn measure(fronts: &Fronts, rounds: usize, time: Duration) -> anyhow::Result<()> {
    say(&format!(
        "\nTLS fronts of one engine, one thread each, {} callers; every request is signed, and skep \
         checks it.\nMedians of {rounds} rounds of {time:?} each.\n",
        load::CALLERS
    ))?;
    say(
        "answer  front      req/s  p50 ms  p99 ms  cpu µs │ of HAProxy: req/s   p99 │ of Pingora: req/s   p99   cpu",
    )?;
    for (shown, path) in [("2 B", PING), ("2 KB", SMALL), ("80 KB", LARGE)] {
        let mut all = vec![&fronts.haproxy, &fronts.bare, &fronts.skep];
        all.extend(&fronts.baseline);
        let mut turns: Vec<Vec<Turn>> = all.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            let count = (MOST * time.as_secs_f64()) as usize;
            let requests = Arc::new(signed::requests(&fronts.signers, path, None, count)?);
            let old = match &fronts.old {
                Some(signers) => Arc::new(signed::requests(signers, path, None, count)?),
                None => Arc::clone(&requests),
            };
            // The fronts take turns in being first.
            for n in 0..all.len() {
                let n = (n + round) % all.len();
                // Nor always after the same neighbour.
                let n = if round % 2 == 0 { n } else { all.len() - 1 - n };
                let is_baseline = n == 3;
                let requests = if is_baseline { &old } else { &requests };
                turns[n].push(turn(fronts, all[n], requests, time).await?);
            }
        }
        for (front, own) in all.iter().zip(&turns) {
            say(&row(shown, front.name, own, &turns))?;
        }
        if let [_, _, skep, baseline] = &turns[..] {
            say(&format!(
                "{shown:<6}  skep compared with the baseline: req/s {:.2}, p99 {:.2}, cpu {:.2}",
                ratio(skep, baseline, |t| t.load.rate),
                ratio(skep, baseline, |t| t.load.p99),
                ratio(skep, baseline, |t| t.cpu),
            ))?;
        }
    }
    say("\nGoal: skep at least 0.90 of Pingora in req/s.")
}

pub(crate) async fn turn(
    fronts: &Fronts,
    front: &Front,
    requests: &Arc<Vec<Vec<u8>>>,
    time: Duration,
) -> anyhow::Result<Turn> {
    let before = front.process.cpu()?;
    let load = load::run(front.address, &fronts.tls, requests, time).await?;
    let cpu = front.process.cpu()? - before;
    let cpu = cpu.as_secs_f64() * 1e6 / load.answers as f64;
    Ok(Turn { load, cpu })
}

/// The median of the rounds' ratios.
fn ratio(own: &[Turn], others: &[Turn], what: fn(&Turn) -> f64) -> f64 {
    let pairs = own.iter().zip(others);
    median(
        &pairs
            .map(|(own, other)| what(own) / what(other))
            .collect::<Vec<_>>(),
    )
}

fn row(shown: &str, name: &str, own: &[Turn], turns: &[Vec<Turn>]) -> String {
    let (haproxy, bare) = (&turns[0], &turns[1]);
    let rate = |t: &Turn| t.load.rate;
    let p99 = |t: &Turn| t.load.p99;
    let cpu = |t: &Turn| t.cpu;
    let of = |others: &[Turn], what: fn(&Turn) -> f64| ratio(own, others, what);
    let middle = |what: fn(&Turn) -> f64| median(&own.iter().map(what).collect::<Vec<_>>());
    format!(
        "{shown:<6}  {name:<8} {:>7.0}  {:>6.2}  {:>6.2}  {:>6.1} │ {:>17.2}  {:>4.2} │ {:>17.2}  {:>4.2}  {:>4.2}",
        middle(rate),
        middle(|t| t.load.p50),
        middle(p99),
        middle(cpu),
        of(haproxy, rate),
        of(haproxy, p99),
        of(bare, rate),
        of(bare, p99),
        of(bare, cpu),
    )
}
