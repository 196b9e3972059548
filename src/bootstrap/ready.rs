//! Waits until the agent of every node runs, and says how far each one is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::BootstrapError;
use super::api::{Api, ApiError, PAUSE};
use super::look::Swarm;
use super::voice::Voice;

/// The tasks of one node that may fail: the Swarm tries again.
const FAILURES: usize = 3;

/// Why agents are not ready.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum NotReady {
    #[error("the agent on {node} does not run: {reason}{}", hint(reason))]
    Fails { node: String, reason: String },
    #[error("not ready within {} s: {list}", patience.as_secs())]
    Late { patience: Duration, list: String },
}

/// The tasks of the service, by their nodes.
#[derive(Debug, Default)]
pub(super) struct Tasks(BTreeMap<String, NodeTasks>);

/// The tasks of one node.
#[derive(Debug, Default)]
struct NodeTasks {
    /// The state of the newest one.
    state: String,
    /// Its number, to find the newest.
    index: u64,
    image: String,
    failures: usize,
    /// Why the last one that failed did.
    reason: String,
}

fn hint(reason: &str) -> &'static str {
    if reason.contains("No such image") {
        "; load the image there, or name one that the node can pull"
    } else if reason.contains("port") && reason.contains("in use") {
        "; choose another port with --port"
    } else {
        ""
    }
}

impl Tasks {
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn look(api: &Api, service: &str) -> Result<Self, ApiError> {
        let rows = api.list("tasks", &json!({ "service": [service] })).await?;
        Ok(Self::of(&rows))
    }

    fn of(rows: &[Value]) -> Self {
        let mut nodes: BTreeMap<String, NodeTasks> = BTreeMap::new();
        for row in rows {
            let Some(id) = row["NodeID"].as_str() else {
                continue;
            };
            let node = nodes.entry(id.to_owned()).or_default();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (status, state) = (&row["Status"], text(&row["Status"]["State"]));
            if ["failed", "rejected"].contains(&state.as_str()) {
                node.failures += 1;
                node.reason = reason(status);
            }
            // Those that are to end are older ones.
            let is_wanted = text(&row["DesiredState"]) != "shutdown";
            let index = row["Version"]["Index"].as_u64().unwrap_or_default();
            if is_wanted && (node.state.is_empty() || index > node.index) {
                node.index = index;
                node.state = state;
                node.image = text(&row["Spec"]["ContainerSpec"]["Image"]);
            }
        }
        Self(nodes)
    }

    /// Whether the newest task of a node runs, which it does once it is healthy.
    pub(super) fn runs_on(&self, node: &str) -> bool {
        self.0
            .get(node)
            .is_some_and(|tasks| tasks.state == "running")
    }

    /// Whether it runs with this image.
    pub(super) fn runs_with(&self, node: &str, image: &str) -> bool {
        self.runs_on(node) && self.0.get(node).is_some_and(|tasks| tasks.image == image)
    }

    /// The state of the newest task of a node, in words.
    pub(super) fn state_of(&self, node: &str) -> &str {
        match self.0.get(node).map(|tasks| tasks.state.as_str()) {
            Some("") | None => "has no task",
            Some(state) => state,
        }
    }

    /// Why the last task that failed on a node did.
    pub(super) fn reason_on(&self, node: &str) -> Option<&str> {
        let tasks = self.0.get(node)?;
        (!tasks.reason.is_empty()).then_some(&*tasks.reason)
    }

    fn fails_on(&self, node: &str) -> Option<&str> {
        let tasks = self.0.get(node)?;
        (tasks.failures >= FAILURES).then_some(&*tasks.reason)
    }
}

fn reason(status: &Value) -> String {
    let code = &status["ContainerStatus"]["ExitCode"];
    match (status["Err"].as_str(), code.as_i64()) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(code)) if code != 0 => format!("it ended with code {code}"),
        _ => "no reason is given".to_owned(),
    }
}

/// Waits for a healthy task on each node that gets one.
///
/// # Errors
/// An agent fails again and again, or is not there in time.
pub(super) async fn wait(
    api: &Api,
    service: &str,
    swarm: &Swarm,
    patience: Duration,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let end = Instant::now() + patience;
    let mut said = Said::default();
    loop {
        let tasks = Tasks::look(api, service).await?;
        said.tell(&tasks, swarm, voice)?;
        let mut waiting = Vec::new();
        for node in swarm.expected() {
            let name = &node.hostname;
            if let Some(reason) = tasks.fails_on(&node.id) {
                let (node, reason) = (name.clone(), reason.to_owned());
                return Err(NotReady::Fails { node, reason }.into());
            }
            if !tasks.runs_on(&node.id) {
                let reason = tasks.reason_on(&node.id);
                let reason = reason.map(|text| format!(" ({text})")).unwrap_or_default();
                waiting.push(format!("{name} {}{reason}", tasks.state_of(&node.id)));
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            let list = waiting.join(", ");
            return Err(NotReady::Late { patience, list }.into());
        }
        sleep(PAUSE).await;
    }
}

/// What has been said of each node.
#[derive(Default)]
pub(super) struct Said(BTreeMap<String, String>);

impl Said {
    /// Says what is new.
    ///
    /// # Errors
    /// The output is closed.
    pub(super) fn tell(
        &mut self,
        tasks: &Tasks,
        swarm: &Swarm,
        voice: &mut Voice<'_>,
    ) -> std::io::Result<()> {
        for node in swarm.expected() {
            let state = match (tasks.state_of(&node.id), tasks.reason_on(&node.id)) {
                ("running", _) => "running".to_owned(),
                (state, Some(reason)) => format!("{state} (before: {reason})"),
                (state, None) => state.to_owned(),
            };
            if self.0.get(&node.id) != Some(&state) {
                voice.say(&format!("  {}: {state}", node.hostname))?;
                self.0.insert(node.id.clone(), state);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(index: u64, state: &str, desired: &str) -> Value {
        json!({
            "NodeID": "n1",
            "Version": { "Index": index },
            "DesiredState": desired,
            "Spec": { "ContainerSpec": { "Image": format!("skep:{index}") } },
            "Status": { "State": state, "Err": if state == "rejected" { "No such image" } else { "" } },
        })
    }

    #[test]
    fn the_newest_wanted_task_of_a_node_counts() {
        for (rows, runs) in [
            (vec![], false),
            (vec![task(1, "running", "running")], true),
            (vec![task(1, "preparing", "running")], false),
            // A rolling update.
            (
                vec![
                    task(1, "running", "shutdown"),
                    task(2, "starting", "running"),
                ],
                false,
            ),
            (
                vec![task(2, "running", "running"), task(1, "failed", "shutdown")],
                true,
            ),
        ] {
            assert_eq!(Tasks::of(&rows).runs_on("n1"), runs, "{rows:?}");
        }
        let updated = [
            task(1, "shutdown", "shutdown"),
            task(2, "running", "running"),
        ];
        let tasks = Tasks::of(&updated);
        assert!(tasks.runs_with("n1", "skep:2") && !tasks.runs_with("n1", "skep:1"));
    }

    #[test]
    fn an_agent_that_fails_again_and_again_has_the_reason_of_its_last_task() {
        let rejected = |index| task(index, "rejected", "shutdown");
        let two = Tasks::of(&[rejected(1), rejected(2)]);
        assert_eq!(two.fails_on("n1"), None);
        let three = Tasks::of(&[rejected(1), rejected(2), rejected(3)]);
        assert_eq!(three.fails_on("n1"), Some("No such image"));
        let said = NotReady::Fails {
            node: "n1".to_owned(),
            reason: "No such image: skep:latest".to_owned(),
        };
        assert!(said.to_string().contains("load the image there"));
    }

    #[test]
    fn a_task_without_a_reason_has_its_exit_code() {
        let status = json!({ "State": "failed", "Err": "", "ContainerStatus": { "ExitCode": 1 } });
        assert_eq!(reason(&status), "it ended with code 1");
    }
}
