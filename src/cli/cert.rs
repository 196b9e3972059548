//! `skep cert`: certificates for clients that cannot sign requests.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::SecretArgs;
use super::own_container;
use crate::config::client_name;
use crate::connect::access;
use crate::platform;
use crate::platform::clock;
use crate::trust::{ClientCertificate, ClientCredential};

const DAY: u64 = 24 * 60 * 60;

/// The commands for certificates of clients.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Issue a certificate for a client, with a fresh key
    #[command(
        after_help = "Example:\n  skep cert issue --secret-file secret.txt --name alice --out alice"
    )]
    Issue(IssueArgs),
    /// Print the name, serial number and expiry of a client's certificate
    #[command(after_help = "Example:\n  skep cert show alice/cert.pem")]
    Show(ShowArgs),
}

/// The certificate to issue, and its files.
#[derive(Args, Debug)]
pub struct IssueArgs {
    /// The secret of the CA that issues it.
    #[command(flatten)]
    pub secret: SecretArgs,
    /// Name of the client, as in auth.certificates
    #[arg(long, value_name = "NAME", value_parser = client_name)]
    pub(crate) name: String,
    /// Days until the certificate expires, 1 to 366
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=366))]
    pub(crate) days: u16,
    /// Folder for cert.pem, key.pem and ca.pem, for DOCKER_CERT_PATH
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cert_file", "key_file"], required_unless_present_all = ["cert_file", "key_file"])]
    pub(crate) out: Option<PathBuf>,
    /// File for the certificate, instead of a folder
    #[arg(long = "cert", value_name = "FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// File for its key, instead of a folder
    #[arg(long = "key", value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Replace existing files
    #[arg(long)]
    pub(crate) force: bool,
}

/// The certificate to print.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// File with the certificate
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Returns the text to print; never a key.
///
/// # Errors
/// A file cannot be read or written, or has other content.
pub fn run(command: CertCommand) -> anyhow::Result<String> {
    match command {
        CertCommand::Issue(args) => issue(&args),
        CertCommand::Show(args) => show(&args.file),
    }
}

fn issue(args: &IssueArgs) -> anyhow::Result<String> {
    own_container::refuse_secret()?;
    let generation = access::generation(&args.secret.secret_file)?;
    let lifetime = Duration::from_secs(u64::from(args.days) * DAY);
    let issued = ClientCredential::issue(&generation, &args.name, lifetime, clock::wall())?;
    let ca_pem = generation.ca_pem();
    let (cert, key, ca) = match (&args.out, &args.cert_file, &args.key_file) {
        (None, Some(cert), Some(key)) => (cert.clone(), key.clone(), None),
        (folder, ..) => {
            let folder = folder.clone().unwrap_or_default();
            let file = |name| folder.join(name);
            (file("cert.pem"), file("key.pem"), Some(file("ca.pem")))
        }
    };
    let mut files = vec![(&cert, issued.cert_pem.as_str()), (&key, &issued.key_pem)];
    files.extend(ca.as_ref().map(|ca| (ca, ca_pem.as_str())));
    if cert == key {
        bail!("--cert and --key must name two files");
    }
    if !args.force
        && let Some((path, _)) = files.iter().find(|(path, _)| exists(path))
    {
        bail!("{} exists; --force replaces it", path.display());
    }
    for (path, content) in &files {
        write(path, content, args.force).with_context(|| path.display().to_string())?;
    }
    let mut text = String::new();
    for (path, _) in &files {
        text.push_str(&format!("written: {}\n", path.display()));
    }
    text.push_str(&facts(&issued.certificate)?);
    text.push_str(&usage(
        &args.name,
        &cert,
        &key,
        ca.as_deref(),
        &args.secret.secret_file,
    ));
    Ok(text)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Writes a file that only its owner can read. An existing one is replaced
/// atomically.
fn write(path: &Path, text: &str, force: bool) -> std::io::Result<()> {
    if force {
        platform::replace_private(path, text.as_bytes())
    } else {
        platform::write_private(path, text.as_bytes())
    }
}

fn show(path: &Path) -> anyhow::Result<String> {
    let at = || path.display().to_string();
    let pem = std::fs::read(path).with_context(at)?;
    let der = CertificateDer::from_pem_slice(&pem)
        .map_err(|_| {
            std::io::Error::new(ErrorKind::InvalidData, "holds no certificate in PEM form")
        })
        .with_context(at)?;
    let Some(certificate) = ClientCertificate::read(&der) else {
        bail!(
            "{}: is not a certificate that `skep cert issue` makes",
            at()
        );
    };
    facts(&certificate)
}

fn facts(certificate: &ClientCertificate) -> anyhow::Result<String> {
    let expires = OffsetDateTime::from(certificate.not_after).format(&Rfc3339)?;
    Ok(format!(
        "name:    {}\nserial:  {}\nexpires: {expires}\n",
        certificate.name, certificate.serial
    ))
}

fn usage(name: &str, cert: &Path, key: &Path, ca: Option<&Path>, secret: &Path) -> String {
    let (cert, key) = (cert.display(), key.display());
    let mut text = format!(
        "\nAccept it in the configuration of every agent:\n\n  \
         auth: {{ certificates: {{ identities: [ {{ name: {name}, policy: read-only }} ] }} }}\n\nUse it:\n\n"
    );
    let ca = match ca {
        Some(ca) => ca.display().to_string(),
        None => {
            text.push_str(&format!(
                "  skep ca --secret-file {} > ca.pem\n",
                secret.display()
            ));
            "ca.pem".to_owned()
        }
    };
    text.push_str(&format!(
        "  docker --tlsverify --tlscacert {ca} --tlscert {cert} --tlskey {key} -H tcp://NODE:9001 ps\n  \
         curl --cacert {ca} --cert {cert} --key {key} https://NODE:9001/containers/json\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: CertCommand,
    }

    /// A folder with a secret, and `skep cert` in it.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let secret = folder.path().join("secret");
            platform::write_private(&secret, b"Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG").unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap()
        }

        /// `@` in an argument is this folder.
        fn run(&self, line: &str) -> anyhow::Result<String> {
            let folder = format!("{}/", self.0.path().display());
            let words = format!("cert {line}").replace('@', &folder);
            run(Line::try_parse_from(words.split_whitespace())?.command)
        }
    }

    const ALICE: &str = "issue --secret-file @secret --name alice --out @alice";

    #[test]
    fn a_folder_gets_the_files_for_docker_and_the_key_is_not_printed() {
        let folder = Folder::new();
        let said = folder.run(ALICE).unwrap();
        let key = folder.read("alice/key.pem");
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(!platform::readable_by_others(&folder.path("alice/key.pem")));
        assert!(!said.contains("PRIVATE") && !said.contains(key.lines().nth(1).unwrap()));
        let ca = access::generation(&folder.path("secret")).unwrap().ca_pem();
        assert_eq!(folder.read("alice/ca.pem"), ca);
        let shown = folder.run("show @alice/cert.pem").unwrap();
        assert!(shown.starts_with("name:    alice\nserial:  "), "{shown}");
        for part in [
            &shown,
            "docker --tlsverify --tlscacert ",
            "curl --cacert ",
            "name: alice, policy",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn existing_files_are_replaced_with_force_only() {
        let folder = Folder::new();
        folder.run(ALICE).unwrap();
        let (cert, key) = (folder.read("alice/cert.pem"), folder.read("alice/key.pem"));
        let refused = folder.run(ALICE).unwrap_err().to_string();
        assert!(refused.contains("--force"), "{refused}");
        // One that exists is enough to write none.
        std::fs::remove_file(folder.path("alice/cert.pem")).unwrap();
        folder.run(ALICE).unwrap_err();
        assert!(!folder.path("alice/cert.pem").exists());
        assert_eq!(folder.read("alice/key.pem"), key);
        folder.run(&format!("{ALICE} --force")).unwrap();
        assert_ne!(folder.read("alice/key.pem"), key);
        assert_ne!(folder.read("alice/cert.pem"), cert);
        assert_eq!(std::fs::read_dir(folder.path("alice")).unwrap().count(), 3);
        assert!(!platform::readable_by_others(&folder.path("alice/key.pem")));
    }

    #[test]
    fn certificate_and_key_may_have_files_of_their_own() {
        let folder = Folder::new();
        let line = "issue --secret-file @secret --name a --cert @c.pem --key @k.pem";
        let said = folder.run(line).unwrap();
        assert!(said.contains("skep ca --secret-file"), "{said}");
        assert!(
            folder.read("c.pem").contains("CERTIFICATE")
                && folder.read("k.pem").contains("PRIVATE")
        );
        let same = "issue --secret-file @secret --name a --cert @x.pem --key @x.pem";
        assert!(folder.run(same).is_err() && !folder.path("x.pem").exists());
    }

    #[test]
    fn the_certificate_expires_after_the_given_days() {
        let folder = Folder::new();
        folder.run(&format!("{ALICE} --days 1")).unwrap();
        let pem = folder.read("alice/cert.pem");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let left = ClientCertificate::read(&der).unwrap().not_after;
        let left = left.duration_since(clock::wall()).unwrap().as_secs();
        assert!((DAY - 60..=DAY).contains(&left), "{left}");
    }

    #[test]
    fn wrong_arguments_are_refused_before_a_file_is_written() {
        let folder = Folder::new();
        for line in [
            "issue --secret-file @secret --name a/b --out @x",
            "issue --secret-file @secret --name a --out @x --days 0",
            "issue --secret-file @secret --name a --out @x --days 367",
            "issue --secret-file @secret --name a --out @x --key @k",
            "issue --secret-file @secret --name a --cert @x",
            "issue --secret-file @secret --name a",
            "issue --secret-file @missing --name a --out @x",
            "show @secret",
            "show @missing",
        ] {
            assert!(folder.run(line).is_err(), "{line}");
        }
        assert!(!folder.path("x").exists());
    }

    #[test]
    fn an_authority_is_not_printed_as_a_client() {
        let folder = Folder::new();
        folder.run(ALICE).unwrap();
        let refused = folder.run("show @alice/ca.pem").unwrap_err().to_string();
        assert!(refused.contains("skep cert issue"), "{refused}");
    }
}
