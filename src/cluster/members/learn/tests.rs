//! Tests whose word counts: that of the agent itself, of this agent's own calls, or of
//! another table.

use tokio::time::advance;

use super::*;
use crate::cluster::identity::{EngineFacts, Identity};
use crate::cluster::members::Revision;
use crate::upstream::clocks::Skew;

const ME: &str = "me";

fn at(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 9001).into()
}

fn identity(id: &str, changed: u64) -> Identity {
    Identity {
        node_id: id.to_owned(),
        hostname: format!("host-{id}"),
        swarm: true,
        changed,
        engine: Some(EngineFacts {
            version: "26.1.5".to_owned(),
            api_min: "1.24".to_owned(),
            api_max: "1.45".to_owned(),
        }),
        ..Identity::default()
    }
}

/// A table of another agent, which has called these.
struct Other(Members);

impl Other {
    fn with(agents: &[(&str, u8, u64)]) -> Self {
        let other = Self(Members::default());
        for (id, last, changed) in agents {
            other.heard(id, *last, *changed);
        }
        other
    }

    fn heard(&self, id: &str, last: u8, changed: u64) {
        let identity = identity(id, changed);
        self.0.heard(at(last), 0, &identity, Moment::now());
    }

    /// What differs since this revision, or everything.
    fn shared(&self, since: Option<&str>) -> Shared {
        let since = since.map(|text| text.parse::<Revision>().unwrap());
        let difference = self.0.since(since);
        let row = |m: &Arc<Member>| Row::of(m, "secret".to_owned(), Some(Skew::ZERO));
        Shared {
            revision: difference.revision.to_string(),
            whole: difference.is_whole,
            listed: true,
            stopping: false,
            people: None,
            nodes: difference.members.iter().map(row).collect(),
            gone: difference.gone,
        }
    }

    /// As it is sent.
    fn sent(&self, since: Option<&str>) -> Shared {
        let text = serde_json::to_string(&self.shared(since)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn learn_by(members: &Members, shared: &Shared, generation: Option<usize>) -> Learning {
    let learned = |row| Learned { row, generation };
    let rows: Vec<_> = shared.nodes.iter().map(learned).collect();
    let learner = Learner {
        me: ME,
        takes_list: true,
    };
    members.learn(learner, shared, &rows, Moment::now())
}

fn learn(members: &Members, shared: &Shared) -> Learning {
    learn_by(members, shared, Some(0))
}

fn state(members: &Members, id: &str) -> State {
    members.get(id).unwrap().state.clone()
}

#[tokio::test(start_paused = true)]
async fn the_agents_of_another_table_are_ready_without_a_probe() {
    let other = Other::with(&[("a", 1, 1), ("b", 2, 1)]);
    let members = Members::default();
    learn(&members, &other.sent(None));
    let a = members.get("a").unwrap();
    assert!(a.is_ready() && !a.is_met);
    assert_eq!(a.address, Some(at(1)));
    assert_eq!(a.hostname, "host-a");
    // This agent has another secret than the one by which they were called.
    let members = Members::default();
    learn_by(&members, &other.sent(None), None);
    assert_eq!(state(&members, "a"), State::NoAgent);
}

#[tokio::test(start_paused = true)]
async fn only_what_differs_is_sent() {
    let other = Other::with(&[("a", 1, 1), ("b", 2, 1)]);
    let members = Members::default();
    let whole = other.sent(None);
    assert!(whole.whole && whole.nodes.len() == 2);
    learn(&members, &whole);
    // A probe that finds nothing new is nothing to tell.
    other.heard("a", 1, 1);
    let nothing = other.sent(Some(&whole.revision));
    assert!(!nothing.whole && nothing.nodes.is_empty());
    assert_eq!(nothing.revision, whole.revision);
    other.heard("c", 3, 1);
    other.0.failed(at(2), "refused", Moment::now());
    let some = other.sent(Some(&whole.revision));
    let ids: Vec<_> = some.nodes.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["b", "c"]);
    learn(&members, &some);
    assert!(matches!(state(&members, "b"), State::Unreachable(_)));
    assert_eq!(state(&members, "c"), State::Ready);
    // Another process counts anew.
    let restarted = Other::with(&[("a", 1, 1)]);
    assert!(restarted.sent(Some(&some.revision)).whole);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_left_is_gone_unless_it_has_just_answered() {
    let other = Other::with(&[("a", 1, 1), ("b", 2, 1)]);
    let members = Members::default();
    let whole = other.sent(None);
    learn(&members, &whole);
    members.heard(at(2), 0, &identity("b", 1), Moment::now());
    members.took("b", Duration::ZERO);
    for last in [1, 2] {
        other.0.failed(at(last), "refused", Moment::now());
    }
    other.0.expected(&[], Moment::now());
    let left = other.sent(Some(&whole.revision));
    assert_eq!(left.gone, ["a", "b"]);
    learn(&members, &left);
    assert!(members.get("a").is_none());
    assert_eq!(state(&members, "b"), State::Ready);
    // A whole table without it says the same.
    let members = Members::default();
    learn(&members, &whole);
    learn(&members, &other.sent(None));
    assert!(members.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_an_agent_count_whichever_agent_passes_them_on() {
    let members = Members::default();
    let facts = |version: &str, changed| {
        let mut identity = identity("a", changed);
        identity.agent = version.to_owned();
        identity
    };
    members.heard(at(1), 0, &facts("2", 20), Moment::now());
    members.took("a", Duration::ZERO);
    let version = || members.get("a").unwrap().agent.clone().unwrap();
    for (told, changed, now) in [("1", 10, "2"), ("3", 30, "3"), ("2", 20, "3")] {
        let other = Other(Members::default());
        other
            .0
            .heard(at(1), 0, &facts(told, changed), Moment::now());
        learn(&members, &other.sent(None));
        assert_eq!(version(), now, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_just_answered_is_not_given_up_by_another() {
    let other = Other::with(&[("a", 1, 1)]);
    let whole = other.sent(None);
    other.0.failed(at(1), "refused", Moment::now());
    let away = other.sent(Some(&whole.revision));
    let members = Members::default();
    members.heard(at(1), 0, &identity("a", 1), Moment::now());
    members.took("a", Duration::ZERO);
    learn(&members, &away);
    assert_eq!(state(&members, "a"), State::Ready);
    assert!(members.is_doubtful(at(1)), "it is probed now");
    members.answered("a", at(1));
    assert!(!members.is_doubtful(at(1)));
    advance(FRESH).await;
    learn(&members, &away);
    assert!(matches!(state(&members, "a"), State::Unreachable(_)));
    // The other one has met it again.
    learn(&members, &whole);
    assert_eq!(state(&members, "a"), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_this_one_could_not_call_is_ready_only_by_its_own_answer() {
    let other = Other::with(&[("a", 1, 1)]);
    let members = Members::default();
    learn(&members, &other.sent(None));
    members.failed(at(1), "refused", Moment::now());
    let learning = learn(&members, &other.sent(None));
    assert!(matches!(state(&members, "a"), State::Unreachable(_)));
    assert_eq!(learning.ask, [at(1)], "it is probed soon");
    members.heard(at(1), 0, &identity("a", 1), Moment::now());
    assert_eq!(state(&members, "a"), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn an_address_belongs_to_the_node_that_was_told_last() {
    let members = Members::default();
    learn(&members, &Other::with(&[("a", 1, 1)]).sent(None));
    let mut moved = Other::with(&[("b", 1, 1)]).sent(None);
    moved.whole = false;
    learn(&members, &moved);
    assert_eq!(members.get("b").unwrap().address, Some(at(1)));
    assert_eq!(state(&members, "a"), State::NoAgent);
    // What another agent says of this node does not count.
    learn(&members, &Other::with(&[(ME, 9, 99)]).sent(None));
    assert_eq!(state(&members, ME), State::NoAgent);
}

#[test]
fn a_revision_is_read_as_it_is_written() {
    let revision = Members::default().since(None).revision;
    assert_eq!(revision.to_string().parse(), Ok(revision));
    for text in ["", "-", "1", "x-1", "1-x", "1-2-3", "1--2"] {
        assert!(text.parse::<Revision>().is_err(), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn departures_that_are_forgotten_make_the_table_whole() {
    let other = Other::with(&[("a", 1, 1)]);
    let first = other.sent(None);
    for n in 0..1100 {
        other.heard(&format!("x{n}"), 7, 1);
        other.0.failed(at(7), "refused", Moment::now());
        other.0.expected(&[], Moment::now());
    }
    assert!(other.sent(Some(&first.revision)).whole);
    let last = other.sent(None);
    assert!(!other.sent(Some(&last.revision)).whole);
}
