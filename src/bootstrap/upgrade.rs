//! Changes the image of the agents, and nothing else, one node after the other as the
//! service says. The Swarm goes back to the old image if an agent does not start.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::BootstrapError;
use super::api::{Api, PAUSE};
use super::image;
use super::look::Survey;
use super::options::Options;
use super::ready::{Said, Tasks};
use super::run::json_body;
use super::stack;
use super::voice::Voice;

/// Updates the service and waits for the end.
///
/// # Errors
/// There is no service that a run has made, the image is nowhere, or an agent did not
/// start with it.
pub(super) async fn upgrade(
    api: &Api,
    survey: &Survey,
    options: &Options,
    image: &str,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let refused = |text: String| Err(BootstrapError::Refused(text));
    let Some(service) = survey.objects.service().filter(|one| one.run.is_some()) else {
        return refused(format!(
            "there is no service {} that `skep bootstrap` has made",
            survey.objects.names.service
        ));
    };
    let image = match image::look(api, image).await? {
        Ok(image) => image,
        Err(reason) => return refused(reason),
    };
    let mut spec = service.row["Spec"].clone();
    let container = &mut spec["TaskTemplate"]["ContainerSpec"];
    let old = container["Image"].as_str().unwrap_or_default().to_owned();
    if old == image.pinned {
        voice.say(&format!(
            "the agents run {old} already; nothing was changed. A local image that was built anew \
             needs a new name, since the Swarm compares names"
        ))?;
        return Ok(());
    }
    container["Image"] = json!(image.pinned);
    spec["Labels"][stack::IMAGE] = json!(image.named);
    let version = service.row["Version"]["Index"].as_u64().unwrap_or_default();
    voice.say(&format!("{old} -> {}: {}", image.pinned, image.way))?;
    let path = format!("/services/{}/update?version={version}", service.id);
    api.post(&path, json_body(&spec)).await?;
    let end = Instant::now()
        + options.patience * u32::try_from(survey.swarm.nodes.len().max(1)).unwrap_or(u32::MAX);
    let mut said = Said::default();
    loop {
        let tasks = Tasks::look(api, &service.id).await?;
        said.tell(&tasks, &survey.swarm, voice)?;
        let row = api.get(&format!("/services/{}", service.id)).await?;
        match outcome(&row["UpdateStatus"]) {
            Outcome::Failed(message) => {
                let mut nodes = survey.swarm.expected();
                let reason = nodes.find_map(|node| {
                    let reason = tasks.reason_on(&node.id)?;
                    Some(format!(" ({}: {reason})", node.hostname))
                });
                let reason = reason.unwrap_or_default();
                return refused(format!(
                    "the agents did not start with {}: {message}{reason}",
                    image.pinned
                ));
            }
            Outcome::Going if Instant::now() >= end => {
                return refused(format!(
                    "the update is not complete in time: look at `docker service ps {}`",
                    survey.objects.names.service
                ));
            }
            Outcome::Going => {}
            Outcome::Done | Outcome::None => {
                let mut nodes = survey.swarm.expected();
                if nodes.all(|node| tasks.runs_with(&node.id, &image.pinned)) {
                    voice.say(&format!("all agents run {}", image.pinned))?;
                    return Ok(());
                }
                if Instant::now() >= end {
                    return refused("not every node has the new agent in time".to_owned());
                }
            }
        }
        sleep(PAUSE).await;
    }
}

enum Outcome {
    /// The Swarm has not begun.
    None,
    Going,
    Done,
    Failed(String),
}

fn outcome(status: &Value) -> Outcome {
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    match text("State").as_str() {
        "" => Outcome::None,
        "completed" => Outcome::Done,
        "updating" | "rollback_started" => Outcome::Going,
        state => Outcome::Failed(format!("{state}, {}", text("Message"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_went_back_has_failed() {
        for (state, failed) in [
            ("updating", false),
            ("completed", false),
            ("rollback_started", false),
            ("rollback_completed", true),
            ("rollback_paused", true),
            ("paused", true),
        ] {
            let found = outcome(&json!({ "State": state, "Message": "m" }));
            assert_eq!(matches!(found, Outcome::Failed(_)), failed, "{state}");
        }
        assert!(matches!(outcome(&Value::Null), Outcome::None));
    }
}
