//! Removes what runs have made, and nothing else: the objects of the Swarm by their
//! labels, and the operator's files of the cluster.

use super::BootstrapError;
use super::api::Api;
use super::files::Files;
use super::objects;
use super::options::Options;
use super::voice::Voice;

/// Removes all of it.
///
/// # Errors
/// Something is left; the error says what and why. The rest is gone.
pub(super) async fn remove(
    api: &Api,
    options: &Options,
    files: &Files,
    voice: &mut Voice<'_>,
) -> Result<(), BootstrapError> {
    let mut found = objects::made(api, &options.name).await?;
    if !found.is_empty() {
        // Before the first: they are removed after the service, which writes them.
        found.splice(0..0, objects::state(api).await?);
    }
    let mut left = Vec::new();
    // The service first: it uses all the others.
    for object in found.iter().rev() {
        voice.say(&format!("removing {}", object.shown()))?;
        match objects::remove(api, object).await {
            Ok(()) => {}
            Err(e) => left.push(format!("{}: {e}", object.shown())),
        }
    }
    if !left.is_empty() {
        // The operator may need the files to look into it.
        let left = left.join("\n  ");
        return Err(BootstrapError::Refused(format!(
            "this is left, run it again:\n  {left}"
        )));
    }
    let gone = files.remove()?;
    for what in &gone {
        voice.say(&format!("removed {what}"))?;
    }
    if found.is_empty() && gone.is_empty() {
        voice.say(&format!(
            "there is nothing of a cluster {} that `skep bootstrap` has made",
            options.name
        ))?;
    }
    Ok(())
}
