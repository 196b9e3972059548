//! Tests what the table makes of probes, discovery and the managers' list.

use std::sync::LazyLock;

use super::*;
use crate::cluster::expected::Availability;
use crate::cluster::identity::EngineFacts;

fn identity(id: &str, manager: bool) -> Identity {
    Identity {
        node_id: id.to_owned(),
        hostname: format!("host-{id}"),
        swarm: true,
        manager,
        engine: Some(EngineFacts {
            version: "20.10.24".to_owned(),
            api_min: "1.12".to_owned(),
            api_max: "1.41".to_owned(),
        }),
        ..Identity::default()
    }
}

fn expected(id: &str, down: bool) -> Expected {
    Expected {
        id: id.to_owned(),
        hostname: format!("host-{id}"),
        manager: false,
        labels: BTreeMap::new(),
        down,
        availability: None,
        address: None,
    }
}

fn at(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 9001).into()
}

/// A moment this many seconds after this process began.
fn after(seconds: u64) -> Moment {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Moment {
        instant: *BEGAN + Duration::from_secs(seconds),
        unix: seconds,
    }
}

fn ready_at(members: &Members, last: u8) -> bool {
    let mut all = members.all().into_iter();
    all.any(|m| m.address == Some(at(last)) && m.is_ready())
}

fn state(members: &Members, id: &str) -> State {
    members.get(id).unwrap().state.clone()
}

#[test]
fn the_last_address_of_a_silent_agent_is_kept_for_a_while() {
    let members = Members::default();
    members.heard(at(1), 0, &identity("a", false), after(1));
    let mut without_engine = identity("b", false);
    without_engine.engine = None;
    members.heard(at(2), 0, &without_engine, after(1));
    members.failed(at(1), "refused", after(1000));
    members.failed(at(1), "no answer", after(1100));
    let (early, late) = (after(1000 + 119).instant, after(1000 + 120).instant);
    assert_eq!(members.recent(early), [at(1), at(2)]);
    assert_eq!(members.recent(late), [at(2)]);
}

#[test]
fn a_promoted_worker_is_a_manager_at_the_next_probe() {
    let members = Members::default();
    members.heard(at(1), 0, &identity("a", false), after(1));
    assert!(!members.get("a").unwrap().manager);
    members.heard(at(1), 0, &identity("a", true), after(2));
    assert!(members.get("a").unwrap().manager);
    assert_eq!(members.get("a").unwrap().since, 1);
}

#[test]
fn a_failed_connection_takes_a_member_out_and_a_probe_brings_it_back() {
    let members = Members::default();
    members.heard(at(1), 0, &identity("a", false), after(1));
    members.failed(at(1), "connection refused", after(2));
    assert!(!members.get("a").unwrap().is_ready());
    assert!(!ready_at(&members, 1));
    members.failed(at(1), "timed out", after(3));
    assert_eq!(members.get("a").unwrap().since, 2);
    members.heard(at(1), 0, &identity("a", false), after(4));
    assert_eq!(state(&members, "a"), State::Ready);
}

#[test]
fn a_late_agent_is_given_up_only_after_several_times_in_a_row() {
    let members = Members::default();
    let heard = |now| members.heard(at(1), 0, &identity("a", false), after(now));
    let late = |now| members.late(at(1), "no answer", after(now));
    let ready = || members.get("a").unwrap().is_ready();
    heard(1);
    for round in 0..5 {
        for _ in 0..LATE {
            late(2 + round);
            assert!(ready() && members.is_doubtful(at(1)) && members.has_doubts());
        }
        heard(3 + round);
        assert!(!members.is_doubtful(at(1)));
    }
    for _ in 0..LATE {
        late(10);
    }
    let mut changes = members.changes();
    late(11);
    assert!(!ready() && changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert!(members.is_doubtful(at(1)) && !members.has_doubts());
    // It comes back with its first answer.
    heard(12);
    assert!(ready() && !members.is_doubtful(at(1)));
    // A second way to it is better than waiting.
    members.heard(at(2), 0, &identity("a", false), after(13));
    late(14);
    assert!(ready());
    assert_eq!(members.get("a").unwrap().address, Some(at(2)));
    // An address without a member is never in doubt.
    members.late(at(9), "no answer", after(15));
    assert!(!members.has_doubts());
}

#[test]
fn a_node_that_a_manager_lists_is_a_member_without_an_agent() {
    let members = Members::default();
    members.expected(&[expected("a", false), expected("b", true)], after(1));
    assert_eq!(state(&members, "a"), State::NoAgent);
    assert_eq!(state(&members, "b"), State::Down);
    members.expected(&[expected("b", false)], after(2));
    assert!(members.get("a").is_none());
    assert_eq!(state(&members, "b"), State::NoAgent);
}

#[test]
fn a_manager_that_only_the_engine_knows_is_a_member_too() {
    let members = Members::default();
    let manager = RemoteManager {
        id: "m".to_owned(),
        address: "10.0.0.9".parse().ok(),
    };
    members.managers(&[manager], after(1));
    assert!(members.get("m").unwrap().manager);
    assert_eq!(state(&members, "m"), State::NoAgent);
}

#[test]
fn a_reused_address_belongs_to_the_node_that_answers_there() {
    let members = Members::default();
    members.heard(at(1), 0, &identity("a", false), after(1));
    members.heard(at(1), 0, &identity("b", false), after(2));
    assert_eq!(state(&members, "a"), State::NoAgent);
    assert_eq!(members.get("b").unwrap().address, Some(at(1)));
    assert!(ready_at(&members, 1));
}

#[test]
fn an_agent_at_two_addresses_keeps_the_one_that_answers() {
    let members = Members::default();
    let heard = |last, now| members.heard(at(last), 0, &identity("a", false), after(now));
    let address = || members.get("a").unwrap().address;
    let ready = || members.get("a").unwrap().is_ready();
    heard(1, 1);
    heard(2, 1);
    heard(1, 2);
    heard(2, 2);
    assert_eq!(address(), Some(at(1)));
    assert_eq!(members.recent(after(2).instant), [at(1), at(2)]);
    // The other one takes over at once, and back.
    members.failed(at(1), "no answer", after(3));
    assert!(ready());
    assert_eq!(address(), Some(at(2)));
    heard(1, 4);
    assert_eq!(address(), Some(at(2)));
    members.discovered(&[at(1)].into(), after(5));
    assert!(ready());
    assert_eq!(address(), Some(at(1)));
    // A failed address takes over nothing.
    heard(2, 6);
    members.failed(at(2), "no answer", after(7));
    members.failed(at(1), "no answer", after(7));
    assert!(!ready());
    heard(2, 8);
    assert!(ready());
    assert_eq!(address(), Some(at(2)));
    // Another node at the spare address.
    heard(1, 9);
    members.heard(at(1), 0, &identity("b", false), after(10));
    members.failed(at(2), "no answer", after(11));
    assert!(!ready());
}

#[test]
fn the_addresses_of_the_swarm_are_those_of_its_list_and_of_known_managers() {
    let members = Members::default();
    let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
    let manager = RemoteManager {
        id: "m".to_owned(),
        address: Some(ip(9)),
    };
    members.managers(&[manager], after(1));
    assert_eq!(members.swarm_addresses(), [ip(9)].into());
    let listed = |last| Expected {
        address: Some(ip(last)),
        ..expected("a", false)
    };
    assert!(members.expected(&[listed(1)], after(2)));
    assert!(!members.expected(&[listed(1)], after(3)));
    assert_eq!(members.swarm_addresses(), [ip(1), ip(9)].into());
    assert!(members.expected(&[listed(2)], after(4)));
    assert_eq!(members.swarm_addresses(), [ip(2), ip(9)].into());
    members.clear();
    assert!(members.swarm_addresses().is_empty());
}

#[test]
fn a_drained_node_without_an_agent_has_no_tasks() {
    for (availability, state, idle, reason) in [
        (
            Some(Availability::Drain),
            State::NoAgent,
            true,
            "no agent found: the node is drained",
        ),
        (
            Some(Availability::Pause),
            State::NoAgent,
            false,
            "no agent found: the node is paused",
        ),
        (
            Some(Availability::Active),
            State::NoAgent,
            false,
            "no agent found",
        ),
        (None, State::NoAgent, false, "no agent found"),
        // It may have tasks that its managers could not stop.
        (Some(Availability::Drain), State::Down, false, "down"),
        (
            Some(Availability::Drain),
            State::Unreachable("x".to_owned()),
            false,
            "unreachable: x",
        ),
    ] {
        let members = Members::default();
        members.expected(&[expected("a", false)], after(1));
        let member = Member {
            availability,
            state,
            ..(*members.get("a").unwrap()).clone()
        };
        assert_eq!(member.is_without_tasks(), idle, "{member:?}");
        assert_eq!(member.missing_reason(), reason);
    }
}

#[test]
fn a_node_whose_address_discovery_no_longer_finds_has_no_agent() {
    let members = Members::default();
    members.heard(at(1), 0, &identity("a", false), after(1));
    members.discovered(&[at(2)].into(), after(2));
    assert_eq!(state(&members, "a"), State::NoAgent);
}
