//! Policies in YAML, enforced by the agents of a whole cluster. The tests of what a
//! rule matches are beside the rules.

mod bodies;
mod effects;
mod examples;
mod guard;
mod limits;
mod nodes;
mod parameters;
mod redaction;
mod reload;
mod rules;
mod scope;
mod secrets;

use std::path::Path;

use crate::common::{Caller, ClusterBuilder, TestCluster, is_routine, secret_file};
use skep::config::Config;
use skep_bed::Seen;
use skep_filters::auth::SigningKey;

/// The secret of every key in these tests.
const KEY: &str = "the secret of a key in a test, 40 bytes.";

/// The placeholder for the key file in the YAML of these tests.
const FILE: &str = "KEY_FILE";

/// Every agent gets the policies and keys of this YAML, in which `KEY_FILE` stands
/// for the key file.
pub(crate) fn configured<'a>(
    plans: impl IntoIterator<Item = crate::common::node::Plan>,
    yaml: &'a str,
) -> ClusterBuilder<'a> {
    ClusterBuilder::of(plans).configure(move |_, folder, config| apply(yaml, folder, config))
}

fn apply(yaml: &str, folder: &Path, config: &mut Config) {
    let read = Config::parse("test", &with_key(yaml, folder)).unwrap_or_else(|e| panic!("{e}"));
    config.auth.keys = read.auth.keys;
    config.policies = read.policies;
    config.auth.contact = read.auth.contact;
}

/// Writes the key file and puts its path into the YAML.
fn with_key(yaml: &str, folder: &Path) -> String {
    let file = secret_file(folder, "key", KEY);
    yaml.replace(FILE, &file.display().to_string())
}

/// The holder of the key with this id, calling this node's agent.
pub(crate) fn holder(bed: &TestCluster, node: &str, id: &str) -> Caller {
    let key = SigningKey::hmac(id, KEY.as_bytes()).expect("a key");
    bed.operator(node).with_key(key)
}

/// The requests that change something at an engine.
fn changes(bed: &TestCluster) -> Vec<Seen> {
    let mut seen: Vec<_> = bed.nodes.iter().flat_map(|n| n.engine.requests()).collect();
    seen.retain(|request| !is_routine(&request.path) && request.method != "GET");
    seen
}
