//! Versions only rise, and every agent learns of them.

use std::time::{Duration, Instant};

use skep::config::Operator;
use skep_bed::SwarmStore;
use skep_filters::auth::{Signer, SigningKey};
use skep_filters::people::{Document, Envelope};

use super::{PEOPLE, everywhere, has, list, put, send, signed, three, until, user};
use crate::common::{ClusterBuilder, generation, manager, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_in_force_on_every_agent_within_five_seconds_by_any_of_them() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            for (n, node) in ["n1", "n2", "n3"].iter().enumerate() {
                let version = n as u64 + 1;
                let began = Instant::now();
                put(bed, node, &list(version, vec![user("alice", "admin")])).await;
                assert!(
                    began.elapsed() < Duration::from_secs(5),
                    "{:?}",
                    began.elapsed()
                );
            }
            assert_eq!(
                store.names(),
                ["skep-people-1", "skep-people-2", "skep-people-3"]
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_at_once_one_gets_a_conflict_and_nothing_is_lost() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            put(bed, "n1", &list(1, vec![])).await;
            for version in 2..12 {
                let mine = signed(&list(version, vec![user("alice", "admin")]));
                let theirs = signed(&list(version, vec![user("bob", "admin")]));
                let (one, other) = tokio::join!(send(bed, "n1", &mine), send(bed, "n2", &theirs));
                let mut statuses = [one.status, other.status];
                statuses.sort_unstable();
                assert_eq!(statuses, [200, 409], "{} {}", one.text(), other.text());
                let refused = if one.status == 409 { &one } else { &other };
                assert!(
                    refused.text().contains("somebody else has changed"),
                    "{}",
                    refused.text()
                );
                everywhere(bed, version).await;
                let taken = if one.status == 200 { mine } else { theirs };
                for node in ["n1", "n2", "n3"] {
                    let shown = bed.operator(node).get(PEOPLE).await.unwrap();
                    assert_eq!(shown.body, taken, "{node}");
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_a_skipped_an_altered_and_a_foreign_version_are_refused() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let first = list(1, vec![user("alice", "admin")]);
            put(bed, "n1", &first).await;
            put(bed, "n1", &list(2, vec![])).await;
            for version in [1, 2, 4] {
                let answer = send(bed, "n1", &signed(&list(version, vec![]))).await;
                assert_eq!(answer.status, 409, "{version}: {}", answer.text());
            }
            let next = list(3, vec![user("bob", "read-only")]);
            let text = String::from_utf8(signed(&next)).unwrap();
            let altered = text.replace("read-only", "admin");
            let audience = generation().audience().clone();
            let id = generation().operator_key_id();
            let sign = |key, audience| {
                let signer = Signer::new(key, audience);
                Envelope::sign(&next, &signer).unwrap().to_json().unwrap()
            };
            let wrong = SigningKey::hmac(&id, &[7; 32]).unwrap();
            let own = SigningKey::hmac(&id, generation().operator_key()).unwrap();
            let other = skep_filters::auth::Audience::of_public_key(b"another cluster");
            for bytes in [
                altered.into_bytes(),
                sign(wrong, audience),
                sign(own, other),
            ] {
                let answer = send(bed, "n3", &bytes).await;
                assert_eq!(answer.status, 400, "{}", answer.text());
                assert!(
                    answer.text().contains("no operator of this cluster"),
                    "{}",
                    answer.text()
                );
            }
            let answer = send(bed, "n1", b"{}").await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            has(bed, "n1", 2).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_policies_and_users_are_refused_with_line_and_reason() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let wrong = Document {
                policies: "policies:\n  team:\n    allow: [nothing.such]\n".to_owned(),
                ..list(1, vec![])
            };
            let answer = send(bed, "n1", &signed(&wrong)).await;
            assert_eq!(answer.status, 400);
            let said = answer.json().unwrap()["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(
                said.contains("policies:3:") && said.contains("nothing.such"),
                "{said}"
            );
            let mut disabled = user("alice", "no-such-policy");
            disabled.enabled = false;
            let answer = send(bed, "n1", &signed(&list(1, vec![disabled]))).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(
                answer.text().contains("no-such-policy"),
                "{}",
                answer.text()
            );
            assert!(store.names().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_away_and_an_old_disk_bring_no_old_rights_back() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            put(bed, "n1", &list(1, vec![user("alice", "admin")])).await;
            let state = bed.node("n3").config.state_dir.join("people");
            let old = std::fs::read(state.join("1.json")).unwrap();
            bed.node_mut("n3").stop().await;
            put(bed, "n1", &list(2, vec![])).await;
            put(bed, "n2", &list(3, vec![])).await;
            bed.node_mut("n3").start().await.unwrap();
            has(bed, "n3", 3).await;
            // The disk of a month ago.
            bed.node_mut("n3").stop().await;
            std::fs::remove_dir_all(&state).unwrap();
            std::fs::create_dir_all(&state).unwrap();
            std::fs::write(state.join("1.json"), &old).unwrap();
            bed.node_mut("n3").start().await.unwrap();
            has(bed, "n3", 3).await;
            let kept = std::fs::read_dir(&state).unwrap().count();
            assert_eq!(kept, 2, "the old one and the newest");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_raft_store_brings_no_old_version_back() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            for version in 1..=3 {
                put(bed, "n1", &list(version, vec![])).await;
            }
            for version in 2..=3 {
                store.remove(&format!("skep-people-{version}"));
            }
            bed.node_mut("n2").stop().await;
            let state = bed.node("n2").config.state_dir.clone();
            std::fs::remove_dir_all(state.join("people")).unwrap();
            bed.node_mut("n2").start().await.unwrap();
            // The others tell of the newer one, which the store does not have any more.
            has(bed, "n2", 3).await;
            put(bed, "n2", &list(4, vec![])).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_a_manager_that_ended_before_it_could_tell_is_found_in_the_store() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            put(bed, "n1", &list(1, vec![])).await;
            let next = signed(&list(2, vec![user("alice", "admin")]));
            let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &next);
            store.add(
                "skep-people-2",
                serde_json::json!({ "skep.people": "2" }),
                &data,
            );
            everywhere(bed, 2).await;
            // What nobody has signed counts for nothing.
            store.add(
                "skep-people-3",
                serde_json::json!({ "skep.people": "3" }),
                "e30=",
            );
            let answer = send(bed, "n3", &signed(&list(3, vec![]))).await;
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(
                answer.text().contains("docker config rm skep-people-3"),
                "{}",
                answer.text()
            );
            store.remove("skep-people-3");
            put(bed, "n3", &list(3, vec![])).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_versions_are_kept_for_rollback_and_old_ones_go() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            for version in 1..=8 {
                put(bed, "n1", &list(version, vec![])).await;
            }
            until("old versions go", async || store.names().len() == 5).await;
            let version = |n: u64| format!("{PEOPLE}/versions?version={n}");
            for node in ["n1", "n3"] {
                let shown = bed.operator(node).get(&version(5)).await.unwrap();
                assert_eq!(shown.status, 200, "{}", shown.text());
                assert_eq!(shown.body, signed(&list(5, vec![])));
                let gone = bed.operator(node).get(&version(2)).await.unwrap();
                assert_eq!(gone.status, 404, "{}", gone.text());
            }
            let last = bed.node("n3").config.state_dir.join("people");
            assert_eq!(std::fs::read_dir(last).unwrap().count(), 5);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_host_the_list_is_a_file_and_survives_the_agent() {
    let alone = || manager("n1").engine(|e| e.in_swarm(false));
    let host = ClusterBuilder::of([alone()])
        .configure(super::own_state)
        .without_settling();
    host.run(async |bed| {
        has(bed, "n1", 0).await;
        put(bed, "n1", &list(1, vec![user("alice", "admin")])).await;
        let again = send(bed, "n1", &signed(&list(1, vec![]))).await;
        assert_eq!(again.status, 409, "{}", again.text());
        bed.node_mut("n1").stop().await;
        bed.node_mut("n1").start().await.unwrap();
        has(bed, "n1", 1).await;
        put(bed, "n1", &list(2, vec![])).await;
        let old = format!("{PEOPLE}/versions?version=1");
        let old = bed.operator("n1").get(&old).await.unwrap();
        assert_eq!(old.status, 200, "{}", old.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_operator_nobody_can_change_the_list() {
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(|hostname, folder, config| {
            super::own_state(hostname, folder, config);
            if hostname == "n2" {
                config.cluster.operator = Operator::Off;
            }
        })
        .run(async |bed| {
            let answer = send(bed, "n1", &signed(&list(1, vec![user("alice", "admin")]))).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            // An agent without an operator takes nothing.
            let warned = || !crate::common::warnings_of("is not taken").is_empty();
            assert!(skep_bed::eventually(warned).await);
            assert!(!bed.node("n2").config.state_dir.join("people").exists());
        })
        .await;
}
