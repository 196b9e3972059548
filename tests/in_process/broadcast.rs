//! `Skep-Target: *`: calls run on all nodes when the caller asks for it, and on
//! one node otherwise.

mod loads;
mod other_calls;
mod prunes;
mod pulls;
mod tags;

use crate::common::node::Plan;
use crate::common::{TestCluster, manager, with_cluster, worker};
use serde_json::Value;
use skep_bed::{Behaviour, EngineBuilder, fixture};

const ALL: (&str, &str) = ("Skep-Target", "*");
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn three_nodes() -> [Plan; 3] {
    [manager("n1"), worker("n2"), worker("n3")]
}

fn with_images(images: &[&str]) -> impl Fn(EngineBuilder) -> EngineBuilder {
    let row = |name: &&str| fixture::image(&format!("sha256:{name}"), &[*name], 1);
    let rows: Vec<_> = images.iter().map(row).collect();
    move |e| e.images(rows.clone())
}

fn behave(bed: &TestCluster, node: &str, path: &str, behaviour: Behaviour) {
    bed.node(node).engine.set_behaviour_of(path, behaviour);
}

/// The number of requests to each engine for this path.
fn asked(bed: &TestCluster, path: &str) -> Vec<usize> {
    let of = |node: &str| bed.node(node).engine.requests_to(path).len();
    NODES.iter().map(|node| of(node)).collect()
}

/// The messages of a progress stream.
fn messages(text: &str) -> Vec<Value> {
    let message = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(message).collect()
}

/// `id: status` of the messages that have one.
fn status_lines(messages: &[Value]) -> Vec<String> {
    let lines = messages.iter().filter_map(|message| {
        let (id, status) = (message["id"].as_str()?, message["status"].as_str()?);
        Some(format!("{id}: {status}"))
    });
    lines.collect()
}

/// The last message: an error that names these nodes and no other.
fn assert_failed(messages: &[Value], failed: &[&str]) -> String {
    let last = messages.last().expect("a message");
    let error = last["errorDetail"]["message"].as_str();
    let error = error
        .unwrap_or_else(|| panic!("no error: {last}"))
        .to_owned();
    assert_eq!(last["error"], *error);
    for node in NODES {
        let named = error.contains(&format!("{node}: "));
        assert_eq!(named, failed.contains(&node), "{node} in {error:?}");
    }
    let errors = messages.iter().filter(|m| m.get("errorDetail").is_some());
    assert_eq!(errors.count(), 1, "an error ends the stream for a client");
    error
}

/// The result in the line about this node's outcome.
fn outcome(messages: &[Value], node: &str) -> String {
    let of = |m: &&Value| m["id"] == node;
    let last = messages
        .iter()
        .rfind(of)
        .unwrap_or_else(|| panic!("no line of {node}"));
    last["status"].as_str().expect("a status").to_owned()
}
