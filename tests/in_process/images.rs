//! Images: lists that one image bounds, and images that get to the nodes that need
//! them.

mod lists;

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
