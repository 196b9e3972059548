//! Makes what the plan says, step by step. A step that fails takes back what this run
//! has made, the last first, and nothing that was there before.

use std::path::PathBuf;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::BootstrapError;
use super::api::{Api, PAUSE};
use super::files::{Files, FilesError};
use super::look::Survey;
use super::objects::{self, Kind, LET_GO};
use super::options::Options;
use super::plan::Plan;
use super::ready;
use super::stack::{self, Ids};
use super::through::Agent;
use super::voice::Voice;
use crate::connect::docker_context::{ContextTls, NewContext, Replace};
use crate::platform::{self, clock};
use crate::trust::{
    ClientCredential, Generation, OperatorKey, Secret, SecretFileError, TrustError,
};

/// The days of the certificate in the docker context.
pub(super) const DAYS: u64 = 90;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the agents may take to find each other, once all of them run.
const MEET: Duration = Duration::from_secs(60);

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[error("step {number} of {STEPS}, {step}, failed: {reason}\n{outcome}")]
pub(crate) struct Failure {
    number: usize,
    step: String,
    reason: Box<BootstrapError>,
    outcome: String,
}

const STEPS: usize = 8;

/// The steps, in their order.
#[derive(Clone, Copy)]
enum Step {
    Key,
    Secret,
    Configs,
    Network,
    Service,
    Agents,
    Context,
    List,
}

/// What this run has made, or may have made.
enum Made {
    File(PathBuf),
    /// An object of the Swarm with this name, if it has the label of this run.
    Object(Kind, String),
    Context,
}

struct Run<'a, 'v> {
    api: &'a Api,
    survey: &'a Survey,
    plan: &'a Plan,
    options: &'a Options,
    files: &'a Files,
    voice: &'a mut Voice<'v>,
    /// Tells what this run made from what another one makes at the same time.
    id: String,
    step: Step,
    made: Vec<Made>,
}

/// Makes everything.
///
/// # Errors
/// A step failed, or a signal came; what was made is gone again, or the error says what
/// is left.
pub(super) async fn run(
    api: &Api,
    survey: &Survey,
    plan: &Plan,
    options: &Options,
    files: &Files,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let mut run = Run {
        api,
        survey,
        plan,
        options,
        files,
        voice,
        id: random_id()?,
        step: Step::Key,
        made: Vec::new(),
    };
    let failed = tokio::select! {
        done = run.make() => match done {
            Ok(()) => return Ok(()),
            Err(e) => e,
        },
        signal = platform::shutdown_signal() => {
            BootstrapError::Refused(format!("{signal} has interrupted it"))
        }
    };
    let left = run.take_back().await;
    let outcome = match left.as_slice() {
        [] => "Everything that this run had made is gone again.".to_owned(),
        left => format!(
            "This could not be taken back:\n  {}\n`skep bootstrap --remove` tries again.",
            left.join("\n  ")
        ),
    };
    Err(Box::new(Failure {
        number: run.step as usize + 1,
        step: run.word(),
        reason: Box::new(failed),
        outcome,
    })
    .into())
}

fn random_id() -> Result<String, TrustError> {
    let mut random = [0; 8];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| TrustError::Random)?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

impl Run<'_, '_> {
    fn word(&self) -> String {
        let names = &self.survey.objects.names;
        match self.step {
            Step::Key => "the operator's key".to_owned(),
            Step::Secret => format!("the secret {}", names.secret),
            Step::Configs => format!("the configs {} and {}", names.config, names.operator),
            Step::Network => format!("the network {}", names.network),
            Step::Service => format!("the service {}", names.service),
            Step::Agents => "the agents of all nodes".to_owned(),
            Step::Context => format!("the docker context {}", self.files.context),
            Step::List => "a list through the docker context".to_owned(),
        }
    }

    fn begin(&mut self, step: Step) -> Result<(), BootstrapError> {
        self.step = step;
        let line = format!("{}/{STEPS} {}", step as usize + 1, self.word());
        Ok(self.voice.say(&line)?)
    }

    async fn make(&mut self) -> Result<(), BootstrapError> {
        let names = &self.survey.objects.names;
        let labels = stack::labels(&self.options.name, &self.id);

        self.begin(Step::Key)?;
        let key = self.key()?;

        self.begin(Step::Secret)?;
        let (text, generation) = self.secret()?;
        let body = stack::file_object(&names.secret, &labels, &text);
        let secret = self.create(Kind::Secret, &names.secret, body).await?;
        drop(text);

        self.begin(Step::Configs)?;
        let body = stack::file_object(&names.config, &labels, self.plan.config.as_bytes());
        let config = self.create(Kind::Config, &names.config, body).await?;
        let body = stack::file_object(&names.operator, &labels, key.public_pem.as_bytes());
        let operator = self.create(Kind::Config, &names.operator, body).await?;

        self.begin(Step::Network)?;
        let body = json_body(&stack::network(&names.network, &labels));
        let network = self.create(Kind::Network, &names.network, body).await?;

        self.begin(Step::Service)?;
        let ids = Ids {
            secret,
            config,
            operator,
            network,
        };
        let image = (
            self.plan.image.pinned.as_str(),
            self.plan.image.named.as_str(),
        );
        let (name, port) = (&self.options.name, self.plan.port);
        let body = json_body(&stack::service(name, names, &ids, image, port, &self.id));
        let service = self.create(Kind::Service, &names.service, body).await?;

        self.begin(Step::Agents)?;
        let (swarm, patience) = (&self.survey.swarm, self.options.patience);
        ready::wait(self.api, &service, swarm, patience, self.voice).await?;

        self.begin(Step::Context)?;
        self.write(&self.files.ca, generation.ca_pem().as_bytes())?;
        let (files, host) = (self.files, &self.plan.docker_host);
        write_context(files, &generation, self.options, host, Replace::Nothing)?;
        self.made.push(Made::Context);

        self.begin(Step::List)?;
        let count = Agent::of(self.files)?
            .wait(swarm, patience.min(MEET))
            .await?;
        let context = &self.files.context;
        self.voice.say(&format!(
            "  {count} containers on {} nodes\n\
             Done. The operator's key and the CA are in {}. Use the cluster, with a certificate \
             that is valid for {DAYS} days:\n  docker --context {context} ps",
            swarm.expected().count(),
            self.files.ca.parent().unwrap_or(&self.files.ca).display(),
        ))?;
        Ok(())
    }

    fn key(&mut self) -> Result<OperatorKey, BootstrapError> {
        if let Some(key) = self.files.key()? {
            return Ok(key);
        }
        let key = OperatorKey::generate()?;
        self.write(&self.files.key, key.private_pem.as_bytes())?;
        Ok(key)
    }

    /// The secret, from the file that the operator names or new.
    fn secret(&mut self) -> Result<(Zeroizing<Vec<u8>>, Generation), BootstrapError> {
        let existing = self.options.secret_file.as_deref();
        let (secret, text) = match existing.filter(|path| path.exists()) {
            Some(path) => {
                let (secret, warning) = Secret::read(path)?;
                if let Some(warning) = warning {
                    self.voice.say(&format!("  {warning}"))?;
                }
                let text = Zeroizing::new(secret.expose().to_vec());
                (secret, text)
            }
            None => {
                let text = Zeroizing::new(Secret::generate()?.into_bytes());
                let secret = Secret::from_bytes(&text).map_err(|error| SecretFileError {
                    path: PathBuf::new(),
                    error,
                })?;
                if let Some(path) = existing {
                    self.write(path, &text)?;
                }
                (secret, text)
            }
        };
        Ok((text, Generation::derive(&secret)?))
    }

    fn write(&mut self, path: &std::path::Path, bytes: &[u8]) -> Result<(), BootstrapError> {
        let written = platform::write_private(path, bytes);
        written.map_err(|error| FilesError::File {
            path: path.to_owned(),
            error,
        })?;
        self.made.push(Made::File(path.to_owned()));
        Ok(())
    }

    /// Creates an object and returns its id. The request may be carried out although
    /// its answer is lost.
    async fn create(
        &mut self,
        kind: Kind,
        name: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<String, BootstrapError> {
        self.made.push(Made::Object(kind, name.to_owned()));
        let path = format!("/{}/create", kind.path());
        let answer = self.api.post(&path, body).await?;
        let id = answer["ID"].as_str().or_else(|| answer["Id"].as_str());
        let none = || BootstrapError::Refused(format!("POST {path} gave no id"));
        id.map(str::to_owned).ok_or_else(none)
    }

    /// Takes back what was made, the last first; returns what is left, and why.
    async fn take_back(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        while let Some(made) = self.made.pop() {
            match made {
                Made::File(path) => {
                    if let Err(e) = std::fs::remove_file(&path) {
                        left.push(format!("{}: {e}", path.display()));
                    }
                }
                Made::Context => {
                    if let Err(e) = self.files.store.remove(&self.files.context) {
                        left.push(e.to_string());
                    }
                }
                Made::Object(kind, name) => {
                    // The output may be what has failed.
                    let _ = self
                        .voice
                        .say(&format!("  taking back the {} {name}", kind.word()));
                    if let Err(e) = self.remove(kind, &name).await {
                        left.push(format!("the {} {name}: {e}", kind.word()));
                    }
                }
            }
        }
        self.files.remove_empty_folders();
        left
    }

    /// Removes the object with this name, if this run has made it.
    async fn remove(&self, kind: Kind, name: &str) -> Result<(), BootstrapError> {
        let end = Instant::now() + LET_GO;
        loop {
            let failed = match objects::find(self.api, kind, name).await {
                Ok(Some(object)) if object.run.as_deref() == Some(&self.id) => {
                    return objects::remove(self.api, &object).await;
                }
                // Another operator's, or none.
                Ok(_) => return Ok(()),
                Err(e) => e,
            };
            if Instant::now() >= end {
                return Err(failed.into());
            }
            sleep(PAUSE).await;
        }
    }
}

pub(super) fn json_body(value: &Value) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(json!(value).to_string().into_bytes())
}

/// Writes the docker context, with a new certificate of the operator.
///
/// # Errors
/// A context with the name exists and is not to be replaced, or the disk does not keep
/// it.
pub(super) fn write_context(
    files: &Files,
    generation: &Generation,
    options: &Options,
    docker_host: &str,
    replace: Replace,
) -> Result<(), BootstrapError> {
    let lifetime = DAY * u32::try_from(DAYS).unwrap_or(1);
    let now = clock::wall();
    let issued = ClientCredential::issue(generation, &options.identity, lifetime, now)?;
    let ca = generation.ca_pem();
    let context = NewContext {
        name: files.context.clone(),
        description: "A Docker Swarm behind skep",
        host: docker_host,
        tls: ContextTls {
            ca: &ca,
            cert: &issued.cert_pem,
            key: &issued.key_pem,
        },
    };
    files.store.write(&context, replace)?;
    Ok(())
}
