//! Implements the merge rules for lists slowly and plainly, on parsed values.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::super::{MergeRule, NodeTag};

type Nodes<'a> = &'a [(NodeTag, Vec<Value>)];

pub(super) fn merge(rule: &MergeRule, nodes: Nodes<'_>) -> Value {
    match rule {
        MergeRule::Containers(_) | MergeRule::ImagesApart => {
            let mut rows = all(nodes);
            rows.sort_by_key(|(_, row)| Reverse(row["Created"].as_i64()));
            rows.into_iter().map(decorated).collect()
        }
        MergeRule::Images => images(nodes),
        MergeRule::Networks => deduped(nodes, |row| {
            (row["Scope"] != "local").then(|| row["Id"].clone())
        }),
        MergeRule::Volumes(_) => {
            let volumes = deduped(nodes, |row| match row.get("ClusterVolume") {
                Some(cluster) => Some(json!({ "cluster": cluster["ID"] })),
                None => (row["Scope"] == "global").then(|| json!([row["Driver"], row["Name"]])),
            });
            let warnings: Vec<String> = nodes.iter().map(|(n, _)| format!("of {}", n.id)).collect();
            if warnings.is_empty() {
                json!({ "Volumes": volumes, "Warnings": null })
            } else {
                json!({ "Volumes": volumes, "Warnings": warnings })
            }
        }
        MergeRule::NetworkInspect
        | MergeRule::Prune
        | MergeRule::DataUsage
        | MergeRule::InfoTotals { .. }
        | MergeRule::ImagesBetween { .. } => unreachable!("no list of all rows"),
    }
}

/// All rows in node order, then engine order.
fn all(nodes: Nodes<'_>) -> Vec<(&NodeTag, Value)> {
    let rows = nodes.iter();
    rows.flat_map(|(node, rows)| rows.iter().map(move |row| (node, row.clone())))
        .collect()
}

pub(super) fn decorated((node, row): (&NodeTag, Value)) -> Value {
    with_agent(row, json!({ "NodeName": node.hostname, "NodeID": node.id }))
}

fn with_agent(mut row: Value, agent: Value) -> Value {
    if !row["Portainer"].is_object() {
        row["Portainer"] = json!({});
    }
    row["Portainer"]["Agent"] = agent;
    row
}

/// Of the rows with the same key the first manager's, else the first.
fn deduped(nodes: Nodes<'_>, key: impl Fn(&Value) -> Option<Value>) -> Value {
    let rows = all(nodes);
    let stays = |at: usize| {
        let Some(own) = key(&rows[at].1) else {
            return true;
        };
        let same: Vec<usize> = (0..rows.len())
            .filter(|&i| key(&rows[i].1).as_ref() == Some(&own))
            .collect();
        let manager = same.iter().find(|&&i| rows[i].0.is_manager);
        manager.or(same.first()) == Some(&at)
    };
    (0..rows.len())
        .filter(|&at| stays(at))
        .map(|at| decorated(rows[at].clone()))
        .collect()
}

fn images(nodes: Nodes<'_>) -> Value {
    let rows = all(nodes);
    let mut images: Vec<Vec<(&NodeTag, Value)>> = Vec::new();
    for (node, row) in rows {
        match images
            .iter_mut()
            .find(|image| image[0].1["Id"] == row["Id"])
        {
            Some(image) => image.push((node, row)),
            None => images.push(vec![(node, row)]),
        }
    }
    images.sort_by_key(|image| Reverse(image[0].1["Created"].as_i64()));
    images.into_iter().map(|image| united(&image)).collect()
}

fn united(image: &[(&NodeTag, Value)]) -> Value {
    let (first, mut row) = image[0].clone();
    if image.len() > 1 {
        for field in ["RepoTags", "RepoDigests"] {
            row[field] = names(image, field);
        }
        let counts: Vec<i64> = image
            .iter()
            .map(|(_, row)| row["Containers"].as_i64().unwrap())
            .collect();
        row["Containers"] = if counts.contains(&-1) {
            json!(-1)
        } else {
            json!(counts.iter().sum::<i64>())
        };
    }
    let mut nodes: Vec<&str> = image.iter().map(|(n, _)| n.hostname.as_str()).collect();
    nodes.dedup();
    let agent = json!({ "NodeName": first.hostname, "NodeID": first.id, "Nodes": nodes });
    with_agent(row, agent)
}

fn names(image: &[(&NodeTag, Value)], field: &str) -> Value {
    let list = |row: &Value| row[field].as_array().cloned().unwrap_or_default();
    let own = list(&image[0].1);
    let mut names = own.clone();
    for name in image[1..].iter().flat_map(|(_, row)| list(row)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.iter().any(|name| *name != "<none>:<none>") {
        names.retain(|name| *name != "<none>:<none>");
    }
    if names == own {
        return image[0].1[field].clone();
    }
    Value::from(names)
}
