//! Merges `GET /networks/{id}` of one swarm network: the containers of all nodes.
//!
//! An engine lists only the containers of its own node, even on a manager
//! (moby#24186). The answer of the first manager is the base, since the copy of
//! a worker has another `Created` and other `Peers`. Its `Containers` become
//! those of all nodes. If several nodes have a key (the endpoint of a node's
//! load balancer, `lb-<network>`), the value of the base stays, else the first.
//!
//! A worker may have a local network of the same name, and then answers with
//! it: an answer with another id than that of the base is ignored.

use std::collections::BTreeMap;

use super::decorate::{Decorated, Decoration, decorate};
use super::error::MergeError;
use super::object::Object;
use super::split::{Element, read_all, read_element};
use super::{Merged, NodeAnswer, NodeTag};
use crate::json::json_string;

const SHAPE: &str = "an object with the Id and the Containers of a network";

/// One node's copy of the network.
struct Copy<'a> {
    node: &'a NodeTag,
    object: Object<'a>,
    /// A JSON string.
    id: &'a str,
    containers: Vec<(String, Element<'a, Decorated<'a>>)>,
}

fn read(answer: &NodeAnswer) -> Result<Copy<'_>, MergeError> {
    let object = Object::of_body(&answer.body, SHAPE)?;
    let id = object.get("Id").filter(|id| id.starts_with('"'));
    let id = id.ok_or(MergeError::Shape { expected: SHAPE })?;
    let containers = match object.get("Containers") {
        None | Some("null") => Vec::new(),
        Some(containers) => Object::of_text(containers, SHAPE)?
            .members()
            .enumerate()
            .map(|(index, (key, text))| Ok((key.to_owned(), read_element(index, text)?)))
            .collect::<Result<_, MergeError>>()?,
    };
    Ok(Copy {
        node: &answer.node,
        object,
        id,
        containers,
    })
}

pub(super) fn merge(answers: &[NodeAnswer]) -> Merged {
    let (copies, unusable) = read_all(answers, read);
    let mut body = united(&copies).unwrap_or_else(|| "{}".to_owned());
    body.push('\n');
    Merged {
        body: body.into_bytes(),
        unusable,
    }
}

/// `None` if there is no copy.
fn united(copies: &[Copy<'_>]) -> Option<String> {
    let manager = copies.iter().find(|copy| copy.node.is_manager);
    let base = manager.or(copies.first())?;

    // By key, as Go writes a map.
    let mut containers: BTreeMap<&str, String> = BTreeMap::new();
    let same = copies.iter().filter(|copy| copy.id == base.id);
    for copy in std::iter::once(base).chain(same) {
        let decoration = Decoration::of(copy.node);
        for (key, element) in &copy.containers {
            containers
                .entry(key)
                .or_insert_with(|| decoration.put_into(element.text, &element.row));
        }
    }
    let mut rewrite = base.object.rewrite();
    if !containers.is_empty() {
        rewrite.set("Containers", json_object(&containers));
    }
    let text = rewrite.finish();
    // The base has no second `Portainer` member: it was read as an object.
    decorate(&text, base.node).ok()
}

fn json_object(members: &BTreeMap<&str, String>) -> String {
    let mut out = String::from("{");
    for (name, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&json_string(name));
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{manager, merged, worker};
    use super::super::{MergeRule, merge};
    use crate::aggregate::NodeAnswer;

    const TAG_1: &str = r#""Portainer":{"Agent":{"NodeName":"N1","NodeID":"n1"}}"#;
    const TAG_2: &str = r#""Portainer":{"Agent":{"NodeName":"N2","NodeID":"n2"}}"#;

    fn inspected(answers: Vec<NodeAnswer>) -> String {
        let body = merged(&MergeRule::NetworkInspect, answers);
        body.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn the_managers_answer_has_the_containers_of_all_nodes() {
        let of_worker =
            r#"{"Id":"x","Containers":{"c1":{"Name":"web.1"},"lb-x":{"Name":"other"}},"Peers":[]}"#;
        let of_manager = r#"{"Id":"x", "Containers":{"lb-x":{"Name":"lb"},"c2":{"Name":"web.2"}},"Peers":[{"Name":"p","IP":"10.0.0.1"}],"Labels":{}}"#;
        assert_eq!(
            inspected(vec![worker("n1", of_worker), manager("n2", of_manager)]),
            format!(
                r#"{{"Id":"x", "Containers":{{"c1":{{"Name":"web.1",{TAG_1}}},"c2":{{"Name":"web.2",{TAG_2}}},"lb-x":{{"Name":"lb",{TAG_2}}}}},"Peers":[{{"Name":"p","IP":"10.0.0.1"}}],"Labels":{{}},{TAG_2}}}"#
            )
        );
    }

    #[test]
    fn without_a_manager_the_first_nodes_answer_is_the_base() {
        let one = r#"{"Id":"x","Created":1,"Containers":null}"#;
        let two = r#"{"Id":"x","Created":2,"Containers":{"c":{}}}"#;
        assert_eq!(
            inspected(vec![worker("n2", two), worker("n1", one)]),
            format!(r#"{{"Id":"x","Created":1,"Containers":{{"c":{{{TAG_2}}}}},{TAG_1}}}"#)
        );
    }

    #[test]
    fn containers_stay_as_the_base_wrote_them_if_no_node_has_any() {
        for containers in ["null", "{ }"] {
            let body = format!(r#"{{"Id":"x","Containers":{containers}}}"#);
            let expected = format!(r#"{{"Id":"x","Containers":{containers},{TAG_1}}}"#);
            let answers = vec![worker("n1", &body), worker("n2", r#"{"Id":"x"}"#)];
            assert_eq!(inspected(answers), expected);
        }
    }

    #[test]
    fn a_local_network_of_the_same_name_adds_nothing() {
        let local = r#"{"Id":"0123","Containers":{"c":{}}}"#;
        assert_eq!(
            inspected(vec![
                worker("n2", local),
                manager("n1", r#"{"Id":"x","Containers":{}}"#)
            ]),
            format!(r#"{{"Id":"x","Containers":{{}},{TAG_1}}}"#)
        );
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_its_node() {
        for odd in [
            r#"{"message":"no"}"#,
            r#"{"Id":5}"#,
            r#"{"Id":"x","Containers":[]}"#,
            r#"{"Id":"x","Containers":{"c":5}}"#,
            r#"{"Id":"x","Containers":{"c":{},"c":{}}}"#,
            r#"[{"Id":"x"}]"#,
        ] {
            let merged = merge(&MergeRule::NetworkInspect, vec![worker("n1", odd)]);
            assert_eq!(merged.unusable.len(), 1, "{odd}");
            assert_eq!(merged.body, b"{}\n", "{odd}");
        }
    }
}
