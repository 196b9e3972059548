//! Merges `GET /system/df`: the disk usage of all nodes together.
//!
//! Numbers are summed and lists are concatenated, each row with its node.
//! No rows are united: an image on three nodes takes its space three times. The
//! answer has one shape since API 1.52 (`ImageUsage` and so on), another before
//! it, and engines also send both at once; all are read.

use super::fold::{self, Fold};
use super::{Merged, NodeAnswer};

const SHAPE: &str = "an object with the disk usage";

/// Go clients read an `int64`.
const SUM: Fold = Fold::Sum {
    most: i64::MAX as i128,
};

pub(super) fn merge(answers: &[NodeAnswer]) -> Merged {
    fold::merge(schema, SHAPE, answers)
}

fn schema(name: &str, _: &str) -> Fold {
    match name {
        "LayersSize" | "BuilderSize" => SUM,
        "Images" | "Containers" | "Volumes" | "BuildCache" => Fold::Rows,
        "ImageUsage" | "ContainerUsage" | "VolumeUsage" | "BuildCacheUsage" => {
            Fold::Objects(of_one_kind)
        }
        _ => Fold::First,
    }
}

fn of_one_kind(name: &str, _: &str) -> Fold {
    match name {
        "ActiveCount" | "TotalCount" | "TotalSize" | "Reclaimable" => SUM,
        "Items" => Fold::Rows,
        _ => Fold::First,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merged, worker};
    use super::super::{MergeRule, merge};

    fn usage(bodies: &[&str]) -> String {
        let answers = bodies.iter().enumerate();
        let answers = answers.map(|(i, body)| worker(&format!("n{i}"), body));
        let body = merged(&MergeRule::DataUsage, answers.collect());
        body.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn an_old_answer_has_the_rows_of_all_nodes_and_the_sum_of_their_layers() {
        let body = r#"{"LayersSize":100,"Images":[{"Id":"i","Size":1.0}],"Containers":null,"Volumes":[],"BuildCache":null,"BuilderSize":-1}"#;
        assert_eq!(
            usage(&[body, body]),
            concat!(
                r#"{"LayersSize":200,"Images":["#,
                r#"{"Id":"i","Size":1.0,"Portainer":{"Agent":{"NodeName":"N0","NodeID":"n0"}}},"#,
                r#"{"Id":"i","Size":1.0,"Portainer":{"Agent":{"NodeName":"N1","NodeID":"n1"}}}"#,
                r#"],"Containers":null,"Volumes":[],"BuildCache":null,"BuilderSize":-1}"#
            )
        );
    }

    #[test]
    fn a_new_answer_is_summed_per_kind_and_fields_left_out_are_zero() {
        let one = r#"{"ImageUsage":{"TotalCount":2,"TotalSize":10,"Reclaimable":4,"Later":[1]},"VolumeUsage":{"TotalSize":-1}}"#;
        let two = r#"{"ImageUsage":{"ActiveCount":1,"TotalCount":3,"Items":[{"Id":"i"}]},"VolumeUsage":{"TotalSize":7},"BuildCacheUsage":{}}"#;
        assert_eq!(
            usage(&[one, two]),
            concat!(
                r#"{"ImageUsage":{"TotalCount":5,"TotalSize":10,"Reclaimable":4,"Later":[1],"ActiveCount":1,"#,
                r#""Items":[{"Id":"i","Portainer":{"Agent":{"NodeName":"N1","NodeID":"n1"}}}]},"#,
                r#""VolumeUsage":{"TotalSize":7},"BuildCacheUsage":{}}"#
            )
        );
    }

    #[test]
    fn a_kind_that_is_null_on_the_first_node_comes_from_the_others() {
        assert_eq!(
            usage(&[
                r#"{"ImageUsage":null,"Images":null}"#,
                r#"{"ImageUsage":{"TotalSize":1},"Images":[]}"#
            ]),
            r#"{"ImageUsage":{"TotalSize":1},"Images":[]}"#
        );
    }

    #[test]
    fn an_unknown_number_does_not_count_in_the_sum() {
        let sum = |sizes: &[&str]| {
            let bodies = sizes
                .iter()
                .map(|size| format!(r#"{{"LayersSize":{size}}}"#));
            let bodies: Vec<String> = bodies.collect();
            let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
            usage(&bodies)
        };
        for (sizes, expected) in [
            (["-1", "5", "2"], "7"),
            (["-1", "-1", "-1"], "-1"),
            (["0", "-1", "-1"], "0"),
            (["9223372036854775807", "1", "1"], "9223372036854775807"),
            (["null", "1", "1"], "2"),
        ] {
            assert_eq!(sum(&sizes), format!(r#"{{"LayersSize":{expected}}}"#));
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_its_node() {
        for odd in [
            r#"{"message":"no"}"#,
            r#"{"LayersSize":"1"}"#,
            r#"{"LayersSize":1e3}"#,
            r#"{"Images":{}}"#,
            r#"{"Images":["x"]}"#,
            r#"{"ImageUsage":[]}"#,
            r#"{"ImageUsage":{"Items":[5]}}"#,
        ] {
            let merged = merge(&MergeRule::DataUsage, vec![worker("n1", odd)]);
            assert_eq!(merged.unusable.len(), 1, "{odd}");
        }
    }
}
