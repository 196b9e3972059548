//! Compares what runs with what should.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use time::OffsetDateTime;

use super::BootstrapError;
use super::api::Api;
use super::difference::differences;
use super::files::Files;
use super::look::Survey;
use super::objects::{Kind, Names, Object};
use super::options::Options;
use super::ready::Tasks;
use super::stack::{self, Ids};
use super::through::Agent;
use super::voice::Voice;
use crate::config::{Config, Operator};
use crate::connect::docker_context::StoredContext;
use crate::platform::clock;
use crate::trust::ClientCertificate;

/// What was found, each with whether it is as it should be.
#[derive(Default)]
pub(super) struct Findings {
    good: Vec<String>,
    bad: Vec<String>,
}

impl Findings {
    pub(super) fn is_good(&self) -> bool {
        self.bad.is_empty()
    }

    /// # Errors
    /// The output is closed.
    pub(super) fn print(&self, voice: &mut Voice<'_>) -> std::io::Result<()> {
        for text in &self.good {
            voice.say(&format!("ok       {text}"))?;
        }
        for text in &self.bad {
            voice.say(&format!("differs  {text}"))?;
        }
        Ok(())
    }

    fn judge(&mut self, what: &str, problems: Vec<String>) {
        match problems.is_empty() {
            true => self.good.push(what.to_owned()),
            false => {
                let problems = problems.into_iter();
                self.bad
                    .extend(problems.map(|text| format!("{what}: {text}")));
            }
        }
    }
}

/// Compares and prints; `false` if something differs.
///
/// # Errors
/// Something could not be looked at.
pub(super) async fn check(
    api: &Api,
    survey: &Survey,
    options: &Options,
    files: &Files,
    voice: &mut Voice<'_>,
) -> Result<bool, BootstrapError> {
    let mut findings = look(api, survey, options, files).await?;
    findings.judge("the docker context", context(survey, files).await);
    findings.print(voice)?;
    Ok(findings.is_good())
}

/// Looks at all but the docker context.
///
/// # Errors
/// Something could not be looked at.
pub(super) async fn look(
    api: &Api,
    survey: &Survey,
    options: &Options,
    files: &Files,
) -> Result<Findings, BootstrapError> {
    let mut findings = Findings::default();
    let names = &survey.objects.names;
    for (kind, name) in names.all() {
        let problems = match survey.objects.get(kind, name) {
            None => vec!["is not there".to_owned()],
            Some(object) if object.run.is_none() => {
                vec!["was not made by `skep bootstrap`".to_owned()]
            }
            Some(_) => Vec::new(),
        };
        findings.judge(&format!("the {} {name}", kind.word()), problems);
    }
    let get = |kind, name| survey.objects.get(kind, name);
    if let Some(config) = get(Kind::Config, &names.config) {
        findings.judge("the agents' configuration", settings(config));
    }
    if let Some(operator) = get(Kind::Config, &names.operator) {
        findings.judge("the operator's key on this machine", key(operator, files)?);
    }
    if let Some(service) = survey.objects.service() {
        findings.judge(
            "the settings of the service",
            spec(survey, service, options, names),
        );
        let tasks = Tasks::look(api, &service.id).await?;
        let waiting = survey
            .swarm
            .expected()
            .filter(|node| !tasks.runs_on(&node.id));
        let waiting = waiting.map(|node| format!("{} {}", node.hostname, tasks.state_of(&node.id)));
        findings.judge("an agent on each node", waiting.collect());
    }
    Ok(findings)
}

/// The service against the one that a run would make from the same objects.
fn spec(survey: &Survey, service: &Object, options: &Options, names: &Names) -> Vec<String> {
    let id = |kind, name: &str| {
        let object = survey.objects.get(kind, name);
        object.map_or_else(|| "(none)".to_owned(), |object| object.id.clone())
    };
    let ids = Ids {
        secret: id(Kind::Secret, &names.secret),
        config: id(Kind::Config, &names.config),
        operator: id(Kind::Config, &names.operator),
        network: id(Kind::Network, &names.network),
    };
    let actual = &service.row["Spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let runs = text(&actual["TaskTemplate"]["ContainerSpec"]["Image"]);
    let named = text(&actual["Labels"][stack::IMAGE]);
    // The image is what it is, unless one was named.
    let pinned = match (&options.image, &survey.image) {
        (Some(_), Ok(image)) => image.pinned.clone(),
        (Some(named), Err(_)) => named.clone(),
        (None, _) => runs,
    };
    let port = options.port.or(published(service)).unwrap_or_default();
    let named = options.image.clone().unwrap_or(named);
    let run = service.run.clone().unwrap_or_default();
    let images = (pinned.as_str(), named.as_str());
    let expected = stack::service(&options.name, names, &ids, images, port, &run);
    differences(&expected, actual)
}

/// The published port of the agents.
pub(super) fn published(service: &Object) -> Option<u16> {
    let port = service.row["Spec"]["EndpointSpec"]["Ports"][0]["PublishedPort"].as_u64();
    u16::try_from(port?).ok()
}

fn data(config: &Object) -> Option<String> {
    let data = config.row["Spec"]["Data"].as_str()?;
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

fn settings(config: &Object) -> Vec<String> {
    let Some(text) = data(config) else {
        return vec!["cannot be read".to_owned()];
    };
    match Config::parse(&config.name, &text) {
        Err(e) => vec![e.to_string()],
        Ok(config) if !matches!(config.cluster.operator, Operator::Key(_)) => {
            vec!["the operator has no key of their own".to_owned()]
        }
        Ok(_) => Vec::new(),
    }
}

fn key(operator: &Object, files: &Files) -> Result<Vec<String>, BootstrapError> {
    let known = data(operator).unwrap_or_default();
    Ok(match files.key()? {
        Some(key) if key.public_pem.trim() == known.trim() => Vec::new(),
        Some(_) => vec![format!(
            "{} is not the one that the agents know",
            files.key.display()
        )],
        // Another machine has it.
        None => Vec::new(),
    })
}

/// What is wrong with the docker context of this machine.
async fn context(survey: &Survey, files: &Files) -> Vec<String> {
    match through(survey, files).await {
        Ok(problems) => problems,
        Err(e) => vec![e.to_string()],
    }
}

async fn through(survey: &Survey, files: &Files) -> Result<Vec<String>, BootstrapError> {
    let Some(stored) = files.store.find(&files.context)? else {
        return Ok(vec!["this machine has none".to_owned()]);
    };
    let mut problems = Vec::new();
    match expiry(&stored) {
        None => problems.push("it has no certificate of this cluster".to_owned()),
        Some(end) if end <= clock::wall() => {
            problems.push(format!("its certificate ended on {}", day(end)));
        }
        Some(_) => {}
    }
    let agent = Agent::of(files)?;
    let waiting = agent.not_ready(&survey.swarm).await?;
    problems.extend(
        waiting
            .into_iter()
            .map(|node| format!("the agent of {node} is not ready")),
    );
    agent.list().await?;
    Ok(problems)
}

/// When the certificate of a context ends; `None` if it has none of skep's.
pub(super) fn expiry(stored: &StoredContext) -> Option<SystemTime> {
    let pem = std::fs::read(stored.tls.cert.as_ref()?).ok()?;
    let der = CertificateDer::from_pem_slice(&pem).ok()?;
    Some(ClientCertificate::read(&der)?.not_after)
}

fn day(time: SystemTime) -> String {
    OffsetDateTime::from(time).date().to_string()
}
