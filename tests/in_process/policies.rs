//! Who may do what: policies as they are written in YAML, enforced by agents of a
//! whole cluster. What a rule matches is tested where the rules are.

mod bodies;
mod limits;
mod nodes;
mod redaction;
mod reload;
mod rules;
mod scope;

use std::path::Path;

use crate::common::{Bed, Caller, Cluster, is_routine, secret_file};
use skep::config::Config;
use skep_bed::Seen;
use skep_filters::auth::SigningKey;

/// The secret of every key in these tests.
const KEY: &str = "the secret of a key in a test, 40 bytes.";

/// Where a configuration of these tests has the file of its keys.
const FILE: &str = "KEY_FILE";

/// Every agent gets the policies and keys of this YAML; `KEY_FILE` in it is the
/// file with the key.
fn configured<'a>(
    plans: impl IntoIterator<Item = crate::common::node::Plan>,
    yaml: &'a str,
) -> Cluster<'a> {
    Cluster::of(plans).configure(move |_, folder, config| apply(yaml, folder, config))
}

fn apply(yaml: &str, folder: &Path, config: &mut Config) {
    let read = Config::parse("test", &with_key(yaml, folder)).unwrap_or_else(|e| panic!("{e}"));
    config.auth.keys = read.auth.keys;
    config.policies = read.policies;
}

/// The configuration with the file of its keys, which is made.
fn with_key(yaml: &str, folder: &Path) -> String {
    let file = secret_file(folder, "key", KEY);
    yaml.replace(FILE, &file.display().to_string())
}

/// The holder of the key with this id, calling this node's agent.
fn holder(bed: &Bed, node: &str, id: &str) -> Caller {
    let key = SigningKey::hmac(id, KEY.as_bytes()).expect("a key");
    bed.operator(node).with_key(key)
}

/// What the engines were asked to do, beside being asked what they have.
fn done(bed: &Bed) -> Vec<Seen> {
    let mut seen: Vec<_> = bed.nodes.iter().flat_map(|n| n.engine.requests()).collect();
    seen.retain(|request| !is_routine(&request.path) && request.method != "GET");
    seen
}
