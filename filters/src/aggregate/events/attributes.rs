//! Adds the name and id of the node to the attributes of an event's actor.
//!
//! The classic Swarm put them there under these names, and `docker events`
//! prints every attribute.

use super::super::NodeTag;
use super::super::object::Object;
use crate::json::json_string;

const SHAPE: &str = "an object of attributes";

/// The JSON object `actor` with the node in its `Attributes`; `None` if it cannot
/// have attributes, or has both of them already.
pub(super) fn with_node(actor: &str, node: &NodeTag) -> Option<String> {
    let actor = Object::of_text(actor, SHAPE).ok()?;
    let attributes = match actor.get("Attributes") {
        None | Some("null") => "{}",
        Some(own) => own,
    };
    let attributes = Object::of_text(attributes, SHAPE).ok()?;

    let ours = [("node.name", &node.hostname), ("node.id", &node.id)];
    let mut with_ours = attributes.rewrite();
    let mut is_changed = false;
    for (name, value) in ours {
        if attributes.get(name).is_none() {
            with_ours.set(name, json_string(value));
            is_changed = true;
        }
    }
    if !is_changed {
        return None;
    }
    let mut rewrite = actor.rewrite();
    rewrite.set("Attributes", with_ours.finish());
    Some(rewrite.finish())
}
