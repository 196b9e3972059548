//! Merges `GET /info`: one node's answer with the counts of all.
//!
//! Most of `/info` is about one engine, and clients decide by its `Swarm` which
//! endpoints they use. So the answer is that of one node, the speaker.
//! Containers, images, CPUs and memory are summed. `SystemStatus`, which the
//! classic Swarm filled and the docker CLI still prints, has them per node. The
//! warnings of the other nodes follow those of the speaker.

use serde::Deserialize;

use super::error::MergeError;
use super::object::Object;
use super::split::read_all;
use super::{Merged, NodeAnswer, NodeTag};
use crate::json::{Elements, json_array, json_string, prefixed};

const SHAPE: &str = "an object with the counts of an engine";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Counts {
    containers: i64,
    containers_running: Option<i64>,
    containers_paused: Option<i64>,
    containers_stopped: Option<i64>,
    images: Option<i64>,
    #[serde(rename = "NCPU")]
    cpus: Option<i64>,
    /// Bytes.
    mem_total: Option<i64>,
    server_version: Option<String>,
}

/// A field to sum: its name, and how to read it.
type Total = (&'static str, fn(&Counts) -> Option<i64>);

const TOTALS: [Total; 7] = [
    ("Containers", |counts| Some(counts.containers)),
    ("ContainersRunning", |counts| counts.containers_running),
    ("ContainersPaused", |counts| counts.containers_paused),
    ("ContainersStopped", |counts| counts.containers_stopped),
    ("Images", |counts| counts.images),
    ("NCPU", |counts| counts.cpus),
    ("MemTotal", |counts| counts.mem_total),
];

/// One node's answer.
struct Info<'a> {
    node: &'a NodeTag,
    object: Object<'a>,
    counts: Counts,
    /// JSON strings.
    warnings: Vec<&'a str>,
}

fn read(answer: &NodeAnswer) -> Result<Info<'_>, MergeError> {
    let object = Object::of_body(&answer.body, SHAPE)?;
    let shape = |e| MergeError::of_body(&e, SHAPE);
    let counts = serde_json::from_str(object.text).map_err(shape)?;
    let warnings = match object.get("Warnings") {
        None => Vec::new(),
        Some(text) => {
            let list: Elements<'_> = serde_json::from_str(text).map_err(shape)?;
            list.texts()?
        }
    };
    if warnings.iter().any(|warning| !warning.starts_with('"')) {
        return Err(MergeError::Shape { expected: SHAPE });
    }
    Ok(Info {
        node: &answer.node,
        object,
        counts,
        warnings,
    })
}

pub(super) fn merge(speaker: &str, answers: &[NodeAnswer]) -> Merged {
    let (infos, unusable) = read_all(answers, read);
    let mut body = totalled(speaker, &infos).unwrap_or_else(|| "{}".to_owned());
    body.push('\n');
    Merged {
        body: body.into_bytes(),
        unusable,
    }
}

/// `None` if no node answered.
fn totalled(speaker: &str, infos: &[Info<'_>]) -> Option<String> {
    let at = infos
        .iter()
        .position(|info| info.node.id == speaker)
        .or_else(|| infos.iter().position(|info| info.node.is_manager))
        .unwrap_or(0);
    let base = infos.get(at)?;

    let mut rewrite = base.object.rewrite();
    for (name, count) in TOTALS {
        let counts = infos.iter().filter_map(|info| count(&info.counts));
        if let Some(total) = counts.reduce(i64::saturating_add) {
            rewrite.set(name, total.to_string());
        }
    }
    rewrite.set("SystemStatus", system_status(infos));

    let mut warnings: Vec<String> = Vec::new();
    for (_, info) in infos.iter().enumerate().filter(|(i, _)| *i != at) {
        let prefix = format!("{}: ", info.node.hostname);
        let own = info.warnings.iter();
        warnings.extend(own.filter_map(|warning| prefixed(warning, &prefix)));
    }
    if !warnings.is_empty() {
        let own = base.warnings.iter().map(|warning| (*warning).to_owned());
        rewrite.set("Warnings", json_array(own.chain(warnings)));
    }
    Some(rewrite.finish())
}

/// Pairs of name and value, which the docker CLI prints one per line.
fn system_status(infos: &[Info<'_>]) -> String {
    let mut pairs = vec![pair("Nodes", &infos.len().to_string())];
    for Info { node, counts, .. } in infos {
        let number = |count: Option<i64>| count.unwrap_or_default();
        let containers = format!(
            "{} ({} running, {} paused, {} stopped)",
            counts.containers,
            number(counts.containers_running),
            number(counts.containers_paused),
            number(counts.containers_stopped),
        );
        let size = format!(
            "{} / {}",
            number(counts.cpus),
            binary_size(number(counts.mem_total))
        );
        let version = counts.server_version.as_deref().unwrap_or("unknown");
        pairs.extend([
            pair(&format!(" {}", node.hostname), &node.id),
            pair("  └ Containers", &containers),
            pair("  └ CPUs / Memory", &size),
            pair("  └ Engine", version),
        ]);
    }
    json_array(pairs)
}

fn pair(name: &str, value: &str) -> String {
    json_array([json_string(name), json_string(value)])
}

/// A size for people: `7.6 GiB`.
fn binary_size(bytes: i64) -> String {
    let mut size = bytes as f64;
    if size < 1024.0 {
        return format!("{bytes} B");
    }
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{manager, merged, worker};
    use super::super::{MergeRule, NodeAnswer, merge};
    use super::*;

    fn rule(speaker: &str) -> MergeRule {
        MergeRule::InfoTotals {
            speaker: speaker.to_owned(),
        }
    }

    fn info(name: &str, warnings: &str) -> String {
        format!(
            r#"{{"ID":"{name}","Containers":3,"ContainersRunning":2,"ContainersPaused":0,"ContainersStopped":1,"Images":4,"NCPU":4,"MemTotal":8198619136,"ServerVersion":"28.5.2","Swarm":{{"ControlAvailable":true}},"Warnings":{warnings}}}"#
        )
    }

    fn value(answers: Vec<NodeAnswer>) -> serde_json::Value {
        serde_json::from_str(&merged(&rule("n2"), answers)).unwrap()
    }

    #[test]
    fn the_speakers_answer_has_the_counts_of_all_and_a_report_per_node() {
        let body = merged(
            &rule("n2"),
            vec![
                worker("n1", &info("one", "null")),
                manager("n2", &info("two", "null")),
            ],
        );
        let status = |host: &str, id: &str| {
            format!(
                r#"[" {host}","{id}"],["  └ Containers","3 (2 running, 0 paused, 1 stopped)"],["  └ CPUs / Memory","4 / 7.6 GiB"],["  └ Engine","28.5.2"]"#
            )
        };
        assert_eq!(
            body,
            format!(
                r#"{{"ID":"two","Containers":6,"ContainersRunning":4,"ContainersPaused":0,"ContainersStopped":2,"Images":8,"NCPU":8,"MemTotal":16397238272,"ServerVersion":"28.5.2","Swarm":{{"ControlAvailable":true}},"Warnings":null,"SystemStatus":[["Nodes","2"],{},{}]}}{}"#,
                status("N1", "n1"),
                status("N2", "n2"),
                "\n"
            )
        );
    }

    #[test]
    fn without_the_speaker_the_first_manager_is_the_base_else_the_first_node() {
        let info = |id: &str| info(id, "[]");
        let with_manager = vec![
            worker("n1", &info("one")),
            manager("n4", &info("four")),
            manager("n3", &info("three")),
        ];
        assert_eq!(value(with_manager)["ID"], "three");
        let without = vec![worker("n3", &info("three")), worker("n1", &info("one"))];
        assert_eq!(value(without)["ID"], "one");
    }

    #[test]
    fn warnings_of_the_other_nodes_name_their_node() {
        let own = r#"["WARNING: a\u003c"]"#;
        let other = r#"["WARNING: b\u003c","c"]"#;
        let answers = |two: &str| {
            vec![
                worker("n1", &info("one", other)),
                worker("n2", &info("two", two)),
            ]
        };
        let text = merged(&rule("n2"), answers(own));
        let expected = r#""Warnings":["WARNING: a\u003c","N1: WARNING: b\u003c","N1: c"]"#;
        assert!(text.contains(expected), "{text}");
        let text = merged(&rule("n2"), answers("null"));
        let expected = r#""Warnings":["N1: WARNING: b\u003c","N1: c"]"#;
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn memory_is_printed_for_people() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (8_198_619_136, "7.6 GiB"),
            (i64::MAX, "8.0 EiB"),
            (-1, "-1 B"),
        ] {
            assert_eq!(binary_size(bytes), expected);
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_its_node() {
        for odd in [
            r#"{"message":"no"}"#,
            "[3,2]",
            r#"{"Containers":"3"}"#,
            r#"{"Containers":3,"NCPU":1.5}"#,
            r#"{"Containers":3,"Warnings":"x"}"#,
            r#"{"Containers":3,"Warnings":[5]}"#,
        ] {
            let merged = merge(&rule("n2"), vec![worker("n1", odd)]);
            assert_eq!(merged.unusable.len(), 1, "{odd}");
        }
    }
}
