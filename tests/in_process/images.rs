//! Images: lists that one image bounds, and images that get to the nodes that need
//! them.

mod copies;
mod lists;
mod pulls;
mod spreads;

use crate::common::TestCluster;
use serde_json::{Value, json};
use skep_bed::{Response, fixture};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn image(id: &str, name: &str, created: i64) -> Value {
    fixture::image(&format!("sha256:{id}"), &[name], created)
}

async fn ask(bed: &TestCluster, entry: &str, method: &str, path: &str, body: &Value) -> Response {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let operator = bed.operator(entry);
    let answer = operator.ask(method, path, &[], body.as_bytes()).await;
    answer.expect("an answer")
}

/// The messages of a progress stream.
fn messages(answer: &Response) -> Vec<Value> {
    let text = answer.text();
    let message = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(message).collect()
}

/// The last status of this node.
fn outcome(messages: &[Value], node: &str) -> String {
    let of = |message: &&Value| message["id"] == node;
    let last = messages.iter().rfind(of);
    let last = last.unwrap_or_else(|| panic!("no line of {node}: {messages:?}"));
    last["status"].as_str().unwrap_or_default().to_owned()
}

/// The number of requests to each engine with this path.
fn asked(bed: &TestCluster, path: &str) -> [usize; 3] {
    NODES.map(|node| bed.node(node).engine.requests_to(path).len())
}
