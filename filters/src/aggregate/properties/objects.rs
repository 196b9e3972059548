//! Tests properties of the rules that merge into one object.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::{MergeRule, NodeAnswer, NodeTag, merge};
use super::reference::decorated;
use super::{IDS, parse, tag, unknown_field};
use bytes::Bytes;

type Nodes = Vec<(NodeTag, Value)>;

fn rules() -> [MergeRule; 4] {
    let speaker = "n2".to_owned();
    [
        MergeRule::Prune,
        MergeRule::DataUsage,
        MergeRule::NetworkInspect,
        MergeRule::InfoTotals { speaker },
    ]
}

/// Some members of an object, each with a value of its strategy.
fn members(of: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let each: Vec<_> = of
        .into_iter()
        .map(|(name, value)| prop::option::weighted(0.7, value.prop_map(move |v| (name, v))))
        .collect();
    each.prop_map(|members| {
        let members = members.into_iter().flatten();
        Value::Object(members.map(|(name, v)| (name.to_owned(), v)).collect())
    })
}

fn count() -> BoxedStrategy<Value> {
    (-1..1_000_000_i64).prop_map(Value::from).boxed()
}

fn list_of(element: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    let list = prop::collection::vec(element, 0..4).prop_map(Value::from);
    prop_oneof![1 => Just(Value::Null), 4 => list].boxed()
}

fn row() -> BoxedStrategy<Value> {
    (0..4_u8, unknown_field())
        .prop_map(|(id, unknown)| json!({ "Id": id, "Zzz": unknown }))
        .boxed()
}

/// An answer that every one of the four rules can read, with members of each.
fn answer() -> impl Strategy<Value = Value> {
    let usage = members(vec![
        ("TotalSize", count()),
        ("Items", list_of(row())),
        ("Later", unknown_field().boxed()),
    ]);
    let containers = prop::collection::btree_map("[ab]{1,2}", row(), 0..4)
        .prop_map(|map: BTreeMap<String, Value>| Value::Object(map.into_iter().collect()));
    let optional = members(vec![
        ("ContainersDeleted", list_of(unknown_field())),
        ("SpaceReclaimed", count()),
        ("LayersSize", count()),
        ("Images", list_of(row())),
        ("ImageUsage", usage.boxed()),
        ("NCPU", count()),
        ("Warnings", list_of("[a-z\"]{0,3}".prop_map(Value::from))),
    ]);
    (optional, containers, count(), unknown_field()).prop_map(
        |(mut answer, containers, count, unknown)| {
            answer["Id"] = json!("x");
            // A map to one endpoint, a number to another, rows to a third.
            answer["map"] = containers;
            answer["count"] = count;
            answer["Zzz"] = json!({ "unknown": unknown });
            answer
        },
    )
}

fn cluster() -> impl Strategy<Value = Nodes> {
    let node = (any::<bool>(), answer());
    prop::collection::vec(node, 1..=IDS.len()).prop_map(|nodes| {
        let nodes = IDS.iter().zip(nodes);
        nodes
            .map(|(id, (is_manager, answer))| (tag(id, is_manager), answer))
            .collect()
    })
}

/// The answers in the shape of the rule's endpoint: `Containers` differs in each.
fn shaped(rule: &MergeRule, nodes: &Nodes) -> Nodes {
    let mut nodes = nodes.clone();
    for (_, answer) in &mut nodes {
        let members = answer.as_object_mut().unwrap();
        let (map, count) = (members.remove("map"), members.remove("count"));
        let containers = match rule {
            MergeRule::NetworkInspect => map.unwrap(),
            MergeRule::InfoTotals { .. } => {
                members.remove("Images");
                count.unwrap()
            }
            MergeRule::DataUsage => members.get("Images").cloned().unwrap_or(Value::Null),
            _ => json!([count]),
        };
        members.insert("Containers".to_owned(), containers);
    }
    nodes
}

fn answers(nodes: &Nodes, is_pretty: bool) -> Vec<NodeAnswer> {
    let text = |value: &Value| {
        if is_pretty {
            format!(" {value:#}\n")
        } else {
            value.to_string()
        }
    };
    let answer = |(node, value): &(NodeTag, Value)| NodeAnswer {
        node: node.clone(),
        body: Bytes::from(text(value)),
    };
    nodes.iter().map(answer).collect()
}

/// A slow and plain implementation of the rules, on parsed values.
fn reference(rule: &MergeRule, nodes: &Nodes) -> Value {
    let first = || nodes.iter().find(|(node, _)| node.is_manager);
    match rule {
        MergeRule::Prune => folded(nodes, |name, values| match name {
            "SpaceReclaimed" => summed(values),
            _ if values.iter().any(|(_, v)| v.is_array() || v.is_null()) => listed(values, false),
            _ => values[0].1.clone(),
        }),
        MergeRule::DataUsage => folded(nodes, usage),
        MergeRule::NetworkInspect => {
            let base = first().unwrap_or(&nodes[0]);
            let mut containers = Map::new();
            for (node, answer) in std::iter::once(base).chain(nodes) {
                for (key, value) in answer["Containers"].as_object().unwrap() {
                    let value = decorated((node, value.clone()));
                    containers.entry(key).or_insert(value);
                }
            }
            let mut answer = base.1.clone();
            answer["Containers"] = Value::Object(containers);
            decorated((&base.0, answer))
        }
        MergeRule::InfoTotals { speaker } => {
            let speaker = nodes.iter().find(|(node, _)| node.id == *speaker);
            let (base, answer) = speaker.or_else(first).unwrap_or(&nodes[0]);
            let mut total = answer.clone();
            for name in ["Containers", "NCPU"] {
                let values = nodes.iter().filter_map(|(_, a)| a.get(name)?.as_i64());
                if let Some(sum) = values.reduce(|a, b| a + b) {
                    total[name] = json!(sum);
                }
            }
            let warnings = nodes.iter().filter(|(node, _)| node != base);
            let warnings: Vec<Value> = warnings
                .flat_map(|(node, a)| {
                    let own = a["Warnings"].as_array().cloned().unwrap_or_default();
                    own.into_iter().map(move |warning| {
                        json!(format!("{}: {}", node.hostname, warning.as_str().unwrap()))
                    })
                })
                .collect();
            if !warnings.is_empty() {
                let mut own = answer["Warnings"].as_array().cloned().unwrap_or_default();
                own.extend(warnings);
                total["Warnings"] = json!(own);
            }
            total
        }
        _ => unreachable!("a list"),
    }
}

fn usage(name: &str, values: &[(&NodeTag, &Value)]) -> Value {
    match name {
        "LayersSize" | "TotalSize" => summed(values),
        "Images" | "Containers" | "Items" => listed(values, true),
        "ImageUsage" => {
            let parts = values.iter().map(|(n, v)| ((*n).clone(), (*v).clone()));
            folded(&parts.collect(), usage)
        }
        _ => values[0].1.clone(),
    }
}

fn folded(nodes: &Nodes, each: impl Fn(&str, &[(&NodeTag, &Value)]) -> Value) -> Value {
    let names = nodes
        .iter()
        .flat_map(|(_, v)| v.as_object().unwrap().keys());
    let merged = names.map(|name| {
        let values = nodes.iter().filter_map(|(n, v)| Some((n, v.get(name)?)));
        (name.clone(), each(name, &values.collect::<Vec<_>>()))
    });
    Value::Object(merged.collect())
}

fn summed(values: &[(&NodeTag, &Value)]) -> Value {
    let known = values.iter().filter_map(|(_, v)| v.as_i64());
    let known: Vec<i64> = known.filter(|n| *n >= 0).collect();
    if known.is_empty() {
        json!(-1)
    } else {
        json!(known.iter().sum::<i64>())
    }
}

fn listed(values: &[(&NodeTag, &Value)], is_decorated: bool) -> Value {
    if values.iter().all(|(_, v)| v.is_null()) {
        return Value::Null;
    }
    let rows = values.iter().flat_map(|(node, v)| {
        let rows = v.as_array().cloned().unwrap_or_default();
        rows.into_iter().map(move |row| {
            if is_decorated {
                decorated((node, row))
            } else {
                row
            }
        })
    });
    rows.collect()
}

/// The bytes of each member.
fn raw(json: &[u8]) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_slice(json).unwrap()
}

proptest! {
    #[test]
    fn merging_bytes_is_merging_values(nodes in cluster(), is_pretty: bool) {
        for rule in rules() {
            let nodes = shaped(&rule, &nodes);
            let merged = merge(&rule, answers(&nodes, is_pretty));
            prop_assert_eq!(&merged.unusable, &vec![]);
            let mut value = parse(&merged);
            if let MergeRule::InfoTotals { .. } = rule {
                let status = value.as_object_mut().unwrap().remove("SystemStatus").unwrap();
                prop_assert_eq!(&status[0], &json!(["Nodes", nodes.len().to_string()]));
            }
            prop_assert_eq!(value, reference(&rule, &nodes), "{:?}", rule);
        }
    }

    #[test]
    fn the_order_of_answers_does_not_matter(
        (nodes, shuffled) in cluster().prop_flat_map(|mut nodes| {
            // One node answers twice, and one answers with malformed JSON.
            nodes.extend(nodes.first().cloned());
            nodes.push((tag("n0", true), json!({ "map": {}, "count": "odd", "Id": 5 })));
            (Just(nodes.clone()), Just(nodes).prop_shuffle())
        }),
    ) {
        for rule in rules() {
            let one = merge(&rule, answers(&shaped(&rule, &nodes), false));
            let other = merge(&rule, answers(&shaped(&rule, &shuffled), false));
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn a_member_that_no_rule_changes_has_the_bytes_of_an_engine(nodes in cluster(), is_pretty: bool) {
        for rule in rules() {
            let nodes = answers(&shaped(&rule, &nodes), is_pretty);
            let sent: Vec<_> = nodes.iter().map(|node| raw(&node.body)).collect();
            let merged = raw(&merge(&rule, nodes).body);
            for name in ["Id", "Zzz"] {
                let own = merged[name].get();
                prop_assert!(sent.iter().any(|sent| sent[name].get() == own), "{}", own);
            }
        }
    }

    #[test]
    fn no_answer_of_one_node_keeps_the_others_from_being_merged(
        nodes in cluster(),
        body: Vec<u8>,
        at: prop::sample::Index,
        byte in prop::option::of(any::<u8>()),
    ) {
        for rule in rules() {
            let good = answers(&shaped(&rule, &nodes), false).remove(0);
            let mut damaged = good.body.to_vec();
            let at = at.index(damaged.len());
            match byte {
                Some(byte) => damaged[at] = byte,
                None => damaged.truncate(at),
            }
            for body in [damaged, body.clone()] {
                let bad = NodeAnswer { node: tag("n9", false), body: Bytes::from(body) };
                let merged = raw(&merge(&rule, vec![bad, good.clone()]).body);
                prop_assert_eq!(merged["Id"].get(), "\"x\"");
            }
        }
    }
}
