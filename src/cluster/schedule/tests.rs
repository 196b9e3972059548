//! Tests that the number of probes does not grow with the cluster.

use super::*;
use crate::cluster::identity::{EngineFacts, Identity};
use crate::cluster::members::Members;
use crate::platform::clock::Moment;

fn at(n: usize) -> SocketAddr {
    let [_, _, high, low] = u32::try_from(n).unwrap().to_be_bytes();
    ([10, 0, high, low], 9001).into()
}

fn id(n: usize) -> String {
    format!("n{n}")
}

fn identity(n: usize) -> Identity {
    Identity {
        node_id: id(n),
        swarm: true,
        engine: Some(EngineFacts {
            version: "26.1.5".to_owned(),
            api_min: "1.24".to_owned(),
            api_max: "1.45".to_owned(),
        }),
        ..Identity::default()
    }
}

/// A table of so many nodes whose agents have answered.
fn members(nodes: usize) -> Members {
    let members = Members::default();
    for n in 0..nodes {
        members.heard(at(n), 0, &identity(n), Moment::now());
        members.took(&id(n), Duration::ZERO);
    }
    members
}

struct Cluster {
    members: Members,
    discovered: BTreeSet<SocketAddr>,
    used: BTreeSet<String>,
}

impl Cluster {
    fn of(nodes: usize) -> Self {
        Self {
            members: members(nodes),
            discovered: (0..nodes).map(at).collect(),
            used: BTreeSet::new(),
        }
    }

    fn choose(&self, schedule: &Schedule, unknown: usize) -> BTreeSet<SocketAddr> {
        let members = self.members.all();
        let contacts = members.iter().map(|m| self.members.last_contact(&m.id));
        schedule.choose(&Situation {
            contacts: contacts.collect(),
            members: &members,
            discovered: &self.discovered,
            doubts: self.members.doubtful(),
            used: self.used.clone(),
            unknown,
            now: Instant::now(),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_probes_all_of_a_few_agents_and_a_few_of_many() {
    let schedule = Schedule::default();
    for (nodes, probed) in [(1, 1), (FEW, FEW), (FEW + 1, SAMPLE), (1000, SAMPLE)] {
        let chosen = Cluster::of(nodes).choose(&schedule, UNKNOWN);
        assert_eq!(chosen.len(), probed, "{nodes}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_agent_has_its_turn() {
    let (cluster, schedule) = (Cluster::of(100), Schedule::default());
    let mut all = BTreeSet::new();
    for _ in 0..100 / SAMPLE {
        tokio::time::advance(Duration::from_secs(5)).await;
        for address in cluster.choose(&schedule, UNKNOWN) {
            let member = cluster.members.all();
            let member = member.iter().find(|m| m.address == Some(address)).unwrap();
            cluster.members.took(&member.id, Duration::ZERO);
            all.insert(address);
        }
    }
    assert_eq!(all.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn agents_in_use_in_doubt_or_in_a_hurry_are_probed_in_every_round() {
    let (mut cluster, schedule) = (Cluster::of(100), Schedule::default());
    cluster.used = [id(10), id(11)].into();
    cluster.members.late(at(12), "no answer", Moment::now());
    cluster.members.doubt(at(13));
    schedule.hurry(at(14));
    let chosen = cluster.choose(&schedule, 0);
    for n in 10..=14 {
        assert!(chosen.contains(&at(n)), "{n}");
    }
    assert!(chosen.len() <= 5 + SAMPLE);
    // Only once.
    assert!((10..=13).all(|n| cluster.choose(&schedule, 0).contains(&at(n))));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_away_is_probed_often_at_first_and_then_more_rarely() {
    let (cluster, schedule) = (Cluster::of(100), Schedule::default());
    cluster.members.failed(at(7), "refused", Moment::now());
    let began = Instant::now();
    let mut times = Vec::new();
    for _ in 0..300 {
        tokio::time::advance(Duration::from_secs(1)).await;
        if cluster.choose(&schedule, 0).contains(&at(7)) {
            schedule.probed(at(7), false, Instant::now());
            times.push(began.elapsed().as_secs());
        }
    }
    assert!(
        times.iter().filter(|at| **at <= 10).count() >= 3,
        "{times:?}"
    );
    let pauses = times.windows(2).map(|two| two[1] - two[0]);
    assert_eq!(pauses.max(), Some(SELDOM.as_secs()), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn unknown_addresses_are_tried_a_few_at_a_time() {
    let schedule = Schedule::default();
    let mut cluster = Cluster::of(20);
    cluster.discovered = (0..1000).map(at).collect();
    let mut tried = BTreeSet::new();
    for _ in 0..10 {
        let chosen = cluster.choose(&schedule, 16);
        let unknown: Vec<_> = chosen.into_iter().filter(|a| *a >= at(20)).collect();
        assert_eq!(unknown.len(), 16);
        for address in unknown {
            schedule.probed(address, false, Instant::now());
            assert!(tried.insert(address), "{address} again, at once");
        }
    }
}
