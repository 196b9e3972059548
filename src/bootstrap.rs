//! Sets skep up on a Swarm from the operator's machine, through any manager's engine
//! that a stock client reaches: `skep bootstrap`.
//!
//! It makes what `docker/stack.yml` makes, with the labels of a stack, and the files of
//! the operator: a key, the CA, and a docker context. It keeps no state of its own.
//! What is there is read from the Swarm, and a step that fails takes back what this run
//! has made.

mod address;
mod again;
mod api;
mod check;
mod difference;
mod files;
mod image;
mod look;
mod objects;
mod options;
mod place;
mod plan;
mod ready;
mod registry;
mod remove;
mod run;
mod settings;
mod ssh;
mod stack;
mod through;
mod upgrade;
mod voice;

pub(crate) use address::HostName;
pub(crate) use api::ApiError;
pub(crate) use options::{Name, Options};
pub(crate) use place::Named;
pub(crate) use voice::Voice;

use api::Api;
use files::Files;
use look::Survey;
use place::Place;
use plan::Plan;

use crate::connect::docker_context::ContextStore;

/// Why a command has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum BootstrapError {
    #[error(transparent)]
    Place(#[from] place::PlaceError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Files(#[from] files::FilesError),
    #[error(transparent)]
    Context(#[from] crate::connect::docker_context::ContextError),
    #[error(transparent)]
    Trust(#[from] crate::trust::TrustError),
    #[error(transparent)]
    Secret(#[from] crate::trust::SecretFileError),
    #[error("the configuration of the agents would not be valid: {0}")]
    Settings(#[from] crate::config::ConfigErrors),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Registry(#[from] registry::RegistryError),
    #[error(transparent)]
    Ready(#[from] ready::NotReady),
    #[error(transparent)]
    Run(#[from] Box<run::Failure>),
    #[error("the output cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

/// The operator's credentials for the registry of an image, if the nodes are to have
/// them.
fn registry(
    options: &Options,
    image: &str,
) -> Result<Option<registry::RegistryAuth>, BootstrapError> {
    if !options.with_registry_auth {
        return Ok(None);
    }
    let store = ContextStore::of_user()?;
    let found = registry::RegistryAuth::find(store.folder(), image)?;
    Ok(Some(found))
}

/// The Swarm as it is, and where the operator's files are.
struct Ground {
    place: Place,
    api: Api,
    survey: Survey,
    files: Files,
}

impl Ground {
    /// Looks at the Swarm; `image` is the one that its nodes are to get.
    async fn look(
        named: &Named,
        options: &Options,
        image: Option<&str>,
    ) -> Result<Self, BootstrapError> {
        let place = Place::find(named)?;
        let mut api = Api::of_manager(&place).await?;
        if let Some(image) = image {
            api = api.with_registry(registry(options, image)?);
        }
        let survey = Survey::look(&api, &place, options).await?;
        let files = Files::of_user(options)?;
        Ok(Self {
            place,
            api,
            survey,
            files,
        })
    }
}

/// Sets the Swarm up, or finds that it is.
///
/// # Errors
/// Something is in the way, or a step failed; then what was made is gone again.
pub(crate) async fn set_up(
    named: &Named,
    options: &Options,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let Ground {
        place,
        api,
        survey,
        files,
    } = Ground::look(named, options, Some(options.image())).await?;
    if survey.objects.is_complete() {
        return again::again(&api, &survey, &place, options, &files, voice).await;
    }
    let plan = Plan::make(&survey, &place, options, &files)?;
    voice.say(&plan.text)?;
    run::run(&api, &survey, &plan, options, &files, voice).await
}

/// Prints what [`set_up`] would make, and the same as files for `docker stack deploy`.
///
/// # Errors
/// Something is in the way.
pub(crate) async fn dry_run(
    named: &Named,
    options: &Options,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let ground = Ground::look(named, options, Some(options.image())).await?;
    let Ground {
        place,
        survey,
        files,
        ..
    } = ground;
    if survey.objects.is_complete() {
        voice.say(
            "skep is set up already; `skep bootstrap --check` compares it with what should be",
        )?;
        return Ok(());
    }
    let plan = Plan::make(&survey, &place, options, &files)?;
    voice.say(&plan.text)?;
    voice.say("Nothing was made. The same as files, for `docker stack deploy -c stack.yml`:\n")?;
    voice.say(&format!(
        "# stack.yml\n{}",
        stack::file(options, &plan.image)
    ))?;
    voice.say(&format!("# skep.yaml\n{}", plan.config))?;
    voice.say(&format!(
        "# operator.pub, once the key is there:\n\
         # openssl genpkey -algorithm ed25519 -out {key}\n\
         # openssl pkey -in {key} -pubout -out operator.pub",
        key = files.key.display()
    ))?;
    Ok(())
}

/// Compares what runs with what should; `false` if they differ.
///
/// # Errors
/// Something could not be looked at.
pub(crate) async fn check(
    named: &Named,
    options: &Options,
    voice: &mut Voice<'_>,
) -> Result<bool, BootstrapError> {
    let ground = Ground::look(named, options, None).await?;
    check::check(&ground.api, &ground.survey, options, &ground.files, voice).await
}

/// Changes the image of the agents, and nothing else.
///
/// # Errors
/// The update failed; the engines have gone back to the old image then.
pub(crate) async fn upgrade(
    named: &Named,
    options: &Options,
    image: &str,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let place = Place::find(named)?;
    let api = Api::of_manager(&place).await?;
    let api = api.with_registry(registry(options, image)?);
    let survey = Survey::look(&api, &place, options).await?;
    upgrade::upgrade(&api, &survey, options, image, voice).await
}

/// Removes what [`set_up`] has made, and nothing else.
///
/// # Errors
/// Something could not be removed; the error names it.
pub(crate) async fn remove(
    named: &Named,
    options: &Options,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let place = Place::find(named)?;
    let api = Api::of_manager(&place).await?;
    let files = Files::of_user(options)?;
    remove::remove(&api, options, &files, voice).await
}
