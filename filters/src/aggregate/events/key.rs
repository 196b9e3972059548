//! Recognises an event of the cluster that two managers report.

use super::Event;

/// The identity of an event of the cluster's objects.
///
/// Managers stamp a creation or a change with the time of the object, so it is
/// the same everywhere. They stamp a removal with their own clocks, but an id is
/// removed only once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    kind: String,
    action: String,
    actor_id: String,
    /// `None` for a removal.
    time_nano: Option<i64>,
}

impl Event {
    /// Equal for two managers' copies of one event of the scope `swarm`.
    #[must_use]
    pub fn key(&self) -> EventKey {
        EventKey {
            kind: self.kind.clone(),
            action: self.action.clone(),
            actor_id: self.actor_id.clone(),
            time_nano: (self.action != "remove").then_some(self.time_nano),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, action: &str, id: &str, time: i64) -> EventKey {
        let line = format!(
            r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}"}},"scope":"swarm","timeNano":{time}}}"#
        );
        Event::parse(line.as_bytes()).unwrap().key()
    }

    #[test]
    fn a_removal_is_the_same_at_any_time_and_a_change_is_not() {
        assert_eq!(key("node", "remove", "a", 1), key("node", "remove", "a", 2));
        assert_eq!(key("node", "update", "a", 1), key("node", "update", "a", 1));
        for other in [
            key("node", "update", "a", 2),
            key("node", "update", "b", 1),
            key("node", "create", "a", 1),
            key("service", "update", "a", 1),
        ] {
            assert_ne!(key("node", "update", "a", 1), other);
        }
    }
}
