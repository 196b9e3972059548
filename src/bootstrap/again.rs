//! A second run: everything is there, and nothing in the Swarm changes. A machine that
//! has the cluster's secret gets the docker context if it has none, or a new certificate
//! before the old one ends.

use std::time::Duration;

use super::BootstrapError;
use super::api::Api;
use super::check::{self, expiry, published};
use super::files::{Files, FilesError};
use super::look::Survey;
use super::objects::Kind;
use super::options::Options;
use super::place::Place;
use super::plan;
use super::run::write_context;
use super::through::Agent;
use super::voice::Voice;
use crate::connect::docker_context::Replace;
use crate::platform::{self, clock};
use crate::trust::{Generation, Secret};

/// A certificate that ends sooner is replaced.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The state of the docker context on this machine.
enum Context {
    Good,
    Missing,
    EndsSoon,
}

/// # Errors
/// Something differs from what a run makes, or the context does not work.
pub(super) async fn again(
    api: &Api,
    survey: &Survey,
    place: &Place,
    options: &Options,
    files: &Files,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let findings = check::look(api, survey, options, files).await?;
    if !findings.is_good() {
        findings.print(voice)?;
        return Err(BootstrapError::Refused(
            "skep is set up, but differs from what this makes; nothing was changed".to_owned(),
        ));
    }
    let state = context(files)?;
    let secret = options.secret_file.as_deref().filter(|path| path.exists());
    match (state, secret) {
        (Context::Good, _) => {}
        (_, Some(path)) => {
            let (secret, _) = Secret::read(path)?;
            renew(survey, place, options, files, &Generation::derive(&secret)?)?;
            voice.say(&format!("wrote the docker context {}", files.context))?;
        }
        (Context::EndsSoon, None) => voice.say(
            "the certificate of the docker context ends within 30 days: run this with \
             --secret-file and a copy of the secret, or issue another one",
        )?,
        (Context::Missing, None) => {
            return Err(BootstrapError::Refused(format!(
                "skep is set up, and nothing was changed; but this machine has no docker context \
                 {}. The machine that set it up has it. With a copy of the secret, --secret-file \
                 makes one here",
                files.context
            )));
        }
    }
    let count = Agent::of(files)?.list().await?;
    voice.say(&format!(
        "skep is set up on all {} nodes, as it should be; nothing in the Swarm was changed. \
         {count} containers:\n  docker --context {} ps",
        survey.swarm.expected().count(),
        files.context
    ))?;
    Ok(())
}

fn context(files: &Files) -> Result<Context, BootstrapError> {
    let Some(stored) = files.store.find(&files.context)? else {
        return Ok(Context::Missing);
    };
    let soon = clock::wall().checked_add(SOON);
    Ok(match (expiry(&stored), soon) {
        (Some(end), Some(soon)) if end <= soon => Context::EndsSoon,
        // One without a certificate of skep's is not replaced; it fails below.
        _ => Context::Good,
    })
}

fn renew(
    survey: &Survey,
    place: &Place,
    options: &Options,
    files: &Files,
    generation: &Generation,
) -> Result<(), BootstrapError> {
    let address = plan::address(&survey.swarm, place, options);
    let service = survey
        .objects
        .get(Kind::Service, &survey.objects.names.service);
    let (Some(address), Some(port)) = (address, service.and_then(published)) else {
        return Err(BootstrapError::Refused(
            "the address of the manager's agent is unknown: name it with --address".to_owned(),
        ));
    };
    let path = files.ca.clone();
    let written = platform::replace_private(&path, generation.ca_pem().as_bytes());
    written.map_err(|error| FilesError::File { path, error })?;
    let host = address.docker_host(port);
    write_context(files, generation, options, &host, Replace::Existing)
}
