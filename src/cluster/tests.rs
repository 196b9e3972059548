//! Tests how long a request waits for nodes while somebody sets the wall clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::time::{advance, sleep};

use super::expected::Expected;
use super::hop::Hop;
use super::identity::EngineFacts;
use super::waiting::{MISSED, ROUND_AGE, SHORTEST};
use super::*;
use crate::config;
use crate::platform::clock::{self, stepped};
use crate::trust::{LeafNames, Secret, Trust};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// How long a request waits for a silent engine with the times of `cluster`.
const PATIENCE: Duration = Duration::from_secs(3 + 1 + 1);

/// A client and peers to call the other agents of a cluster.
pub(crate) fn calls() -> (Arc<Client>, Arc<Peers>) {
    let secret = Secret::from_bytes(Secret::generate().unwrap().as_bytes()).unwrap();
    let trust = Trust::new(&[secret], LeafNames::default(), DAY, clock::wall()).unwrap();
    let peers = Peers::new(Arc::new(trust), SECOND).unwrap();
    (Arc::new(Client::new()), Arc::new(peers))
}

/// A cluster as the manager `me` sees it, which has also listed `n2`.
pub(crate) fn cluster(engine: Option<EngineFacts>) -> Cluster {
    let (client, peers) = calls();
    let address = config::Engine::Socket("/nonexistent".into());
    let cluster = Cluster::new(Parts {
        list_deadline: Duration::from_secs(5),
        client,
        peers,
        engine: Arc::new(Engine::new(&address).unwrap()),
        config: config::Cluster {
            interval: SECOND,
            probe_timeout: SECOND,
            ..config::Cluster::default()
        },
        port: 0,
        me: identity("me", engine),
        paths: Vec::new(),
        marks: Default::default(),
    });
    let n2 = Expected {
        id: "n2".to_owned(),
        hostname: "n2".to_owned(),
        manager: false,
        labels: BTreeMap::new(),
        down: false,
        availability: None,
        address: None,
    };
    cluster.members.expected(&[n2], Moment::now());
    cluster
}

fn identity(id: &str, engine: Option<EngineFacts>) -> Identity {
    Identity {
        node_id: id.to_owned(),
        hostname: id.to_owned(),
        swarm: true,
        engine,
        ..Identity::default()
    }
}

pub(crate) fn facts() -> Option<EngineFacts> {
    Some(EngineFacts {
        version: "26.1.5".to_owned(),
        api_min: "1.24".to_owned(),
        api_max: "1.45".to_owned(),
    })
}

/// n2's agent answers a probe; its engine answers if `engine` is given.
fn n2_answers(cluster: &Cluster, engine: Option<EngineFacts>) -> Arc<Member> {
    let n2 = identity("n2", engine);
    cluster.members.heard(n2_address(), 0, &n2, Moment::now());
    cluster.members.get("n2").unwrap()
}

fn n2_address() -> SocketAddr {
    ([10, 0, 0, 2], 9001).into()
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_silent_engine_ends_on_time_when_the_wall_clock_is_set() {
    for step in stepped::STEPS {
        for ours in [true, false] {
            stepped::set(|now| now);
            let cluster = cluster(facts().filter(|_| !ours));
            let hop = if ours {
                Hop::Engine
            } else {
                Hop::Agent(n2_answers(&cluster, None))
            };
            let began = Instant::now();
            let stepping = async {
                sleep(SECOND).await;
                stepped::set(step);
                std::future::pending().await
            };
            tokio::select! {
                () = cluster.engine_unresponsive(&hop) => {}
                () = stepping => {}
            }
            assert_eq!(began.elapsed(), PATIENCE, "ours: {ours}");
            // A later request does not wait as long again.
            let began = Instant::now();
            cluster.engine_unresponsive(&hop).await;
            assert_eq!(began.elapsed(), SHORTEST, "ours: {ours}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_answers_again_does_not_count_as_unresponsive() {
    let cluster = cluster(facts());
    let hop = Hop::Agent(n2_answers(&cluster, None));
    let coming = async {
        sleep(PATIENCE - SECOND).await;
        n2_answers(&cluster, facts());
        sleep(DAY).await;
    };
    tokio::select! {
        () = cluster.engine_unresponsive(&hop) => panic!("it answers"),
        () = coming => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_lost_only_after_an_unbroken_silence() {
    for step in stepped::STEPS {
        stepped::set(|now| now);
        let cluster = cluster(facts());
        let n2 = n2_answers(&cluster, facts());
        let lost = timeout(DAY, cluster.lost(&n2)).await;
        assert!(lost.is_err(), "it answers");
        let waiting = cluster.lost(&n2);
        let failing = async {
            for _ in 0..10 {
                cluster.failed(n2_address(), "no answer");
                sleep(MISSED - SECOND).await;
                stepped::set(step);
                n2_answers(&cluster, facts());
                sleep(SECOND).await;
            }
            cluster.failed(n2_address(), "no answer");
            Instant::now()
        };
        tokio::pin!(waiting);
        let since = tokio::select! {
            () = &mut waiting => panic!("it answered now and then"),
            since = failing => since,
        };
        waiting.await;
        assert_eq!(since.elapsed(), MISSED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_starts_early_only_some_time_after_the_last_when_the_wall_clock_is_set() {
    for step in stepped::STEPS {
        stepped::set(|now| now);
        let cluster = cluster(facts());
        let round_requested = async || {
            timeout(Duration::ZERO, cluster.wake.notified())
                .await
                .is_ok()
        };
        advance(ROUND_AGE - SECOND).await;
        stepped::set(step);
        cluster.request_round();
        assert!(!round_requested().await, "too early");
        advance(SECOND).await;
        cluster.request_round();
        assert!(round_requested().await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_address_of_an_agent_is_kept_for_a_while_when_the_wall_clock_is_set() {
    for step in stepped::STEPS {
        stepped::set(|now| now);
        let cluster = cluster(facts());
        n2_answers(&cluster, facts());
        cluster.failed(n2_address(), "no answer");
        let recent = || cluster.members.recent(Instant::now());
        advance(119 * SECOND).await;
        stepped::set(step);
        assert_eq!(recent(), [n2_address()]);
        advance(SECOND).await;
        assert!(recent().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_change_is_that_of_the_wall_clock_at_the_change() {
    stepped::set(stepped::STEPS[0]);
    let cluster = cluster(facts());
    stepped::set(|now| now);
    let since = cluster.members.get("n2").unwrap().since;
    let ahead = since - clock::now().as_secs();
    assert!((3590..=3600).contains(&ahead), "{ahead}");
}
