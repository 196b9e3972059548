//! Says in an element which node it came from.
//!
//! The member is `"Portainer":{"Agent":{"NodeName":"<host name>","NodeID":"<node id>"}}`,
//! the last of the object. A Portainer server looks for the node in
//! `Portainer.Agent.NodeName`; `NodeID` is ours, because host names may repeat.
//! All other bytes of the object stay as they were.
//!
//! An element may have a `Portainer` member already (an engine behind another
//! agent). It keeps the members of that object except for `Agent`, which is
//! replaced: this agent knows which node it asked. A `Portainer` that is not an
//! object is replaced, since a Portainer server adds its own members to it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::NodeTag;
use super::error::MergeError;
use super::label::NodeLabel;
use crate::json::{Edit, json_array, json_string, present, spliced};

/// Decorates the JSON object `object` with the node it came from.
///
/// # Errors
/// [`MergeError::Element`] if `object` is not one JSON object.
pub fn decorate(object: &str, node: &NodeTag) -> Result<String, MergeError> {
    let object = object.trim_ascii();
    if !object.starts_with('{') {
        return Err(MergeError::of_element(0, "not an object"));
    }
    let row: Decorated<'_> =
        serde_json::from_str(object).map_err(|e| MergeError::of_element(0, e))?;
    Ok(Decoration::of(node).put_into(object, &row))
}

/// An object, read only for its decoration.
#[derive(Deserialize)]
pub(super) struct Decorated<'a> {
    #[serde(rename = "Portainer", borrow, default, deserialize_with = "present")]
    portainer: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Portainer<'a> {
    #[serde(rename = "Agent", borrow, default, deserialize_with = "present")]
    agent: Option<&'a RawValue>,
}

/// The decoration of one node, ready for all its elements.
pub(super) struct Decoration {
    /// `,"Portainer":{"Agent":{…}}`
    member: String,
    /// `{…}`: the value of `Agent`.
    agent: String,
    /// The label with the same node, if it is shown.
    label: Option<NodeLabel>,
}

impl Decoration {
    pub(super) fn of(node: &NodeTag) -> Self {
        Self::new(node, "")
    }

    /// For an element that several nodes have; `NodeName` is the first.
    pub(super) fn of_many(first: &NodeTag, nodes: &[&NodeTag]) -> Self {
        let names = json_array(nodes.iter().map(|node| json_string(&node.hostname)));
        Self::new(first, &format!(",\"Nodes\":{names}"))
    }

    fn new(node: &NodeTag, more: &str) -> Self {
        let name = json_string(&node.hostname);
        let id = json_string(&node.id);
        let agent = format!("{{\"NodeName\":{name},\"NodeID\":{id}{more}}}");
        let member = format!(",\"Portainer\":{{\"Agent\":{agent}}}");
        Self {
            member,
            agent,
            label: None,
        }
    }

    /// The same with a label of this name, for the labels of rows.
    pub(super) fn labelled<'n>(
        mut self,
        name: Option<&str>,
        nodes: impl IntoIterator<Item = &'n NodeTag>,
    ) -> Self {
        let hostname = |node: &'n NodeTag| match node.hostname.as_str() {
            "" => node.id.as_str(),
            hostname => hostname,
        };
        self.label = name.map(|name| NodeLabel::new(name, nodes.into_iter().map(hostname)));
        self
    }

    /// As [`Self::edit`], and the edit that adds the label to `labels`, the member of
    /// `text`, of an object that is on one node.
    pub(super) fn edits<'d>(
        &'d self,
        text: &str,
        existing: Option<&RawValue>,
        labels: Option<&RawValue>,
    ) -> Vec<Edit<'d>> {
        let label = self.label.as_ref();
        let mut edits: Vec<_> = label
            .and_then(|l| l.edit(text, labels))
            .into_iter()
            .collect();
        edits.push(self.edit(text, existing));
        edits
    }

    /// The JSON object `text`, which reads as `row`, with the decoration.
    pub(super) fn put_into(&self, text: &str, row: &Decorated<'_>) -> String {
        spliced(text, vec![self.edit(text, row.portainer)])
    }

    /// The edit that decorates `text`, a JSON object whose own `Portainer` is `existing`.
    pub(super) fn edit<'d>(&'d self, text: &str, existing: Option<&RawValue>) -> Edit<'d> {
        existing
            .and_then(|raw| Edit::replace(text, raw.get(), self.portainer_with(raw.get())))
            .unwrap_or_else(|| Edit::append(text, &self.member))
    }

    /// The value of `Portainer` with our `Agent`, and its other members.
    fn portainer_with(&self, existing: &str) -> String {
        let member = format!(",\"Agent\":{}", self.agent);
        let edit = existing
            .starts_with('{')
            .then(|| serde_json::from_str::<Portainer<'_>>(existing).ok())
            .flatten()
            .and_then(|portainer| match portainer.agent {
                Some(agent) => Edit::replace(existing, agent.get(), self.agent.as_str()),
                None => Some(Edit::append(existing, &member)),
            });
        match edit {
            Some(Edit { range, with }) => {
                let mut out = existing.to_owned();
                out.replace_range(range, &with);
                out
            }
            None => format!("{{\"Agent\":{}}}", self.agent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(hostname: &str) -> NodeTag {
        NodeTag {
            id: "id1".to_owned(),
            hostname: hostname.to_owned(),
            is_manager: false,
        }
    }

    #[test]
    fn the_node_becomes_the_last_member() {
        const P: &str = r#""Portainer":{"Agent":{"NodeName":"web","NodeID":"id1"}}"#;
        let table = [
            ("{}", format!("{{{P}}}")),
            ("{ \n}", format!("{{ \n{P}}}")),
            ("{\"a\":1}", format!("{{\"a\":1,{P}}}")),
            ("{\"a\":1 \t}", format!("{{\"a\":1 \t,{P}}}")),
            (" {\"a\":\"}\"}\n", format!("{{\"a\":\"}}\",{P}}}")),
            (
                "{\"b\":1e400,\"a\":01234567890123456789",
                String::new(), // not JSON
            ),
            ("{\"a\":1}{\"b\":2}", String::new()),
            ("[1]", String::new()),
            ("", String::new()),
        ];
        for (object, expected) in table {
            let decorated = decorate(object, &node("web")).unwrap_or_default();
            assert_eq!(decorated, expected, "{object}");
        }
    }

    #[test]
    fn an_existing_portainer_keeps_its_other_members() {
        const A: &str = r#"{"NodeName":"web","NodeID":"id1"}"#;
        let table = [
            (
                r#"{"Portainer":{"Agent":{"NodeName":"liar"}},"a":1}"#,
                format!(r#"{{"Portainer":{{"Agent":{A}}},"a":1}}"#),
            ),
            (
                r#"{"Portainer":{"ResourceControl":{"Id":7}} }"#,
                format!(r#"{{"Portainer":{{"ResourceControl":{{"Id":7}},"Agent":{A}}} }}"#),
            ),
            (
                r#"{"Portainer":{}}"#,
                format!(r#"{{"Portainer":{{"Agent":{A}}}}}"#),
            ),
            (
                r#"{"Portainer":{"Agent":null}}"#,
                format!(r#"{{"Portainer":{{"Agent":{A}}}}}"#),
            ),
            (
                r#"{"Portainer":null}"#,
                format!(r#"{{"Portainer":{{"Agent":{A}}}}}"#),
            ),
            (
                r#"{"Portainer":[{"Agent":1}]}"#,
                format!(r#"{{"Portainer":{{"Agent":{A}}}}}"#),
            ),
            (
                r#"{"Port\u0061iner":"x"}"#,
                format!(r#"{{"Port\u0061iner":{{"Agent":{A}}}}}"#),
            ),
        ];
        for (object, expected) in table {
            assert_eq!(decorate(object, &node("web")).unwrap(), expected);
        }
    }

    #[test]
    fn decorating_twice_changes_nothing() {
        let once = decorate("{\"a\":1}", &node("web")).unwrap();
        assert_eq!(decorate(&once, &node("web")).unwrap(), once);
    }

    #[test]
    fn a_host_name_cannot_break_out_of_its_string() {
        let decorated = decorate("{}", &node("a\",\"b\\")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&decorated).unwrap();
        assert_eq!(value["Portainer"]["Agent"]["NodeName"], "a\",\"b\\");
    }

    #[test]
    fn two_portainer_members_are_refused_rather_than_guessed() {
        assert!(decorate(r#"{"Portainer":{},"Portainer":{}}"#, &node("web")).is_err());
    }
}
