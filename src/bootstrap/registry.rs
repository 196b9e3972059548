//! Finds the operator's credentials for the registry of an image, where the docker CLI
//! keeps them: in its configuration, or with a credential helper.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

/// The key of Docker Hub in the CLI's configuration.
const HUB: &str = "https://index.docker.io/v1/";

/// The user name that stands for a token.
const TOKEN: &str = "<token>";

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum RegistryError {
    #[error("the docker CLI has no credentials for {0}: run `docker login` first")]
    None(String),
    #[error("{0}: cannot be read as the docker CLI writes it")]
    Form(String),
    #[error("`{helper}` gives no credentials for {registry}: {reason}")]
    Helper {
        helper: String,
        registry: String,
        reason: String,
    },
}

/// The value of `X-Registry-Auth`. It holds a password.
pub(super) struct RegistryAuth(Zeroizing<String>);

#[derive(Default, Deserialize)]
struct CliConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default, rename = "identitytoken")]
    token: Option<String>,
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl RegistryAuth {
    /// The credentials for the registry of an image, from the CLI's folder.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub(super) fn find(folder: &Path, image: &str) -> Result<Self, RegistryError> {
        let registry = registry(image);
        let path = folder.join("config.json");
        let none = || RegistryError::None(registry.to_owned());
        let bytes = Zeroizing::new(std::fs::read(&path).map_err(|_| none())?);
        let config: CliConfig = serde_json::from_slice(&bytes)
            .map_err(|_| RegistryError::Form(path.display().to_string()))?;
        if let Some(helper) = config.helpers.get(registry).or(config.store.as_ref()) {
            return Self::of_helper(helper, registry);
        }
        // Older versions of the CLI write URLs.
        let with_scheme = format!("https://{registry}");
        let entry = config
            .auths
            .get(registry)
            .or(config.auths.get(&with_scheme));
        let entry = entry.ok_or_else(none)?;
        if let Some(token) = entry.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Self::of(registry, TOKEN, token));
        }
        let auth = entry.auth.as_ref().ok_or_else(none)?;
        let bad = || RegistryError::Form(path.display().to_string());
        let pair = Zeroizing::new(STANDARD.decode(auth.as_bytes()).map_err(|_| bad())?);
        let pair = std::str::from_utf8(&pair).map_err(|_| bad())?;
        let (user, password) = pair.split_once(':').ok_or_else(bad)?;
        Ok(Self::of(registry, user, password.trim_end_matches('\0')))
    }

    fn of_helper(name: &str, registry: &str) -> Result<Self, RegistryError> {
        let helper = format!("docker-credential-{name}");
        let failed = |reason: String| RegistryError::Helper {
            helper: helper.clone(),
            registry: registry.to_owned(),
            reason,
        };
        let mut command = Command::new(&helper);
        command.arg("get").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(registry.as_bytes())
                .map_err(|e| failed(e.to_string()))?;
        }
        let output = child
            .wait_with_output()
            .map_err(|e| failed(e.to_string()))?;
        let bytes = Zeroizing::new(output.stdout);
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        let helped: Helped = serde_json::from_slice(&bytes)
            .map_err(|_| failed("its output cannot be read".to_owned()))?;
        Ok(Self::of(registry, &helped.username, &helped.secret))
    }

    fn of(registry: &str, user: &str, password: &str) -> Self {
        let secret = match user == TOKEN {
            true => json!({ "identitytoken": password, "serveraddress": registry }),
            false => {
                json!({ "username": user, "password": password, "serveraddress": registry })
            }
        };
        let text = Zeroizing::new(secret.to_string());
        Self(Zeroizing::new(URL_SAFE.encode(text.as_bytes())))
    }

    pub(super) fn header(&self) -> &str {
        &self.0
    }
}

/// The registry of an image, as the CLI's configuration names it.
fn registry(image: &str) -> &str {
    let first = image.split_once('/').map(|(first, _)| first);
    let is_host = |part: &&str| part.contains(['.', ':']) || *part == "localhost";
    match first.filter(is_host) {
        None | Some("docker.io" | "index.docker.io") => HUB,
        Some(host) => host,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn find(config: &str, image: &str) -> Result<Value, RegistryError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let found = RegistryAuth::find(folder.path(), image)?;
        Ok(serde_json::from_slice(&URL_SAFE.decode(found.header()).unwrap()).unwrap())
    }

    #[test]
    fn the_registry_of_an_image_is_its_host_or_docker_hub() {
        for (image, expected) in [
            ("skep", HUB),
            ("me/skep:1", HUB),
            ("docker.io/me/skep", HUB),
            ("r.example.com/skep:1", "r.example.com"),
            ("r:5000/skep@sha256:0a", "r:5000"),
            ("localhost/skep", "localhost"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[test]
    fn credentials_are_read_as_the_cli_keeps_them() {
        // `printf user:pass:word | base64`
        let plain = r#"{"auths":{"r.io":{"auth":"dXNlcjpwYXNzOndvcmQ="}}}"#;
        let expected =
            json!({ "username": "user", "password": "pass:word", "serveraddress": "r.io" });
        assert_eq!(find(plain, "r.io/skep").unwrap(), expected);
        let token = r#"{"auths":{"https://r.io":{"identitytoken":"t"}}}"#;
        let expected = json!({ "identitytoken": "t", "serveraddress": "r.io" });
        assert_eq!(find(token, "r.io/skep").unwrap(), expected);
    }

    #[test]
    fn what_is_missing_is_said_and_no_credential_is_in_an_error() {
        for (config, part) in [
            (
                r#"{"auths":{"r.io":{"auth":"c2VjcmV0"}}}"#,
                "cannot be read",
            ),
            (r#"{"auths":{"other.io":{"auth":"dTpw"}}}"#, "docker login"),
            ("{", "cannot be read"),
            (
                r#"{"credsStore":"skep-has-none"}"#,
                "docker-credential-skep-has-none",
            ),
        ] {
            let said = find(config, "r.io/skep").unwrap_err().to_string();
            assert!(said.contains(part) && !said.contains("secret"), "{said}");
        }
    }
}
