//! Invitations: each gives one certificate in the whole cluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::json;
use skep_bed::SwarmStore;
use skep_filters::people::Invitation;

use super::{
    LIST, Person, audited, counted, has, invitation, joined, later, list, put, send, signed,
    stranger, three, until, user,
};
use crate::common::{ClusterBuilder, TestCluster, generation, manager};

const JOIN: &str = "/skep/v1/join";
const RENEW: &str = "/skep/v1/renew";
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// Puts a list with alice and her invitation in force.
async fn alice_is_invited(bed: &TestCluster) -> Invitation {
    let (good, invited) = invitation(bed, "alice", 1, later());
    let mut document = list(1, vec![user("alice", "admin")]);
    document.invitations = vec![invited];
    put(bed, "n1", &document).await;
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_redeemed_at_several_agents_at_once_gives_one_certificate() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let people: Vec<_> = (0..3).map(|_| Person::new()).collect();
            // A list has room for some hundred invitations.
            for round in 0..5_u16 {
                let mut document = list(u64::from(round) + 1, vec![user("alice", "admin")]);
                let all: Vec<_> = (round * 200..(round + 1) * 200)
                    .map(|n| invitation(bed, "alice", n, later()))
                    .collect();
                document.invitations = all.iter().map(|(_, invited)| invited.clone()).collect();
                put(bed, "n1", &document).await;
                for (n, (invitation, _)) in all.iter().enumerate() {
                    let joining = people.iter().zip(["n1", "n2", "n3"]);
                    let joining = joining.map(|(person, node)| person.join(bed, node, invitation));
                    let answers = join_all(joining).await;
                    assert_eq!(
                        counted(&answers),
                        [(200, 1), (410, 2)].into(),
                        "{round} {n}"
                    );
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_an_expired_an_altered_and_an_unknown_invitation_are_refused() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let (good, invited) = invitation(bed, "alice", 1, later());
            let (old, expired) = invitation(bed, "alice", 2, 1000);
            let (of_bob, bobs) = invitation(bed, "bob", 3, later());
            let mut bob = user("bob", "admin");
            bob.enabled = false;
            let mut document = list(1, vec![user("alice", "admin"), bob]);
            document.invitations = vec![invited, expired, bobs];
            put(bed, "n1", &document).await;
            let person = Person::new();
            let first = person.join(bed, "n3", &good).await;
            assert_eq!(first.status, 200, "{}", first.text());
            for node in ["n1", "n2", "n3"] {
                let again = person.join(bed, node, &good).await;
                assert_eq!(again.status, 410, "{node}: {}", again.text());
                assert!(again.text().contains("used already"), "{}", again.text());
            }
            let late = person.join(bed, "n2", &old).await;
            assert_eq!(late.status, 410, "{}", late.text());
            assert!(late.text().contains("expired"), "{}", late.text());
            // Strangers cannot tell an unknown secret from that of a disabled user.
            let (unknown, _) = invitation(bed, "alice", 9, later());
            let mut said = Vec::new();
            for invitation in [&unknown, &of_bob] {
                let answer = person.join(bed, "n1", invitation).await;
                assert_eq!(answer.status, 403, "{}", answer.text());
                assert_eq!(answer.header("Skep-Node"), None);
                said.push(answer.json().unwrap()["message"].clone());
            }
            assert_eq!(said[0], said[1]);
            // One for another cluster never reaches this one's agents.
            let altered = good.to_string().replacen("skep1.", "skep1.A", 1);
            assert!(altered.parse::<Invitation>().is_err());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_known_at_every_agent_as_soon_as_it_is_in_the_store() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            put(bed, "n1", &list(1, vec![user("alice", "admin")])).await;
            // As another manager writes it, that ends before it can say so.
            for (version, node) in [(2, "n1"), (3, "n2"), (4, "n3")] {
                let (good, invited) = invitation(bed, "alice", version as u16, later());
                let mut document = list(version, vec![user("alice", "admin")]);
                document.invitations = vec![invited];
                let text = STANDARD.encode(signed(&document));
                let labels = json!({ "skep.people": version.to_string() });
                store.add(&format!("skep-people-{version}"), labels, &text);
                let answer = Person::new().join(bed, node, &good).await;
                assert_eq!(answer.status, 200, "{node}: {}", answer.text());
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_request_for_a_certificate_uses_no_invitation_up() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let good = alice_is_invited(bed).await;
            let client = stranger(bed, "n1");
            let secret = good.secret();
            let long = "x".repeat(20_000);
            for (body, status) in [
                (json!({ "secret": secret, "request": "" }).to_string(), 400),
                (
                    json!({ "secret": secret, "request": long }).to_string(),
                    413,
                ),
                (json!({ "secret": secret }).to_string(), 403),
                (json!({ "request": "" }).to_string(), 403),
                ("{".to_owned(), 403),
                (String::new(), 403),
            ] {
                let answer = client
                    .request("POST", JOIN, &JSON, body.as_bytes())
                    .await
                    .unwrap();
                assert_eq!(answer.status, status, "{}", answer.text());
            }
            // A store without a quorum decides nothing.
            store.fail(Some(
                "rpc error: code = Unknown desc = The swarm does not have a leader.",
            ));
            let person = Person::new();
            let answer = person.join(bed, "n2", &good).await;
            assert_eq!(answer.status, 503, "{}", answer.text());
            store.fail(None);
            let answer = person.join(bed, "n2", &good).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_are_limited_and_the_line_for_a_shell_gets_a_certificate_alone() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let good = alice_is_invited(bed).await;
            let person = Person::new();
            let text = [("Content-Type", "text/plain")];
            let body = format!("{}\n{}", good.secret(), person.request);
            let client = stranger(bed, "n3");
            let answer = client
                .request("POST", JOIN, &text, body.as_bytes())
                .await
                .unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let certificate = answer.text();
            assert!(
                certificate.starts_with("-----BEGIN CERTIFICATE-----"),
                "{certificate}"
            );
            let alice = person.client(bed, "n1", &certificate);
            assert_eq!(alice.get(LIST, &[]).await.unwrap().status, 200);
            let guess = json!({ "secret": "00".repeat(32), "request": "" }).to_string();
            let mut statuses = Vec::new();
            for _ in 0..40 {
                let answer = client
                    .request("POST", JOIN, &JSON, guess.as_bytes())
                    .await
                    .unwrap();
                statuses.push(answer.status);
            }
            let tried = statuses.iter().filter(|status| **status == 403).count();
            assert!((10..=20).contains(&tried), "{statuses:?}");
            assert!(statuses.contains(&429), "{statuses:?}");
            // Callers are not held up.
            assert_eq!(alice.get(LIST, &[]).await.unwrap().status, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_by_its_holder_while_the_user_is_enabled() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            // A policy that allows next to nothing.
            let document = list(1, vec![user("alice", "docker-ce")]);
            let refused = send(bed, "n1", &signed(&document)).await;
            assert_eq!(refused.status, 400, "{}", refused.text());
            let document = list(1, vec![user("alice", "read-only")]);
            put(bed, "n1", &document).await;
            let (alice, certificate, mut document) = joined(bed, &document, "alice").await;
            let body = json!({ "request": alice.request }).to_string();
            for node in ["n1", "n3"] {
                let client = alice.client(bed, node, &certificate);
                let renewed = client
                    .request("POST", RENEW, &JSON, body.as_bytes())
                    .await
                    .unwrap();
                assert_eq!(renewed.status, 200, "{}", renewed.text());
                let given = renewed.json().unwrap();
                let next = given["certificate"].as_str().unwrap();
                assert_ne!(next, certificate);
                let client = alice.client(bed, node, next);
                assert_eq!(client.get(LIST, &[]).await.unwrap().status, 200);
                let lines = audited(bed, node, RENEW, 1).await;
                assert_eq!(lines[0]["who"], "cert:alice");
                assert!(
                    lines[0]["change"]
                        .as_str()
                        .unwrap()
                        .starts_with("alice renews")
                );
            }
            let nobody = stranger(bed, "n1");
            let nobody = nobody.request("POST", RENEW, &JSON, body.as_bytes());
            assert_eq!(nobody.await.unwrap().status, 401);
            document.version += 1;
            document.users[0].enabled = false;
            put(bed, "n1", &document).await;
            let client = alice.client(bed, "n3", &certificate);
            until("no renewal", async || {
                let renewed = client.request("POST", RENEW, &JSON, body.as_bytes()).await;
                renewed.is_ok_and(|answer| answer.status == 403)
            })
            .await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joined_is_shown_and_audited_and_nobody_sees_a_secret() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let good = alice_is_invited(bed).await;
            let given = Person::new().join(bed, "n2", &good).await.json().unwrap();
            let shown = bed
                .operator("n3")
                .get("/skep/v1/people/joined")
                .await
                .unwrap();
            let shown = shown.json().unwrap();
            assert_eq!(shown[0]["user"], "alice");
            assert_eq!(shown[0]["serial"], given["serial"]);
            assert!(shown[0]["from"].as_str().unwrap().starts_with("127."));
            let lines = audited(bed, "n2", JOIN, 1).await;
            assert_eq!(lines[0]["verdict"], "allow");
            let change = lines[0]["change"].as_str().unwrap();
            assert!(
                change.contains("alice joins")
                    && change.contains(given["serial"].as_str().unwrap())
            );
            let everything = std::fs::read_to_string(bed.folder().join("audit-n2")).unwrap();
            assert!(!everything.contains(&good.secret()));
            let current = bed.operator("n1").get("/skep/v1/people").await.unwrap();
            assert!(!current.text().contains(&good.secret()));
            let ca = stranger(bed, "n3").get("/skep/v1/ca", &[]).await.unwrap();
            assert_eq!(ca.text(), generation().ca_pem());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_host_an_invitation_is_used_once_too() {
    let alone = || manager("n1").engine(|e| e.in_swarm(false));
    let host = ClusterBuilder::of([alone()])
        .configure(super::own_state)
        .without_settling();
    host.run(async |bed| {
        has(bed, "n1", 0).await;
        let good = alice_is_invited(bed).await;
        let people: Vec<_> = (0..4).map(|_| Person::new()).collect();
        let answers = join_all(people.iter().map(|person| person.join(bed, "n1", &good))).await;
        assert_eq!(counted(&answers), [(200, 1), (410, 3)].into());
    })
    .await;
}
