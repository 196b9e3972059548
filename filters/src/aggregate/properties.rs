//! Tests properties of the merge, for any answers.

mod objects;
mod one_engine;
mod reference;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;

const IDS: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// The rules for lists; those for objects are in [`objects`].
fn rules() -> Vec<MergeRule> {
    vec![
        MergeRule::Containers(ContainerQuery::default()),
        MergeRule::Images,
        MergeRule::ImagesApart,
        MergeRule::Volumes(VolumeFilter::default()),
        MergeRule::Networks,
    ]
}

/// A value for a field that no rule knows.
fn unknown_field() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[ -~é\\n]{0,8}".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn names() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a:1", "b:1", "c:1", "<none>:<none>"]);
    prop_oneof![
        Just(Value::Null),
        prop::collection::vec(name, 0..4).prop_map(|names| json!(names)),
    ]
}

/// A row that every rule can read, from a small pool of names so that they meet.
fn row() -> impl Strategy<Value = Value> {
    let identity = (
        0..5_u8,
        0..6_i64,
        prop::sample::select(vec!["local", "global", "swarm"]),
    );
    let image = (names(), names(), -1..3_i64);
    let cluster = prop::option::of(0..3_u8);
    (identity, image, cluster, unknown_field(), any::<bool>()).prop_map(
        |((id, created, scope), (tags, digests, containers), cluster, unknown, is_known)| {
            let mut row = json!({
                "Id": format!("id{id}"), "Name": format!("name{id}"), "Driver": "d",
                "Scope": scope, "Created": created, "RepoTags": tags,
                "RepoDigests": digests, "Containers": containers, "Zzz": unknown,
            });
            if let Some(id) = cluster {
                row["ClusterVolume"] = json!({ "ID": format!("v{id}"), "PublishStatus": null });
            }
            if is_known {
                row["Portainer"] = json!({ "Agent": 5, "ResourceControl": { "Id": 1 } });
            }
            row
        },
    )
}

/// The rows of some nodes; each list is newest first, as engines send it.
fn cluster() -> impl Strategy<Value = Vec<(NodeTag, Vec<Value>)>> {
    let node = (any::<bool>(), prop::collection::vec(row(), 0..6));
    prop::collection::vec(node, 0..=IDS.len()).prop_map(|nodes| {
        let nodes = IDS.iter().zip(nodes);
        nodes
            .map(|(id, (is_manager, mut rows))| {
                rows.sort_by_key(|row| std::cmp::Reverse(row["Created"].as_i64()));
                (tag(id, is_manager), rows)
            })
            .collect()
    })
}

fn tag(id: &str, is_manager: bool) -> NodeTag {
    NodeTag {
        id: id.to_owned(),
        hostname: format!("host of {id}"),
        is_manager,
    }
}

/// The bodies in the shape of the rule's endpoint, with the rows as the texts given.
fn answers(rule: &MergeRule, nodes: &[(NodeTag, Vec<String>)]) -> Vec<NodeAnswer> {
    let answer = |(node, rows): &(NodeTag, Vec<String>)| {
        let list = rows.join(" ,\n");
        let body = match rule {
            MergeRule::Volumes(_) => {
                format!(r#"{{"Volumes":[{list}],"Warnings":["of {}"]}}"#, node.id)
            }
            _ => format!("[{list}]\n"),
        };
        NodeAnswer {
            node: node.clone(),
            body: Bytes::from(body),
        }
    };
    nodes.iter().map(answer).collect()
}

/// The rows as JSON text, spaced out or not.
fn texts(nodes: &[(NodeTag, Vec<Value>)], is_pretty: bool) -> Vec<(NodeTag, Vec<String>)> {
    let text = |row: &Value| {
        if is_pretty {
            format!("{row:#}")
        } else {
            row.to_string()
        }
    };
    let node = |(node, rows): &(NodeTag, Vec<Value>)| {
        (node.clone(), rows.iter().map(text).collect::<Vec<_>>())
    };
    nodes.iter().map(node).collect()
}

fn parse(merged: &Merged) -> Value {
    assert_eq!(merged.body.last(), Some(&b'\n'));
    serde_json::from_slice(&merged.body).unwrap()
}

proptest! {
    #[test]
    fn merging_bytes_is_merging_values(nodes in cluster(), is_pretty: bool) {
        for rule in rules() {
            let merged = merge(&rule, answers(&rule, &texts(&nodes, is_pretty)));
            prop_assert_eq!(&merged.unusable, &vec![]);
            prop_assert_eq!(parse(&merged), reference::merge(&rule, &nodes));
        }
    }

    #[test]
    fn the_order_of_answers_does_not_matter(
        (nodes, shuffled) in cluster().prop_flat_map(|mut nodes| {
            // One node answers twice, and one answers with malformed JSON.
            nodes.extend(nodes.first().cloned());
            nodes.push((tag("n0", true), vec![json!(5)]));
            (Just(nodes.clone()), Just(nodes).prop_shuffle())
        }),
    ) {
        for rule in rules() {
            let one = merge(&rule, answers(&rule, &texts(&nodes, false)));
            let other = merge(&rule, answers(&rule, &texts(&shuffled, false)));
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn an_elements_bytes_minus_the_decoration_are_the_nodes_bytes(
        mut nodes in cluster(),
        is_pretty: bool,
    ) {
        for row in nodes.iter_mut().flat_map(|(_, rows)| rows) {
            row.as_object_mut().unwrap().remove("Portainer");
        }
        let nodes = texts(&nodes, is_pretty);
        let sent: Vec<&String> = nodes.iter().flat_map(|(_, rows)| rows).collect();
        for rule in [rules().remove(0), MergeRule::Networks] {
            let merged = merge(&rule, answers(&rule, &nodes));
            let elements: Vec<&RawValue> = serde_json::from_slice(&merged.body).unwrap();
            for element in elements {
                let (kept, decoration) = element.get().rsplit_once(",\"Portainer\":").unwrap();
                let is_ours = decoration.starts_with(r#"{"Agent":{"NodeName":"host of n"#);
                prop_assert!(is_ours, "{}", decoration);
                prop_assert!(sent.contains(&&format!("{kept}}}")), "{}", kept);
            }
            if let MergeRule::Containers(_) = rule {
                let out: Vec<&RawValue> = serde_json::from_slice(&merged.body).unwrap();
                prop_assert_eq!(out.len(), sent.len());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_spoil_the_rows_of_others(body: Vec<u8>) {
        garbage_beside_a_good_node(&Bytes::from(body))?;
    }

    #[test]
    fn a_damaged_answer_never_spoils_the_rows_of_others(
        nodes in cluster(),
        at: prop::sample::Index,
        byte in prop::option::of(any::<u8>()),
    ) {
        for rule in rules() {
            for answer in answers(&rule, &texts(&nodes, false)) {
                let mut body = answer.body.to_vec();
                let at = at.index(body.len());
                match byte {
                    Some(byte) => body[at] = byte,
                    None => body.truncate(at),
                }
                garbage_beside_a_good_node(&Bytes::from(body))?;
            }
        }
    }

    #[test]
    fn pairs_beside_the_reference_stay_byte_for_byte(
        others in prop::collection::vec("[A-Z0-9%+=;]{0,5}", 0..5),
        at: prop::sample::Index,
        name in "[a-z/]{1,5}",
    ) {
        let mut pairs = others.clone();
        let pair = format!("filters=%7b%22since%22:{{%22{name}%22:true}}%7d");
        pairs.insert(at.index(others.len() + 1), pair);
        let plan = plan(&pairs.join("&"));
        prop_assert_eq!(plan.since.as_ref(), Some(&name));
        prop_assert_eq!(plan.query_for(Owns::default()), others.join("&"));
    }

    #[test]
    fn a_query_of_any_text_is_planned(raw in "\\PC{0,40}") {
        let plan = plan(&raw);
        prop_assert!(plan.has_reference() || plan.query_for(Owns::default()) == raw);
    }

    #[test]
    fn decorating_any_text_yields_json_or_an_error(text in "[{}\\[\\]\",:a\\\\ 1]{0,24}") {
        let node = tag("n1", false);
        match decorate(&text, &node) {
            Ok(decorated) => {
                let value: Value = serde_json::from_str(&decorated).unwrap();
                prop_assert_eq!(&value["Portainer"]["Agent"]["NodeID"], "n1");
            }
            Err(_) => prop_assert!(!serde_json::from_str::<Value>(&text).is_ok_and(|v| v.is_object())),
        }
    }
}

/// The rows as text: a damaged number may be JSON and yet too large for a value.
fn raw_rows(merged: &Merged) -> Vec<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Volumes {
        volumes: Vec<Box<RawValue>>,
    }
    let rows = serde_json::from_slice(&merged.body);
    rows.unwrap_or_else(|_| {
        let list: Volumes = serde_json::from_slice(&merged.body).unwrap();
        list.volumes
    })
}

/// Asserts that the answer is JSON and has the good node's row, for any `body`.
fn garbage_beside_a_good_node(body: &Bytes) -> Result<(), TestCaseError> {
    let good = json!({ "Id": "good", "Name": "good", "Scope": "local", "Created": 1 });
    for rule in rules() {
        let mut all = answers(&rule, &[(tag("good", true), vec![good.to_string()])]);
        all.push(NodeAnswer {
            node: tag("bad", true),
            body: body.clone(),
        });
        let merged = merge(&rule, all);
        let rows = raw_rows(&merged);
        prop_assert!(rows.iter().any(|row| row.get().contains(r#""good""#)));
    }
    Ok(())
}
