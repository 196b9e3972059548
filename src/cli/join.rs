//! `skep join`: makes a key here, and gets a certificate for it by an invitation; or
//! renews that certificate.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skep_filters::people::Invitation;

use super::connect::create_context;
use super::user::moment;
use crate::config::AgentUrl;
use crate::connect::access::Authority;
use crate::connect::join::{self, JoinError};
use crate::connect::pinned;
use crate::gateway::join::Given;
use crate::platform;
use crate::platform::tasks::blocking;
use crate::trust::CertificateRequest;

/// The files, as docker wants them in `DOCKER_CERT_PATH`.
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const AUTHORITY: &str = "ca.pem";

/// The agents of the invitation, to renew with.
const AGENTS: &str = "agents";

/// The invitation, and where its files go.
#[derive(Args, Debug)]
pub struct JoinArgs {
    /// Invitation that `skep user add` has printed; `-` reads it from standard input
    #[arg(required_unless_present = "renew")]
    pub(crate) invitation: Option<String>,
    /// Renew the certificate in the folder
    #[arg(long, conflicts_with = "invitation")]
    pub(crate) renew: bool,
    /// Folder for cert.pem, key.pem and ca.pem, for DOCKER_CERT_PATH
    #[arg(long, value_name = "DIR", default_value = "skep")]
    pub(crate) out: PathBuf,
    /// Docker context to create for the first agent
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// Returns the text to print; never a key.
///
/// # Errors
/// No agent answers, or the invitation or the certificate is refused.
pub async fn run(args: JoinArgs) -> anyhow::Result<String> {
    if args.renew {
        return renew(&args).await;
    }
    let mut text = args.invitation.clone().unwrap_or_default();
    if text == "-" {
        text.clear();
        let read = std::io::stdin().take(64 << 10).read_to_string(&mut text);
        read.context("cannot read standard input")?;
    }
    let invitation: Invitation = text.parse()?;
    let agents: Vec<AgentUrl> = agents(&invitation.agents)?;
    let file = |name| args.out.join(name);
    for name in [CERTIFICATE, KEY, AUTHORITY, AGENTS] {
        if file(name).symlink_metadata().is_ok() {
            bail!(
                "{} exists; name another folder with --out",
                file(name).display()
            );
        }
    }
    let (request, key) = CertificateRequest::make()?;
    // Before the invitation is used up: a folder that cannot be written loses nothing.
    write_new(&file(KEY), key.as_bytes())?;
    let given = match first(&agents, &invitation, &request).await {
        Ok(given) => given,
        Err(e) => {
            let _ = fs::remove_file(file(KEY));
            return Err(e);
        }
    };
    write_new(&file(CERTIFICATE), given.certificate.as_bytes())?;
    write_new(&file(AUTHORITY), given.ca.as_bytes())?;
    write_new(
        &file(AGENTS),
        format!("{}\n", invitation.agents.join("\n")).as_bytes(),
    )?;
    let mut said = format!(
        "joined as {} until {}\nwritten: {}\n",
        given.name,
        moment(given.expires),
        args.out.display()
    );
    said.push_str(&usage(&args, &invitation.agents)?);
    Ok(said)
}

/// The certificate from the first agent that answers.
async fn first(
    agents: &[AgentUrl],
    invitation: &Invitation,
    request: &str,
) -> anyhow::Result<Given> {
    let mut failures = Vec::new();
    for url in agents {
        let (asked, audience) = (url.clone(), invitation.audience.clone());
        let pinned = blocking(move || pinned::authority(&asked, &audience)).await;
        let ca = match pinned {
            Ok(ca) => ca,
            Err(e) => {
                failures.push(format!("{url}: {e}"));
                continue;
            }
        };
        let authority = Authority::of_cluster(&ca);
        match join::join(&authority, url, invitation.secret(), request).await {
            Ok(given) => return Ok(given),
            Err(JoinError::Unreached(e)) => failures.push(format!("{url}: {e}")),
            Err(e) => bail!("{url}: {e}"),
        }
    }
    bail!("no agent answered\n  {}", failures.join("\n  "))
}

async fn renew(args: &JoinArgs) -> anyhow::Result<String> {
    let read = |name| {
        let path = args.out.join(name);
        fs::read(&path).with_context(|| path.display().to_string())
    };
    let (certificate, key, ca) = (read(CERTIFICATE)?, read(KEY)?, read(AUTHORITY)?);
    let names = String::from_utf8(read(AGENTS)?).context("the list of agents is not text")?;
    let names: Vec<_> = names.lines().map(str::to_owned).collect();
    let ca = CertificateDer::from_pem_slice(&ca);
    let ca = ca.ok().context("ca.pem holds no certificate in PEM form")?;
    let authority = Authority::of_cluster(&ca);
    // The same key: one file is replaced, and never belongs to another one.
    let request = CertificateRequest::for_key(str::from_utf8(&key)?)?;
    let mut failures = Vec::new();
    for url in agents(&names)? {
        match join::renew(&authority, &url, &certificate, &key, &request).await {
            Ok(given) => {
                let path = args.out.join(CERTIFICATE);
                platform::replace_private(&path, given.certificate.as_bytes())?;
                return Ok(format!("renewed until {}\n", moment(given.expires)));
            }
            Err(JoinError::Unreached(e)) => failures.push(format!("{url}: {e}")),
            Err(e) => bail!("{url}: {e}"),
        }
    }
    bail!("no agent answered\n  {}", failures.join("\n  "))
}

fn agents(names: &[String]) -> anyhow::Result<Vec<AgentUrl>> {
    let urls = names.iter().filter(|name| !name.is_empty());
    let urls = urls.map(|name| format!("https://{name}").parse::<AgentUrl>());
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    match urls.is_empty() {
        true => bail!("the invitation names no agent"),
        false => Ok(urls),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    match platform::write_private(path, bytes) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => bail!("{} exists", path.display()),
        written => written.with_context(|| path.display().to_string()),
    }
}

/// Creates the context, or says how to use the files.
fn usage(args: &JoinArgs, agents: &[String]) -> anyhow::Result<String> {
    let folder = fs::canonicalize(&args.out)?;
    let agent = agents.first().map_or("", String::as_str);
    let file = |name| folder.join(name).display().to_string();
    let endpoint = format!(
        "host=tcp://{agent},ca={},cert={},key={}",
        file(AUTHORITY),
        file(CERTIFICATE),
        file(KEY)
    );
    if let Some(name) = &args.context {
        create_context(name, &endpoint)?;
        return Ok(format!("to use it: docker --context {name} ps\n"));
    }
    Ok(format!(
        "to use it: docker --tlsverify --tlscacert {} --tlscert {} --tlskey {} -H tcp://{agent} ps\n",
        file(AUTHORITY),
        file(CERTIFICATE),
        file(KEY)
    ))
}
