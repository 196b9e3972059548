//! Shows the node of an object as one of its labels, for clients that print and
//! filter labels: `docker ps --format '{{.Label "skep.node"}}'`.
//!
//! All other bytes stay as they are. An object's own label of that name is
//! replaced: it says where the object was asked for, and this one where it is.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::endpoint::LabelsAt;
use crate::endpoint::filters::Filters;
use crate::json::{Edit, Members, json_string, present, spliced};

/// The label of what belongs to a project of Docker Compose.
const COMPOSE: &str = "com.docker.compose.project";

/// A label with the node of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeLabel {
    name: String,
    value: String,
}

impl NodeLabel {
    /// A label of this name, with the hostnames of the nodes.
    pub(super) fn new<'a>(name: &str, nodes: impl Iterator<Item = &'a str>) -> Self {
        let nodes: Vec<_> = nodes.collect();
        Self {
            name: name.to_owned(),
            value: nodes.join(","),
        }
    }

    /// The edit that adds the label to `object`, whose member `Labels` is `labels`;
    /// `None` if that is neither a map nor empty.
    pub(super) fn edit(&self, object: &str, labels: Option<&RawValue>) -> Option<Edit<'static>> {
        let Some(labels) = labels else {
            let member = format!(",\"Labels\":{{{}}}", self.member());
            let Edit { range, with } = Edit::append(object, &member);
            let with = Cow::Owned(with.into_owned());
            return Some(Edit { range, with });
        };
        let labels = labels.get();
        let with = match labels {
            "null" => format!("{{{}}}", self.member()),
            _ => self.added_to(labels)?,
        };
        Edit::replace(object, labels, with)
    }

    /// `"skep.node":"n2"`
    fn member(&self) -> String {
        format!("{}:{}", json_string(&self.name), json_string(&self.value))
    }

    fn added_to(&self, labels: &str) -> Option<String> {
        if !labels.starts_with('{') {
            return None;
        }
        // The name cannot be in there in any spelling.
        let is_absent = !labels.contains('\\') && !labels.contains(&self.name);
        let own: Vec<&RawValue> = match is_absent {
            true => Vec::new(),
            false => {
                let members = Members::of(labels.as_bytes())?;
                let own = members.iter().filter(|(name, _)| *name == self.name);
                own.map(|(_, value)| value).collect()
            }
        };
        if own.is_empty() {
            let member = format!(",{}", self.member());
            return Some(spliced(labels, vec![Edit::append(labels, &member)]));
        }
        let value = json_string(&self.value);
        let edits = own.iter();
        let edits = edits.filter_map(|own| Edit::replace(labels, own.get(), value.clone()));
        Some(spliced(labels, edits.collect()))
    }
}

/// The inspect of an object with the label of this name; `None` if it stays as it
/// is: a network of the Swarm and a volume that every node reaches are on no node, and
/// Compose 1 compares the labels of its networks and volumes with its file, and warns
/// at every command of one that is not in it (`check_remote_network_config`).
#[must_use]
pub fn label_inspect(at: LabelsAt, inspect: &str, name: &str, node: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Inspect<'a> {
        #[serde(rename = "Labels", borrow, default, deserialize_with = "present")]
        labels: Option<&'a RawValue>,
        #[serde(rename = "Config", borrow, default, deserialize_with = "present")]
        config: Option<&'a RawValue>,
        #[serde(rename = "Scope", borrow, default)]
        scope: Option<Cow<'a, str>>,
    }
    let text = inspect.trim_ascii();
    if !text.starts_with('{') {
        return None;
    }
    let label = NodeLabel::new(name, std::iter::once(node));
    let read: Inspect<'_> = serde_json::from_str(text).ok()?;
    let (part, labels) = if at == LabelsAt::Config {
        let config = read.config?.get();
        let inner: Inspect<'_> = serde_json::from_str(config).ok()?;
        (config.starts_with('{').then_some(config)?, inner.labels)
    } else if read.scope.is_none_or(|scope| scope == "local") && !is_of_compose(read.labels) {
        (text, read.labels)
    } else {
        return None;
    };
    let labelled = spliced(part, vec![label.edit(part, labels)?]);
    let edit = Edit::replace(inspect, part, labelled)?;
    Some(spliced(inspect, vec![edit]))
}

fn is_of_compose(labels: Option<&RawValue>) -> bool {
    let members = labels.and_then(|labels| Members::of(labels.get().as_bytes()));
    members.is_some_and(|members| members.iter().any(|(name, _)| name == COMPOSE))
}

/// The filters of a list that name nodes, by `label=NAME=NODE` or `node=NODE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFilter {
    /// The query without them.
    pub query: String,
    /// By labels: an object is on each of these nodes.
    each: Vec<String>,
    /// By `node`: an object is on one of these nodes, unless there are none.
    any: Vec<String>,
}

impl NodeFilter {
    /// Reads a query; `None` if it names no node by the label of this name, or cannot
    /// be read: the engines refuse it.
    #[must_use]
    pub fn of(query: &str, name: &str) -> Option<Self> {
        let mut filters = Filters::from_query(query).ok()?;
        let labels = filters.remove("label");
        let any = filters.remove("node");
        let mut each = Vec::new();
        let mut is_changed = any.is_some();
        if let Some(labels) = labels {
            let mut kept = Vec::new();
            for label in labels {
                match label.split_once('=') {
                    Some((own, node)) if own == name => each.push(node.to_owned()),
                    // Each object has the label.
                    None if label == name => is_changed = true,
                    _ => kept.push(label),
                }
            }
            is_changed |= !each.is_empty();
            for label in kept {
                filters.insert("label", &label);
            }
        }
        is_changed.then(|| Self {
            query: filters.set_in(query),
            each,
            any: any.unwrap_or_default(),
        })
    }

    /// Whether a node passes. Both forms take its id too.
    #[must_use]
    pub fn admits(&self, id: &str, hostname: &str) -> bool {
        let is = |node: &String| node == id || node == hostname;
        self.each.iter().all(is) && (self.any.is_empty() || self.any.iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::query;

    fn labelled(object: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Row<'a> {
            #[serde(rename = "Labels", borrow, default, deserialize_with = "present")]
            labels: Option<&'a RawValue>,
        }
        let row: Row<'_> = serde_json::from_str(object).unwrap();
        let label = NodeLabel::new("skep.node", ["n\"2"].into_iter());
        let edit = label.edit(object, row.labels)?;
        Some(spliced(object, vec![edit]))
    }

    #[test]
    fn the_label_is_added_and_every_other_byte_stays() {
        const L: &str = r#""skep.node":"n\"2""#;
        for (object, expected) in [
            (
                r#"{ "a" : 1.0 }"#,
                format!(r#"{{ "a" : 1.0 ,"Labels":{{{L}}}}}"#),
            ),
            (
                r#"{"Labels":null,"a":1}"#,
                format!(r#"{{"Labels":{{{L}}},"a":1}}"#),
            ),
            (
                r#"{"Labels":{},"a":1}"#,
                format!(r#"{{"Labels":{{{L}}},"a":1}}"#),
            ),
            (
                r#"{"Labels":{ "b" : "c" }}"#,
                format!(r#"{{"Labels":{{ "b" : "c" ,{L}}}}}"#),
            ),
            (
                r#"{"Labels":{"skep.node":"n9","b":"c"}}"#,
                format!(r#"{{"Labels":{{{L},"b":"c"}}}}"#),
            ),
            (
                r#"{"Labels":{"sk\u0065p.node":"n9"}}"#,
                r#"{"Labels":{"sk\u0065p.node":"n\"2"}}"#.to_owned(),
            ),
            (
                r#"{"Labels":{"x":"skep.node"}}"#,
                format!(r#"{{"Labels":{{"x":"skep.node",{L}}}}}"#),
            ),
        ] {
            assert_eq!(labelled(object), Some(expected), "{object}");
        }
        for object in [r#"{"Labels":[]}"#, r#"{"Labels":"a"}"#, r#"{"Labels":5}"#] {
            assert_eq!(labelled(object), None, "{object}");
        }
    }

    #[test]
    fn an_inspect_gets_the_label_where_its_labels_are() {
        use LabelsAt::*;
        for (at, inspect, expected) in [
            (
                Config,
                "{\"Labels\":1,\"Config\":{\"Labels\":{}}}\n",
                Some("{\"Labels\":1,\"Config\":{\"Labels\":{\"l\":\"n2\"}}}\n"),
            ),
            (Config, r#"{"Config":null}"#, None),
            (Config, r#"{"Id":"x"}"#, None),
            (
                Config,
                r#"{"Config":{"Cmd":[ ]}}"#,
                Some(r#"{"Config":{"Cmd":[ ],"Labels":{"l":"n2"}}}"#),
            ),
            (
                Top,
                r#"{"Labels":null,"Scope":"local"}"#,
                Some(r#"{"Labels":{"l":"n2"},"Scope":"local"}"#),
            ),
            (Top, r#"{"Labels":null,"Scope":"global"}"#, None),
            (Top, r#"{"Labels":{},"Scope":"swarm"}"#, None),
            (
                Top,
                r#"{"Labels":{},"Scope":"local"}"#,
                Some(r#"{"Labels":{"l":"n2"},"Scope":"local"}"#),
            ),
            (Top, "[]", None),
            (Top, "text", None),
        ] {
            let labelled = label_inspect(at, inspect, "l", "n2");
            assert_eq!(labelled.as_deref(), expected, "{inspect}");
        }
    }

    #[test]
    fn networks_and_volumes_of_a_compose_project_stay_as_they_are() {
        const PROJECT: &str = r#"{"com.docker.compose.project":"shop"}"#;
        for (labels, expected) in [
            (PROJECT, false),
            (r#"{"com.docker.compose\u002eproject":"shop"}"#, false),
            (r#"{"a":"b","com.docker.compose.project":""}"#, false),
            (r#"{"com.docker.compose.projects":"shop"}"#, true),
            (r#"{"a":"com.docker.compose.project"}"#, true),
        ] {
            for scope in ["", r#","Scope":"local""#] {
                let inspect = format!(r#"{{"Labels":{labels}{scope}}}"#);
                let labelled = label_inspect(LabelsAt::Top, &inspect, "l", "n2");
                assert_eq!(labelled.is_some(), expected, "{inspect}");
            }
            // Compose does not compare those of a container.
            let inspect = format!(r#"{{"Config":{{"Labels":{labels}}}}}"#);
            assert!(label_inspect(LabelsAt::Config, &inspect, "l", "n2").is_some());
        }
    }

    fn filter(filters: &str) -> Option<NodeFilter> {
        let query = query::with("all=1", "filters", filters);
        NodeFilter::of(&query, "skep.node")
    }

    #[test]
    fn filters_by_node_are_taken_out_of_the_query() {
        for (filters, kept) in [
            (r#"{"label":["skep.node=n2"]}"#, "all=1"),
            (r#"{"label":{"skep.node=n2":true}}"#, "all=1"),
            (r#"{"node":["n2"]}"#, "all=1"),
            (r#"{"label":["skep.node"]}"#, "all=1"),
        ] {
            assert_eq!(filter(filters).unwrap().query, kept, "{filters}");
        }
        let rest = filter(r#"{"label":["a=b","skep.node=n2"],"name":["x"]}"#).unwrap();
        let rest = Filters::from_query(&rest.query).unwrap();
        assert_eq!(rest.values("label").collect::<Vec<_>>(), ["a=b"]);
        assert_eq!(rest.values("name").collect::<Vec<_>>(), ["x"]);
        for filters in [
            "",
            r#"{"label":["a=b"]}"#,
            r#"{"label":["skep.nodes=n2"]}"#,
            r#"{"name":["skep.node=n2"]}"#,
            "not json",
        ] {
            assert_eq!(filter(filters), None, "{filters}");
        }
    }

    #[test]
    fn labels_name_each_node_and_the_filter_node_names_any() {
        for (filters, admitted) in [
            (r#"{"label":["skep.node=n2"]}"#, "n2"),
            (r#"{"label":["skep.node=id2"]}"#, "n2"),
            (r#"{"label":["skep.node=n1","skep.node=n2"]}"#, ""),
            (r#"{"label":["skep.node=n9"]}"#, ""),
            (r#"{"label":["skep.node="]}"#, ""),
            (r#"{"label":["skep.node"]}"#, "n1 n2 n3"),
            (r#"{"node":["n1","n3"]}"#, "n1 n3"),
            (r#"{"node":["n1","n3"],"label":["skep.node=n3"]}"#, "n3"),
        ] {
            let filter = filter(filters).unwrap();
            let nodes = [("id1", "n1"), ("id2", "n2"), ("id3", "n3")];
            let nodes = nodes.iter().filter(|(id, name)| filter.admits(id, name));
            let names: Vec<_> = nodes.map(|(_, name)| *name).collect();
            assert_eq!(names.join(" "), admitted, "{filters}");
        }
    }
}
