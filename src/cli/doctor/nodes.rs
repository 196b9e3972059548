//! The cluster as one agent sees it: nodes that are missing, clocks, and versions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::finding::{Finding, Subject};
use crate::cluster::expected::Availability;
use crate::cluster::identity::ApiRange;
use crate::cluster::members::{Member, State};

/// From when on a difference between two clocks is worth a warning, and from when on
/// agents refuse each other.
const SKEWED_MS: u64 = 2000;
const REFUSED_MS: u64 = 10 * 60 * 1000;

/// The answer of `/skep/v1/nodes`.
#[derive(Deserialize)]
pub(super) struct Table {
    cluster: bool,
    nodes: Vec<Member>,
}

/// Looks at a table; `of` names the agent that has it.
pub(super) fn check(of: &str, table: &Table) -> Vec<Finding> {
    if !table.cluster {
        let found = format!("the agent at {of} works alone");
        return vec![Finding::fine(Subject::Node, found)];
    }
    let mut findings: Vec<_> = table.nodes.iter().flat_map(of_a_node).collect();
    if findings.is_empty() {
        let found = format!(
            "{} nodes are ready, by the agent at {of}",
            table.nodes.len()
        );
        findings.push(Finding::fine(Subject::Node, found));
    }
    let mut managers = table.nodes.iter().filter(|node| node.manager);
    if !managers.any(|node| node.state == State::Ready) {
        findings.push(Finding::error(
            Subject::Node,
            "no manager can be reached: services, secrets and nodes cannot be asked for",
            "run an agent on a manager, with the same secret",
        ));
    }
    findings.extend(namesakes(&table.nodes));
    findings.extend(versions(&table.nodes));
    findings
}

fn of_a_node(node: &Member) -> Vec<Finding> {
    let name = if node.hostname.is_empty() {
        &node.id
    } else {
        &node.hostname
    };
    let mut findings = Vec::new();
    match &node.state {
        State::Ready => {}
        State::NoEngine => findings.push(Finding::error(
            Subject::Node,
            format!("{name}: its agent answers, its engine does not"),
            "`systemctl status docker` on that node",
        )),
        State::Unreachable(reason) => findings.push(Finding::error(
            Subject::Node,
            format!("{name}: its agent does not answer: {reason}"),
            "if the node is up: 4789/udp, 7946/tcp and udp between the nodes, or port 9001 without \
             an overlay; then `docker service ps` of the agents",
        )),
        State::NoAgent if node.availability == Some(Availability::Drain) => {
            findings.push(Finding::warning(
                Subject::Node,
                format!("{name} is drained, so no task runs an agent there"),
                "run the agents outside of the scheduler (docker/host.yml) to reach it",
            ));
        }
        State::NoAgent => findings.push(Finding::error(
            Subject::Node,
            format!("{name}: no agent has answered"),
            "does `docker service ps` show an agent there? If so, compare its log line `cluster …`: \
             another fingerprint is another secret",
        )),
        State::Down => findings.push(Finding::error(
            Subject::Node,
            format!("{name} is down, as the managers say"),
            "start the machine, or `docker node rm` it",
        )),
    }
    findings.extend(clock(name, node.clock_skew_ms.unwrap_or_default()));
    findings
}

/// A clock that is ahead by so many milliseconds of the one that it is compared with.
pub(super) fn clock(of: &str, ahead_ms: i64) -> Option<Finding> {
    let size = ahead_ms.unsigned_abs();
    if size < SKEWED_MS {
        return None;
    }
    let word = if ahead_ms < 0 { "behind" } else { "ahead" };
    let found = format!("the clock of {of} is {} s {word}", size / 1000);
    let remedy = "set the clocks of all machines by NTP (`timedatectl`, `chronyc tracking`)";
    Some(if size > REFUSED_MS {
        Finding::error(Subject::Clock, found, remedy)
    } else {
        Finding::warning(Subject::Clock, found, remedy)
    })
}

/// Nodes that live and share a hostname cannot be named by it.
fn namesakes(nodes: &[Member]) -> Vec<Finding> {
    let mut ids: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.state != State::Down) {
        ids.entry(&node.hostname).or_default().push(&node.id);
    }
    let shared = ids.iter().filter(|(_, ids)| ids.len() > 1);
    let finding = |(name, ids): (&&str, &Vec<&str>)| {
        Finding::warning(
            Subject::Node,
            format!(
                "{} nodes have the hostname {name}: {}",
                ids.len(),
                ids.join(", ")
            ),
            "name them by their ids, or give them names of their own",
        )
    };
    shared.map(finding).collect()
}

fn versions(nodes: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let engines = nodes.iter().filter_map(|node| node.engine.as_ref());
    let ranges: Vec<_> = engines
        .clone()
        .filter_map(|engine| engine.range())
        .collect();
    if !ranges.is_empty() && ApiRange::common(ranges).is_none() {
        let releases: BTreeSet<_> = engines.map(|engine| engine.version.as_str()).collect();
        let releases: Vec<_> = releases.into_iter().collect();
        findings.push(Finding::warning(
            Subject::Version,
            format!(
                "the engines have no API version in common: {}",
                releases.join(", ")
            ),
            "update the oldest ones; until then calls about one object may be refused",
        ));
    }
    let agents = nodes.iter().filter_map(|node| node.agent.as_deref());
    let agents: BTreeSet<_> = agents.collect();
    if agents.len() > 1 {
        let agents: Vec<_> = agents.into_iter().collect();
        findings.push(Finding::warning(
            Subject::Version,
            format!("the agents have different versions: {}", agents.join(", ")),
            "finish the update; agents work with those of one minor version before",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(id: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut node = json!({
            "id": id, "hostname": id, "manager": true, "state": "ready", "since": 0,
            "engine": { "version": "26.1.5", "api_min": "1.24", "api_max": "1.45" },
            "agent": "0.1.0", "address": null,
        });
        change(&mut node);
        node
    }

    fn found(nodes: &[Value]) -> Vec<String> {
        let table = json!({ "cluster": true, "nodes": nodes });
        let table: Table = serde_json::from_value(table).unwrap();
        let found = check("https://a:9001", &table);
        found.iter().map(Finding::kind).collect()
    }

    #[test]
    fn nodes_that_are_ready_are_one_finding() {
        let both = [
            node("a", |_| ()),
            node("b", |n| n["manager"] = json!(false)),
        ];
        assert_eq!(found(&both), ["ok node"]);
        let alone: Table =
            serde_json::from_value(json!({ "cluster": false, "nodes": [] })).unwrap();
        assert_eq!(check("a", &alone)[0].kind(), "ok node");
    }

    #[test]
    fn every_state_has_its_finding() {
        for (state, expected) in [
            (json!({ "state": "no-engine" }), "error node"),
            (
                json!({ "state": "unreachable", "reason": "refused" }),
                "error node",
            ),
            (json!({ "state": "no-agent" }), "error node"),
            (
                json!({ "state": "no-agent", "availability": "drain" }),
                "warning node",
            ),
            (json!({ "state": "down" }), "error node"),
        ] {
            let bad = node("b", |node| {
                let fields = state.as_object().unwrap();
                node.as_object_mut().unwrap().extend(fields.clone());
            });
            assert_eq!(found(&[node("a", |_| ()), bad]), [expected], "{state}");
        }
    }

    #[test]
    fn without_a_manager_the_cluster_cannot_be_managed() {
        let worker = node("a", |node| node["manager"] = json!(false));
        assert_eq!(found(&[worker]), ["ok node", "error node"]);
    }

    #[test]
    fn clocks_are_a_warning_and_then_an_error() {
        for (skew, expected) in [
            (1999, "ok node"),
            (-2000, "warning clock"),
            (600_001, "error clock"),
        ] {
            let late = node("a", |node| node["clock_skew_ms"] = json!(skew));
            assert_eq!(found(&[late]), [expected], "{skew}");
        }
    }

    #[test]
    fn names_and_versions_that_differ_are_warnings() {
        let named = |node: &mut Value| node["hostname"] = json!("a");
        let both = [node("a", |_| ()), node("b", named)];
        assert_eq!(found(&both), ["ok node", "warning node"]);
        let newest = json!({ "version": "29.0.0", "api_min": "1.44", "api_max": "1.52" });
        let oldest = json!({ "version": "20.10.24", "api_min": "1.12", "api_max": "1.41" });
        let both = [
            node("a", |node| node["engine"] = newest),
            node("b", |node| node["engine"] = oldest),
        ];
        assert_eq!(found(&both), ["ok node", "warning version"]);
        let other = |node: &mut Value| node["agent"] = json!("0.2.0");
        let both = [node("a", |_| ()), node("b", other)];
        assert_eq!(found(&both), ["ok node", "warning version"]);
    }
}
