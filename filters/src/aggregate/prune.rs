//! Merges `POST /containers/prune`, and that of images, volumes, networks and the
//! build cache: the objects deleted on any node, and the total space.
//!
//! An engine lists deleted objects by name or id alone, so the merged list does
//! not name their nodes.

use super::fold::{self, Fold};
use super::{Merged, NodeAnswer};

const SHAPE: &str = "an object with a list of deleted objects";

pub(super) fn merge(answers: &[NodeAnswer]) -> Merged {
    fold::merge(schema, SHAPE, answers)
}

fn schema(name: &str, value: &str) -> Fold {
    match name {
        "SpaceReclaimed" => Fold::Sum {
            most: i128::from(u64::MAX),
        },
        _ if name.ends_with("Deleted") => Fold::Lists,
        // Of a later engine; Go writes an empty list as null.
        _ if value.starts_with('[') || value == "null" => Fold::Lists,
        _ => Fold::First,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merged, worker};
    use super::super::{MergeRule, merge};

    fn pruned(bodies: &[&str]) -> String {
        let answers = bodies.iter().enumerate();
        let answers = answers.map(|(i, body)| worker(&format!("n{i}"), body));
        let body = merged(&MergeRule::Prune, answers.collect());
        body.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn lists_follow_each_other_and_the_space_adds_up() {
        let table: [(&[&str], &str); 7] = [
            (
                &[
                    r#"{"ContainersDeleted":["a","b"],"SpaceReclaimed":5}"#,
                    r#"{"ContainersDeleted":null,"SpaceReclaimed":0}"#,
                    r#"{"ContainersDeleted":["a"],"SpaceReclaimed":7}"#,
                ],
                r#"{"ContainersDeleted":["a","b","a"],"SpaceReclaimed":12}"#,
            ),
            (
                &[
                    r#"{"ImagesDeleted":null,"SpaceReclaimed":0}"#,
                    r#"{"ImagesDeleted":null,"SpaceReclaimed":0}"#,
                ],
                r#"{"ImagesDeleted":null,"SpaceReclaimed":0}"#,
            ),
            (
                &[
                    r#"{"ImagesDeleted":[{"Untagged":"a:1"},{"Deleted":"sha256:0\u003c"}]}"#,
                    r#"{"ImagesDeleted":[{ "Untagged":"a:1"}],"SpaceReclaimed":3}"#,
                ],
                r#"{"ImagesDeleted":[{"Untagged":"a:1"},{"Deleted":"sha256:0\u003c"},{ "Untagged":"a:1"}],"SpaceReclaimed":3}"#,
            ),
            (
                &[
                    r#"{"NetworksDeleted":["a"]}"#,
                    r#"{"NetworksDeleted":["b"]}"#,
                ],
                r#"{"NetworksDeleted":["a","b"]}"#,
            ),
            // Members that only some nodes have, or that no rule knows.
            (
                &[
                    r#"{"CachesDeleted":[],"Later":1.50}"#,
                    r#"{"CachesDeleted":["x"],"Later":2,"More":["m"],"Most":{"a":1}}"#,
                ],
                r#"{"CachesDeleted":["x"],"Later":1.50,"More":["m"],"Most":{"a":1}}"#,
            ),
            // A sum beyond the largest number that clients read is capped.
            (
                &[
                    r#"{"VolumesDeleted":[],"SpaceReclaimed":18446744073709551615}"#,
                    r#"{"VolumesDeleted":[],"SpaceReclaimed":1}"#,
                ],
                r#"{"VolumesDeleted":[],"SpaceReclaimed":18446744073709551615}"#,
            ),
            (
                &[r#"{ "VolumesDeleted":[ "v" ], "SpaceReclaimed": 1 }"#],
                r#"{ "VolumesDeleted":[ "v" ], "SpaceReclaimed": 1 }"#,
            ),
        ];
        for (bodies, expected) in table {
            assert_eq!(pruned(bodies), expected);
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_its_node() {
        for odd in [
            r#"{"message":"no"}"#,
            r#"{"ContainersDeleted":5}"#,
            r#"{"ContainersDeleted":{}}"#,
            r#"{"ContainersDeleted":[],"SpaceReclaimed":1.5}"#,
            r#"{"ContainersDeleted":[],"SpaceReclaimed":"1"}"#,
            r#"{"ContainersDeleted":[],"ContainersDeleted":[]}"#,
        ] {
            let merged = merge(&MergeRule::Prune, vec![worker("n1", odd)]);
            assert_eq!(merged.unusable.len(), 1, "{odd}");
            assert_eq!(merged.body, b"{}\n", "{odd}");
        }
    }
}
