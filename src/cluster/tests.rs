//! How long nodes are waited for, whoever sets the wall clock meanwhile.

use std::collections::BTreeMap;

use tokio::time::{advance, sleep, timeout};

use super::expected::Expected;
use super::identity::EngineFacts;
use super::*;
use crate::config;
use crate::platform::clock::{self, stepped};
use crate::trust::{LeafNames, Secret, Trust};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// With these times and a second for a probe, a silent engine is given up after
/// so long.
const PATIENCE: Duration = Duration::from_secs(3 + 1 + 1);

/// What it takes to call the other agents of a cluster.
pub(crate) fn calls() -> (Arc<Client>, Arc<Peers>) {
    let secret = Secret::from_bytes(Secret::generate().unwrap().as_bytes()).unwrap();
    let trust = Trust::new(&[secret], LeafNames::default(), DAY, clock::wall()).unwrap();
    let peers = Peers::new(Arc::new(trust), SECOND).unwrap();
    (Arc::new(Client::new()), Arc::new(peers))
}

/// A cluster as the manager `me` sees it, which has said that there is also `n2`.
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
    });
    let n2 = Expected {
        id: "n2".to_owned(),
        hostname: "n2".to_owned(),
        manager: false,
        labels: BTreeMap::new(),
        down: false,
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

/// n2's agent answers a probe: its engine does, or does not.
fn n2_answers(cluster: &Cluster, engine: Option<EngineFacts>) -> Arc<Member> {
    let n2 = identity("n2", engine);
    cluster.members.heard(n2_address(), 0, &n2, Moment::now());
    cluster.members.get("n2").unwrap()
}

fn n2_address() -> SocketAddr {
    ([10, 0, 0, 2], 9001).into()
}

#[tokio::test(start_paused = true)]
async fn a_silent_engine_is_given_up_in_its_time_whatever_the_clock_says() {
    for step in stepped::STEPS {
        for ours in [true, false] {
            stepped::set(|now| now);
            let cluster = cluster(facts().filter(|_| !ours));
            let hop = match ours {
                true => Hop::Engine,
                false => Hop::Agent(n2_answers(&cluster, None)),
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
            // Who comes later is not kept waiting for as long again.
            let began = Instant::now();
            cluster.engine_unresponsive(&hop).await;
            assert_eq!(began.elapsed(), LOOK, "ours: {ours}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_comes_back_is_waited_for() {
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
async fn an_agent_is_lost_when_it_has_not_answered_for_a_while_on_end() {
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
async fn another_round_is_asked_for_some_time_after_the_last_whatever_the_clock_says() {
    for step in stepped::STEPS {
        stepped::set(|now| now);
        let cluster = cluster(facts());
        let asked = async || {
            timeout(Duration::ZERO, cluster.wake.notified())
                .await
                .is_ok()
        };
        advance(AGAIN - SECOND).await;
        stepped::set(step);
        cluster.request_round();
        assert!(!asked().await, "too early");
        advance(SECOND).await;
        cluster.request_round();
        assert!(asked().await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_looked_for_where_it_was_for_a_while_whatever_the_clock_says() {
    for step in stepped::STEPS {
        stepped::set(|now| now);
        let cluster = cluster(facts());
        n2_answers(&cluster, facts());
        cluster.failed(n2_address(), "no answer");
        let familiar = || cluster.members.familiar(Instant::now());
        advance(119 * SECOND).await;
        stepped::set(step);
        assert_eq!(familiar(), [n2_address()]);
        advance(SECOND).await;
        assert!(familiar().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn people_read_when_a_node_changed_by_the_clock_of_then() {
    stepped::set(stepped::STEPS[0]);
    let cluster = cluster(facts());
    stepped::set(|now| now);
    let since = cluster.members.get("n2").unwrap().since;
    let ahead = since - clock::now().as_secs();
    assert!((3590..=3600).contains(&ahead), "{ahead}");
}
