//! How the agent answers: lists of all nodes, several at once, and ids that no node has.

use std::time::Instant;

use anyhow::bail;
use futures::future::try_join_all;

use crate::caller::Helper;
use crate::cluster::{Cluster, Rows, SLOWEST};
use crate::process::Process;

const LIST: &str = "/v1.45/containers/json";

/// The lists, one after the other.
const LISTS: usize = 15;

/// The long lists, one after the other.
const LONG_LISTS: usize = 5;

/// The lists before them, until one is complete.
const WARM_UPS: usize = 10;

const MIB: f64 = (1 << 20) as f64;

/// The lists at once, and how often.
const AT_ONCE: usize = 4;
const TIMES: usize = 3;

/// The ids that no node has, one after the other.
const IDS: usize = 40;

/// A long list, in milliseconds and MiB.
pub(crate) struct Long {
    /// Beyond the slowest node.
    pub(crate) over: f64,
    /// At the most, while it is answered.
    pub(crate) memory: f64,
    /// The length of the answer.
    pub(crate) length: f64,
}

/// Measures the list with these rows.
pub(crate) async fn long(cluster: &Cluster, helper: &Helper, rows: Rows) -> anyhow::Result<Long> {
    let operator = helper.operator(cluster.door.address)?;
    let target = format!("{LIST}?{}", rows.query());
    let (mut over, mut memory, mut length) = (Vec::new(), 0.0_f64, 0.0);
    // The stand-ins write their lists when they are first asked for them.
    for _ in 0..WARM_UPS {
        if operator
            .get(&target)
            .await?
            .header("Skep-Missing")
            .is_none()
        {
            break;
        }
    }
    for _ in 0..LONG_LISTS {
        forget_peak(&cluster.agent)?;
        let began = Instant::now();
        let answer = operator.get(&target).await?;
        over.push(ms(began) - SLOWEST.as_secs_f64() * 1e3);
        memory = memory.max(cluster.agent.memory("VmHWM:")? as f64 / MIB);
        let missing = answer.header("Skep-Missing");
        if answer.status != 200 || missing.is_some() {
            let missing = missing.map_or(0, |all| all.split(',').count());
            bail!(
                "a long list was answered {}, without {missing} nodes",
                answer.status
            );
        }
        let text = String::from_utf8_lossy(&answer.body);
        let seen = text.matches("\"Id\":").count();
        if seen != rows.of_each * (cluster.size - 1) {
            bail!("a long list has {seen} rows");
        }
        length = answer.body.len() as f64 / MIB;
    }
    let over = quantile(&over, 0.5);
    Ok(Long {
        over,
        memory,
        length,
    })
}

/// In milliseconds.
pub(crate) struct Loads {
    pub(crate) list: f64,
    pub(crate) slowest_list: f64,
    /// Nodes that were missing in any of the lists at once.
    pub(crate) missing: usize,
    pub(crate) at_once: f64,
    /// Of 99 in 100 ids.
    pub(crate) unknown: f64,
    /// Of an id that was asked for before.
    pub(crate) again: f64,
}

pub(crate) async fn measure(cluster: &Cluster, helper: &Helper) -> anyhow::Result<Loads> {
    let operator = helper.operator(cluster.door.address)?;
    // The first opens a connection to every node.
    list(&operator).await?;
    let mut lists = Vec::new();
    for _ in 0..LISTS {
        let (time, missing) = list(&operator).await?;
        if missing > 0 {
            bail!("a list alone is without {missing} nodes");
        }
        lists.push(time);
    }
    let (mut at_once, mut missing) = (Vec::new(), 0);
    for _ in 0..TIMES {
        let began = Instant::now();
        for (_, without) in try_join_all((0..AT_ONCE).map(|_| list(&operator))).await? {
            missing += without;
        }
        at_once.push(ms(began));
    }
    let mut unknown = Vec::new();
    let mut again = Vec::new();
    for n in 0..IDS {
        let target = format!("/v1.45/containers/{:064x}/json", (n + 1) << 40);
        for times in [&mut unknown, &mut again] {
            let began = Instant::now();
            let answer = operator.get(&target).await?;
            if answer.status != 404 {
                bail!(
                    "an unknown id was answered {}: {}",
                    answer.status,
                    answer.text()
                );
            }
            times.push(ms(began));
        }
    }
    Ok(Loads {
        list: quantile(&lists, 0.5),
        slowest_list: quantile(&lists, 1.0),
        missing,
        at_once: quantile(&at_once, 0.5),
        unknown: quantile(&unknown, 0.99),
        again: quantile(&again, 0.99),
    })
}

/// The time of a list, and the number of nodes that it is without.
async fn list(operator: &crate::caller::Caller) -> anyhow::Result<(f64, usize)> {
    let began = Instant::now();
    let answer = operator.get(LIST).await?;
    let time = ms(began);
    if answer.status != 200 {
        bail!("a list was answered {}: {}", answer.status, answer.text());
    }
    let missing = answer.header("Skep-Missing");
    Ok((time, missing.map_or(0, |all| all.split(',').count())))
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Resets `VmHWM` (proc(5), `clear_refs`).
fn forget_peak(agent: &Process) -> std::io::Result<()> {
    std::fs::write(format!("/proc/{}/clear_refs", agent.id()), "5")
}
