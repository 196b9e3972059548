//! What the operator has chosen.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::address::HostName;

/// The image of docker/stack.yml.
const IMAGE: &str = "skep:latest";

/// The choices for a cluster.
pub(crate) struct Options {
    pub(crate) name: Name,
    /// The image of the agents, as named; `None` for the usual one, or that of the
    /// agents that run.
    pub(crate) image: Option<String>,
    /// The published port of the agents; `None` for the default one, or that of the
    /// agents that run.
    pub(crate) port: Option<u16>,
    /// Where this machine reaches the agent of the manager.
    pub(crate) address: Option<HostName>,
    /// The operator's name in the certificate of the docker context.
    pub(crate) identity: String,
    /// Whom refusals tell callers to ask.
    pub(crate) contact: Option<String>,
    /// The file with the operator's private key.
    pub(crate) key_file: Option<PathBuf>,
    /// The file with the secret, or for a copy of it.
    pub(crate) secret_file: Option<PathBuf>,
    /// Whether the nodes get the operator's credentials for the image's registry.
    pub(crate) with_registry_auth: bool,
    /// How long the agents may take to be ready.
    pub(crate) patience: Duration,
}

impl Options {
    /// The image that agents get if they do not run yet.
    pub(super) fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(IMAGE)
    }
}

/// The name of the stack, and of the docker context.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    /// What suits a service, a secret and a docker context alike.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = (2..=32).contains(&text.len()) && text != "default";
        if fits && text.chars().all(plain) && text.starts_with(ends) && text.ends_with(ends) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{text}` is not a name: 2 to 32 lower-case letters, digits, `-` and `_`, the first \
             and the last a letter or digit, and not `default`"
        ))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_suits_a_service_and_a_docker_context() {
        for good in ["skep", "ab", "team-a_2"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let long = "a".repeat(33);
        for bad in [
            "", "a", "Skep", "-ab", "ab-", "a.b", "a b", "default", &long,
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
