//! Fuzzes the merge of two engines' answers: the result is always JSON.
//!
//! The bytes are a letter that chooses the rule, and two bodies with a NUL
//! between them.

use bytes::Bytes;

use super::is_json;
use crate::aggregate::{
    Bound, ContainerQuery, MergeRule, NodeAnswer, NodeTag, VolumeFilter, merge,
};

/// Merges them, in either order.
///
/// # Panics
/// If the result is not JSON, or depends on the order of the answers, or on one
/// that is reported as unusable.
pub fn run(data: &[u8]) {
    let Some((choice, bodies)) = data.split_first() else {
        return;
    };
    let rules = rules();
    let choice = usize::from(choice.wrapping_sub(b'a')) % rules.len();
    let Some(rule) = rules.get(choice) else {
        return;
    };
    let (one, other) = super::head::part(bodies, 0).unwrap_or((bodies, b"null"));
    let answers = [
        answer("n1", "web \"1\"", true, one),
        answer("n2", "web2", false, other),
    ];

    let merged = merge(rule, answers.to_vec());
    let [one, other] = answers.clone();
    assert_eq!(merge(rule, vec![other, one]), merged, "the order matters");
    assert!(is_json(&merged.body), "the result is not JSON");
    assert!(merged.body.ends_with(b"\n"));

    let is_usable = |answer: &NodeAnswer| {
        let mut unusable = merged.unusable.iter();
        !unusable.any(|(node, _)| node.id == answer.node.id)
    };
    let usable: Vec<_> = answers.into_iter().filter(is_usable).collect();
    let alone = merge(rule, usable);
    assert_eq!(alone.unusable, [], "no longer usable");
    assert_eq!(alone.body, merged.body, "an unusable answer matters");
}

fn rules() -> Vec<MergeRule> {
    let bound = |time| Bound::new(time, "n1").ok();
    vec![
        MergeRule::Containers(ContainerQuery::default()),
        MergeRule::Containers(ContainerQuery {
            limit: Some(1),
            before: bound("1970-01-01T00:00:09Z"),
            since: bound("1970-01-01T00:00:02.5+00:00"),
        }),
        MergeRule::Images,
        MergeRule::ImagesApart,
        MergeRule::Volumes(VolumeFilter::default()),
        MergeRule::Volumes(VolumeFilter {
            names: vec!["^v.\\.$".into(), "(a".into()],
            drivers: vec!["csi".into()],
            labels: vec!["a=b".into(), "c".into()],
            dangling: Some(false),
        }),
        MergeRule::Networks,
        MergeRule::NetworkInspect,
        MergeRule::Prune,
        MergeRule::DataUsage,
        MergeRule::InfoTotals {
            speaker: "n2".into(),
        },
    ]
}

fn answer(id: &str, hostname: &str, is_manager: bool, body: &[u8]) -> NodeAnswer {
    NodeAnswer {
        node: NodeTag {
            id: id.to_owned(),
            hostname: hostname.to_owned(),
            is_manager,
        },
        body: Bytes::copy_from_slice(body),
    }
}
