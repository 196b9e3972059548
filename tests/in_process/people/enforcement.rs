//! The rights of users, and their end.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use skep::config::{CertificateIdentity, Certificates, Grant};
use skep::trust::ClientCredential;
use skep_bed::{Client, SwarmStore};
use skep_filters::auth::SigningKey;
use skep_filters::people::{Document, Revocation};

use super::{
    LIST, PEOPLE, audited, everywhere, joined, list, own_state, put, send, signed, three, until,
    user,
};
use crate::common::{ClusterBuilder, TestCluster, generation, manager, worker};

/// Seeds of RFC 8032's kind, and the public half of the first one.
const SEED: [u8; 32] = [
    0xd4, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8, 0xad,
    0x3a, 0xfe, 0x7c, 0x28, 0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75, 0x58, 0x42,
];
const PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

const FOLLOW: &str = "/containers/far/logs?follow=1&stdout=1";

async fn status(client: &Client, target: &str) -> u16 {
    client
        .get(target, &[])
        .await
        .map_or(0, |answer| answer.status)
}

async fn refused_everywhere(clients: &[Client], status_is: u16) {
    for client in clients {
        until("the user is refused", async || {
            status(client, LIST).await == status_is
        })
        .await;
    }
}

fn clients(bed: &TestCluster, person: &super::Person, certificate: &str) -> Vec<Client> {
    let nodes = bed.nodes.iter();
    nodes
        .map(|node| person.client(bed, &node.hostname, certificate))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_policy_holds_on_every_node_and_changes_while_agents_run() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let text = "policies: { team: { allow: [containers.read] } }";
            let mut document = list(1, vec![user("alice", "team")]);
            document.policies = text.to_owned();
            put(bed, "n2", &document).await;
            let (alice, certificate, mut document) = joined(bed, &document, "alice").await;
            for client in clients(bed, &alice, &certificate) {
                let answer = client.get(LIST, &[]).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(answer.json().unwrap().as_array().unwrap().len(), 3);
                assert_eq!(status(&client, "/images/json").await, 403);
            }
            document.version += 1;
            document.policies = text.replace("containers.read", "images.read");
            put(bed, "n1", &document).await;
            for client in clients(bed, &alice, &certificate) {
                until("another policy", async || {
                    status(&client, LIST).await == 403
                        && status(&client, "/images/json").await == 200
                })
                .await;
            }
            // A wrong one changes nothing.
            document.version += 1;
            document.policies = "policies: { team: { allow: [no] } }".to_owned();
            let refused = send(bed, "n1", &signed(&document)).await;
            assert_eq!(refused.status, 400);
            let client = alice.client(bed, "n3", &certificate);
            assert_eq!(status(&client, "/images/json").await, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_is_refused_everywhere_and_every_open_stream_ends() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let users = vec![user("alice", "admin"), user("bob", "admin")];
            put(bed, "n1", &list(1, users)).await;
            let (alice, certificate, document) = joined(
                bed,
                &list(1, vec![user("alice", "admin"), user("bob", "admin")]),
                "alice",
            )
            .await;
            let (bob, bobs, mut document) = joined(bed, &document, "bob").await;
            let upgrade = [
                ("Connection", "Upgrade"),
                ("Upgrade", "tcp"),
                ("Content-Type", "application/json"),
            ];
            let exec = "/exec/exact/start";
            let far = [("Skep-Target", "n3")];
            let far_exec = [far[0], upgrade[0], upgrade[1], upgrade[2]];
            let near_exec = [("Skep-Target", "n1"), upgrade[0], upgrade[1], upgrade[2]];
            let here = alice.client(bed, "n1", &certificate);
            let there = alice.client(bed, "n3", &certificate);
            // On this node and on another one; hijacked, proxied, relayed and merged.
            let mut local = here.hijack("POST", exec, &near_exec, b"{}").await.unwrap();
            let mut remote = here.hijack("POST", exec, &far_exec, b"{}").await.unwrap();
            assert_eq!((local.status, remote.status), (101, 101));
            local.stream.send(b"hello").await.unwrap();
            let mut streams = vec![
                here.stream("GET", FOLLOW, &[], b"").await.unwrap(),
                there.stream("GET", FOLLOW, &[], b"").await.unwrap(),
                here.stream("GET", "/events", &[], b"").await.unwrap(),
            ];
            let kept = bob.client(bed, "n3", &bobs);
            let mut kept = kept.stream("GET", FOLLOW, &[], b"").await.unwrap();
            document.version += 1;
            document.users[0].enabled = false;
            let began = Instant::now();
            put(bed, "n2", &document).await;
            let ends = async {
                for stream in [&mut local.stream, &mut remote.stream] {
                    let _ = stream.receive_to_end().await;
                }
                for stream in &mut streams {
                    while let Ok(Some(_)) = stream.next_chunk().await {}
                }
            };
            let ended = tokio::time::timeout(Duration::from_secs(8), ends).await;
            assert!(ended.is_ok(), "a stream goes on");
            refused_everywhere(&clients(bed, &alice, &certificate), 403).await;
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{:?}",
                began.elapsed()
            );
            for _ in 0..3 {
                assert!(kept.next_chunk().await.unwrap().is_some(), "others go on");
            }
            let answer = alice
                .client(bed, "n3", &certificate)
                .get(LIST, &[])
                .await
                .unwrap();
            assert!(answer.text().contains("disabled"), "{}", answer.text());
            // Who, whom, what, from where; and the end of the streams.
            let mut changes = Vec::new();
            for node in ["n1", "n2"] {
                changes.extend(audited(bed, node, PEOPLE, 1).await);
            }
            let said = |line: &&serde_json::Value| line["change"] == "disable user alice";
            let line = changes.iter().find(said).expect("a line about the change");
            assert!(
                line["who"].as_str().unwrap().starts_with("operator:"),
                "{line}"
            );
            assert!(line["from"].as_str().unwrap().starts_with("127."), "{line}");
            let execs = audited(bed, "n1", exec, 2).await;
            for line in &execs {
                assert_eq!(line["who"], "cert:alice");
            }
            // Of the other one, the agent of its node may have been faster.
            let local = execs.iter().find(|line| line["where"] == "local");
            let local = local.expect("a line about the local stream");
            let reason = local["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("has ended"), "{local}");
            // And back.
            document.version += 1;
            document.users[0].enabled = true;
            put(bed, "n1", &document).await;
            refused_everywhere(&clients(bed, &alice, &certificate), 200).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_user_who_comes_back_does_not_bring_old_certificates_back() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let document = list(1, vec![user("alice", "admin")]);
            put(bed, "n1", &document).await;
            let (alice, certificate, mut document) = joined(bed, &document, "alice").await;
            let all = clients(bed, &alice, &certificate);
            refused_everywhere(&all, 200).await;
            document.version += 1;
            document.users.clear();
            document.invitations.clear();
            put(bed, "n1", &document).await;
            refused_everywhere(&all, 403).await;
            let mut again = user("alice", "admin");
            again.since = skep::platform::clock::now().as_secs() + 1;
            document.version += 1;
            document.users.push(again);
            put(bed, "n2", &document).await;
            let (new, certificate, _) = joined(bed, &document, "alice").await;
            refused_everywhere(&clients(bed, &new, &certificate), 200).await;
            refused_everywhere(&all, 403).await;
            let answer = all[2].get(LIST, &[]).await.unwrap();
            assert!(answer.text().contains("revoked"), "{}", answer.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serial_number_is_revoked_once_for_the_whole_cluster_also_of_a_static_identity() {
    let certificate = |name: &str| {
        let now = skep::platform::clock::wall();
        let day = Duration::from_secs(86_400);
        ClientCredential::issue(&generation(), name, day, now).unwrap()
    };
    let (lost, kept) = (certificate("static"), certificate("static"));
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(|hostname, folder, config| {
            own_state(hostname, folder, config);
            config.auth.certificates = Some(Certificates {
                identities: vec![CertificateIdentity {
                    name: "static".to_owned(),
                    grant: Grant::admin(),
                }],
                revoked_file: None,
            });
        })
        .run(async |bed| {
            let of = |credential: &ClientCredential| {
                let person = super::Person {
                    key: credential.key_pem.to_string(),
                    request: String::new(),
                };
                clients(bed, &person, &credential.cert_pem)
            };
            refused_everywhere(&of(&lost), 200).await;
            // The list cannot take a static identity away, but a certificate of it.
            let mut hidden = user("static", "read-only");
            hidden.enabled = false;
            let document = Document {
                revoked: vec![Revocation {
                    serial: lost.certificate.serial.to_string(),
                    at: 1,
                }],
                ..list(1, vec![hidden])
            };
            let mut open = of(&lost)[0]
                .stream("GET", "/events", &[], b"")
                .await
                .unwrap();
            put(bed, "n1", &document).await;
            refused_everywhere(&of(&lost), 403).await;
            refused_everywhere(&of(&kept), 200).await;
            let ends = async { while let Ok(Some(_)) = open.next_chunk().await {} };
            assert!(
                tokio::time::timeout(Duration::from_secs(5), ends)
                    .await
                    .is_ok()
            );
            let shown = bed
                .operator("n2")
                .get("/skep/v1/people/users")
                .await
                .unwrap();
            let shown = shown.json().unwrap();
            let users = shown["users"].as_array().unwrap();
            let of_list = users.iter().find(|user| user["source"] == "list").unwrap();
            assert_eq!(of_list["hidden"], true);
            assert!(
                users
                    .iter()
                    .any(|user| user["source"] == "configuration" && user["name"] == "cert:static")
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_public_key_signs_and_stops_when_disabled() {
    assert_eq!(HEXLOWER.decode(PUBLIC.as_bytes()).unwrap().len(), 32);
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let mut bot = user("bot", "read-only");
            bot.public_key = Some(PUBLIC.to_owned());
            let mut document = list(1, vec![bot]);
            put(bed, "n1", &document).await;
            let bot = |node| {
                let key = SigningKey::ed25519("bot", &SEED).unwrap();
                bed.operator(node).with_key(key)
            };
            for node in ["n1", "n3"] {
                until("the key is taken", async || {
                    bot(node)
                        .get(LIST)
                        .await
                        .is_ok_and(|answer| answer.status == 200)
                })
                .await;
                let start = bot(node)
                    .ask("POST", "/containers/far/start", &[], b"")
                    .await
                    .unwrap();
                assert_eq!(start.status, 403, "{}", start.text());
            }
            let mut open = bot("n3").stream("GET", "/events", &[]).await.unwrap();
            document.version += 1;
            document.users[0].enabled = false;
            put(bed, "n2", &document).await;
            until("the key is refused", async || {
                bot("n3")
                    .get(LIST)
                    .await
                    .is_ok_and(|answer| answer.status == 401)
            })
            .await;
            let ends = async { while let Ok(Some(_)) = open.next_chunk().await {} };
            assert!(
                tokio::time::timeout(Duration::from_secs(5), ends)
                    .await
                    .is_ok()
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_cannot_know_the_newest_list_answers_agents_and_the_operator_only() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let document = list(1, vec![user("alice", "admin")]);
            put(bed, "n1", &document).await;
            let (alice, certificate, mut document) = joined(bed, &document, "alice").await;
            let client = alice.client(bed, "n3", &certificate);
            assert_eq!(status(&client, LIST).await, 200);
            // The user is removed while it is away, and it reaches no manager's agent when it
            // starts.
            bed.node_mut("n3").stop().await;
            document.version += 1;
            document.users.clear();
            document.invitations.clear();
            put(bed, "n1", &document).await;
            for node in ["n1", "n2"] {
                bed.node_mut(node).stop().await;
            }
            bed.node_mut("n3").start().await.unwrap();
            let answer = client.get("/_ping", &[]).await.unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(
                answer.text().contains("newest list of people"),
                "{}",
                answer.text()
            );
            let operator = bed.operator("n3").get("/_ping").await.unwrap();
            assert_eq!(operator.status, 200, "{}", operator.text());
            // A manager is back.
            bed.node_mut("n1").start().await.unwrap();
            until("never the old rights", async || {
                let status = status(&client, LIST).await;
                assert_ne!(status, 200, "old rights");
                status == 403
            })
            .await;
            bed.node_mut("n2").start().await.unwrap();
            everywhere(bed, document.version).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_with_limits_cannot_touch_the_configs_of_the_list() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let policies = "policies: { configs: { allow: [configs.read, configs.write] } }";
            let mut document = list(1, vec![user("carol", "configs")]);
            document.policies = policies.to_owned();
            put(bed, "n1", &document).await;
            let (carol, certificate, document) = joined(bed, &document, "carol").await;
            let name = format!("skep-people-{}", document.version);
            let id = store.ids(&name).pop().unwrap();
            let json = [("Content-Type", "application/json")];
            // Both managers look at the store now and then, and learn the ids.
            for node in ["n1", "n3"] {
                let client = carol.client(bed, node, &certificate);
                for path in [
                    format!("/configs/{name}"),
                    format!("/configs/{}", name.to_uppercase()),
                ] {
                    let answer = client.request("DELETE", &path, &[], b"").await.unwrap();
                    assert_eq!(answer.status, 404, "{path}: {}", answer.text());
                }
                for name in ["skep-people-99", "SKEP-joined-00", "skep-joined-0"] {
                    let body = format!(r#"{{"Name":"{name}","Data":""}}"#);
                    let create = client.request("POST", "/configs/create", &json, body.as_bytes());
                    let answer = create.await.unwrap();
                    assert_eq!(answer.status, 403, "{name}: {}", answer.text());
                }
                let body = br#"{"Name":"own","Data":""}"#;
                let own = client
                    .request("POST", "/configs/create", &json, body)
                    .await
                    .unwrap();
                assert_eq!(own.status, 201, "{}", own.text());
                let own = client
                    .request("DELETE", "/configs/own", &[], b"")
                    .await
                    .unwrap();
                assert_eq!(own.status, 204, "{}", own.text());
            }
            let by_id = format!("/configs/{id}");
            let client = carol.client(bed, "n1", &certificate);
            let answer = client.request("DELETE", &by_id, &[], b"").await.unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
            assert!(store.names().contains(&name));
        })
        .await;
}
