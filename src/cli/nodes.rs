//! `skep nodes`: prints the nodes of the cluster, as one agent sees them, as a
//! table.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::args::ClientArgs;
use super::ask::ask;
use super::table::aligned;
use crate::cluster::members::{Member, State};
use crate::connect::access::Access;
use crate::platform::clock;

#[derive(Deserialize)]
struct Nodes {
    node: String,
    cluster: bool,
    nodes: Vec<Member>,
}

/// Returns the table of the first agent that answers.
///
/// # Errors
/// No agent answers.
pub async fn run(args: ClientArgs) -> anyhow::Result<String> {
    let access = Access::load(&args.credentials, &args.cluster)?;
    let mut failures = Vec::new();
    for url in &args.to {
        match ask(&access, url, "/skep/v1/nodes").await {
            Ok(body) => {
                let nodes: Nodes = serde_json::from_slice(&body)
                    .with_context(|| format!("{url} is not an agent: its answer cannot be read"))?;
                return Ok(table(&nodes, clock::now()));
            }
            Err(e) => failures.push(format!("{url}: {e:#}")),
        }
    }
    bail!("no agent answered\n  {}", failures.join("\n  "))
}

fn table(nodes: &Nodes, now: Duration) -> String {
    let mut rows = vec![
        [
            "ID",
            "HOSTNAME",
            "ROLE",
            "ENGINE",
            "API",
            "AGENT",
            "STATE",
            "AVAILABILITY",
            "CLOCK",
            "SINCE",
        ]
        .map(str::to_owned),
    ];
    for node in &nodes.nodes {
        let here = if node.id == nodes.node { " *" } else { "" };
        let engine = node.engine.as_ref();
        rows.push([
            format!("{}{here}", if node.id.is_empty() { "-" } else { &node.id }),
            node.hostname.clone(),
            role(nodes.cluster, node.manager).to_owned(),
            engine.map_or("-".to_owned(), |e| e.version.clone()),
            engine.map_or("-".to_owned(), |e| format!("{}-{}", e.api_min, e.api_max)),
            node.agent.clone().unwrap_or_else(|| "-".to_owned()),
            state(&node.state),
            node.availability.map_or("-", |a| a.as_str()).to_owned(),
            node.clock_skew_ms.map_or("-".to_owned(), clock_column),
            ago(now.as_secs().saturating_sub(node.since)),
        ]);
    }
    aligned(&rows)
}

/// The time by which a clock is ahead, in seconds.
fn clock_column(millis: i64) -> String {
    let sign = if millis < 0 { '-' } else { '+' };
    let size = millis.unsigned_abs();
    if size < 100 {
        return "0s".to_owned();
    }
    format!("{sign}{}.{}s", size / 1000, size % 1000 / 100)
}

fn role(cluster: bool, manager: bool) -> &'static str {
    match (cluster, manager) {
        (false, _) => "standalone",
        (true, true) => "manager",
        (true, false) => "worker",
    }
}

fn state(state: &State) -> String {
    match state {
        State::Ready => "ready".to_owned(),
        State::NoEngine => "no engine".to_owned(),
        State::Unreachable(_) => "unreachable".to_owned(),
        State::NoAgent => "no agent".to_owned(),
        State::Down => "down".to_owned(),
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::expected::Availability;
    use crate::cluster::identity::EngineFacts;

    #[test]
    fn columns_are_aligned_and_the_agents_node_is_marked() {
        let member = |id: &str, state| Member {
            labels: Default::default(),
            availability: Some(Availability::Drain),
            id: id.to_owned(),
            hostname: "n1".to_owned(),
            manager: true,
            engine: Some(EngineFacts {
                version: "20.10.24".to_owned(),
                api_min: "1.12".to_owned(),
                api_max: "1.41".to_owned(),
            }),
            agent: None,
            guarded: Default::default(),
            address: None,
            spare: None,
            swarm_address: None,
            is_down: false,
            generation: 0,
            is_met: false,
            changed: 0,
            state,
            clock_skew_ms: Some(-20_340),
            since: 40,
            entered: tokio::time::Instant::now(),
        };
        let nodes = Nodes {
            node: "abc".to_owned(),
            cluster: true,
            nodes: vec![member("abc", State::Ready), member("d", State::NoAgent)],
        };
        let text = table(&nodes, Duration::from_secs(100));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let column = lines[0].find("STATE").unwrap();
        assert!(lines[1].starts_with("abc *"));
        assert!(lines[1][column..].starts_with("ready"));
        assert!(lines[2][column..].starts_with("no agent"));
        let column = lines[0].find("AVAILABILITY").unwrap();
        assert!(lines[2][column..].starts_with("drain "));
        let column = lines[0].find("CLOCK").unwrap();
        assert!(lines[1][column..].starts_with("-20.3s "));
        assert!(lines[1].ends_with("60s"));
    }
}
