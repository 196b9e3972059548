//! Defines arguments that several commands share.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::config::{AgentUrl, DEFAULT_SECRET_FILE};
use crate::connect::access::{Credentials, Target};

/// The configuration to use.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Configuration file; without one, every setting has its default
    #[arg(long, value_name = "FILE", env = "SKEP_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The cluster's secret, for commands that derive the cluster's CA from it.
#[derive(Args, Debug)]
pub struct SecretArgs {
    /// File with the cluster's secret
    #[arg(
        long,
        value_name = "FILE",
        env = "SKEP_SECRET_FILE",
        default_value = DEFAULT_SECRET_FILE
    )]
    pub secret_file: PathBuf,
}

/// The cluster's secret, and the form of its CA.
#[derive(Args, Debug)]
pub struct CaArgs {
    /// The secret of the CA.
    #[command(flatten)]
    pub secret: SecretArgs,
    /// Print the name of the cluster in signatures instead of the certificate
    #[arg(long)]
    pub audience: bool,
}

/// The agents to call, and the credentials to call them with.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// Agents to call, in this order until one answers; repeat it or separate
    /// them by commas
    #[arg(
        long,
        value_name = "URL",
        env = "SKEP_TO",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) to: Vec<AgentUrl>,
    /// The key or the secret to sign with.
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The cluster to call.
    #[command(flatten)]
    pub(crate) cluster: Target,
}

/// Where the body of a request comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum BodySource {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl BodySource {
    /// Reads the whole body.
    ///
    /// # Errors
    /// The file or standard input cannot be read.
    pub(super) fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::File(path) => {
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
            }
            Self::Stdin => {
                let mut body = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut body)
                    .context("cannot read standard input")?;
                Ok(body)
            }
        }
    }
}

impl From<OsString> for BodySource {
    fn from(text: OsString) -> Self {
        if text == "-" {
            Self::Stdin
        } else {
            Self::File(PathBuf::from(text))
        }
    }
}
