//! Prunes: on one node by default, on all nodes with `Skep-Target: *`.

use serde_json::json;
use skep_bed::Behaviour;

use super::*;

const PRUNES: [(&str, &str); 5] = [
    ("/containers/prune", "ContainersDeleted"),
    ("/images/prune", "ImagesDeleted"),
    ("/volumes/prune", "VolumesDeleted"),
    ("/networks/prune", "NetworksDeleted"),
    ("/build/prune", "CachesDeleted"),
];

fn with_unused_objects() -> [Plan; 3] {
    let space = |plan: Plan, node: &str, space: u64| {
        plan.engine(|e| {
            PRUNES.iter().fold(e, |e, (path, list)| {
                let deleted = json!({ *list: [format!("of-{node}")], "SpaceReclaimed": space });
                e.answer("POST", path, 200, deleted)
            })
        })
    };
    let [n1, n2, n3] = three_nodes();
    [
        space(n1, "n1", 1),
        space(n2, "n2", 20),
        space(n3, "n3", 300),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_runs_on_one_node_or_with_the_target_star_on_all() {
    with_cluster(with_unused_objects(), async |bed| {
        for (path, list) in PRUNES {
            for (n, entry) in NODES.into_iter().enumerate() {
                let before = asked(bed, path);
                let answer = bed
                    .operator(entry)
                    .ask("POST", path, &[], b"")
                    .await
                    .unwrap();
                let one = answer.json().unwrap();
                assert_eq!(one[list], json!([format!("of-{entry}")]), "{path}");
                let mut after = before.clone();
                after[n] += 1;
                assert_eq!(asked(bed, path), after, "{path} at {entry} alone");

                let target = format!("/v1.41{path}?filters=%7B%22until%22%3A%5B%221h%22%5D%7D");
                let answer = bed
                    .operator(entry)
                    .ask("POST", &target, &[ALL], b"")
                    .await
                    .unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.header("Skep-Missing"), None);
                let all = answer.json().unwrap();
                let mut deleted: Vec<_> = all[list].as_array().unwrap().iter().collect();
                deleted.sort_by_key(|d| d.to_string());
                assert_eq!(deleted, ["of-n1", "of-n2", "of-n3"], "{path}");
                assert_eq!(all["SpaceReclaimed"], 321);
                after.iter_mut().for_each(|n| *n += 1);
                assert_eq!(asked(bed, path), after, "{path} once on each node");
                for node in NODES {
                    let seen = bed.node(node).engine.requests_to(path);
                    assert_eq!(seen.last().unwrap().target, target, "{node}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_names_the_nodes_that_failed() {
    with_cluster(with_unused_objects(), async |bed| {
        behave(bed, "n2", "/volumes", Behaviour::Status(500));
        let answer = bed
            .operator("n1")
            .ask("POST", "/volumes/prune", &[ALL], b"")
            .await
            .unwrap();
        let missing = answer.header("Skep-Missing").unwrap();
        assert!(missing.starts_with(&bed.node("n2").id), "{missing}");
        assert_eq!(answer.json().unwrap()["SpaceReclaimed"], 301);
        for node in ["n1", "n3"] {
            behave(bed, node, "/volumes", Behaviour::Status(409));
        }
        let answer = bed
            .operator("n1")
            .ask("POST", "/volumes/prune", &[ALL], b"")
            .await
            .unwrap();
        assert_eq!(answer.status, 409, "{}", answer.text());
    })
    .await;
}
