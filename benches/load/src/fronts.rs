//! Three TLS fronts of one engine, with one thread each: HAProxy, bare Pingora,
//! and skep with authentication on; a second build of skep beside it on request.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skep::platform;
use skep::trust::{Generation, Secret};
use skep_filters::auth::{KeyError, Signer, SigningKey};

use crate::connection::Tls;
use crate::free_address;
use crate::process::Process;

/// The number of keys, which the callers use in turn: a benchmark would exceed the
/// number of signatures that one key may have in its window.
const KEYS: usize = 16;

/// A front under measurement.
pub(crate) struct Front {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// All fronts, and the credentials of their callers.
pub(crate) struct Fronts {
    pub(crate) haproxy: Front,
    pub(crate) bare: Front,
    pub(crate) skep: Front,
    /// Another build of skep.
    pub(crate) baseline: Option<Front>,
    pub(crate) tls: Tls,
    pub(crate) signers: Vec<Signer>,
    /// The keys whose policy has rules.
    pub(crate) ruled: Vec<Signer>,
    /// The same keys as `signers` for a baseline that knows the old profile only.
    pub(crate) old: Option<Vec<Signer>>,
    _engine: Process,
}

impl Fronts {
    /// The memory of skep now, in bytes.
    pub(crate) fn skep_rss(&self) -> anyhow::Result<u64> {
        self.skep.process.rss()
    }

    /// The processor time of skep so far.
    pub(crate) fn skep_cpu(&self) -> anyhow::Result<Duration> {
        self.skep.process.cpu()
    }
}

/// Starts the engine and the fronts, with all their files in the folder.
pub(crate) async fn start(
    folder: &Path,
    skep: &Path,
    baseline: Option<&Path>,
    baseline_is_old: bool,
) -> anyhow::Result<Fronts> {
    let files = Files::new(folder)?;
    let program = std::env::current_exe()?;
    let mut engine = Command::new(&program);
    engine.arg("engine").arg(&files.engine);
    let engine = Process::start(engine, &folder.join("engine.log"))?;

    let address = free_address().await?;
    let config = folder.join("haproxy.cfg");
    fs::write(&config, files.haproxy(address))?;
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(config);
    let haproxy = front("haproxy", address, command, folder).await?;

    let address = free_address().await?;
    let mut command = Command::new(&program);
    command.args(["bare", "--listen", &address.to_string()]);
    command.arg("--engine").arg(&files.engine);
    command.arg("--certificate").arg(&files.certificate);
    command.arg("--key").arg(&files.key);
    let bare = front("pingora", address, command, folder).await?;

    let secret = folder.join("key");
    let text = Secret::generate()?;
    platform::write_private(&secret, text.as_bytes())?;
    let own = Secret::from_bytes(text.as_bytes())?;
    let audience = Generation::derive(&own)?.audience().clone();
    let agent = async |name: &'static str, program: &Path| {
        let address = free_address().await?;
        let config = folder.join(format!("{name}.yaml"));
        fs::write(&config, files.skep(name, address, &secret))?;
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(config);
        front(name, address, command, folder).await
    };
    let skep = agent("skep", skep).await?;
    let baseline = match baseline {
        Some(program) => Some(agent("baseline", program).await?),
        None => None,
    };

    let secret = fs::read(&secret)?;
    let signers = |name: &str| {
        let key = |n| SigningKey::hmac(&format!("{name}{n}"), &secret);
        let signer = |n| Ok(Signer::new(key(n)?, audience.clone()));
        (0..KEYS).map(signer).collect::<Result<Vec<_>, KeyError>>()
    };
    let old = |n| SigningKey::hmac(&format!("bench{n}"), &secret).map(Signer::without_audience);
    let old = || (0..KEYS).map(old).collect::<Result<Vec<_>, _>>();
    let certificate = CertificateDer::from_pem_file(&files.certificate)?;
    Ok(Fronts {
        haproxy,
        bare,
        skep,
        baseline,
        tls: Tls::new(&certificate, "localhost")?,
        signers: signers("bench")?,
        ruled: signers("ruled")?,
        old: baseline_is_old.then(old).transpose()?,
        _engine: engine,
    })
}

async fn front(
    name: &'static str,
    address: SocketAddr,
    command: Command,
    folder: &Path,
) -> anyhow::Result<Front> {
    let errors = folder.join(format!("{name}.log"));
    let mut process = Process::start(command, &errors).context(name)?;
    process.listens(address, &errors).await.context(name)?;
    Ok(Front {
        name,
        address,
        process,
    })
}

/// The files that the fronts share.
struct Files {
    folder: PathBuf,
    engine: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Certificate and key in one file, for HAProxy.
    combined: PathBuf,
}

impl Files {
    /// Creates a P-256 certificate, like those that skep issues itself.
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let files = Self {
            folder: folder.to_owned(),
            engine: folder.join("engine.sock"),
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            combined: folder.join("both.pem"),
        };
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&files.key)
            .arg("-out")
            .arg(&files.certificate)
            .output()?;
        let errors = String::from_utf8_lossy(&made.stderr);
        anyhow::ensure!(made.status.success(), "openssl: {errors}");
        let both = [fs::read(&files.certificate)?, fs::read(&files.key)?].concat();
        fs::write(&files.combined, both)?;
        Ok(files)
    }

    fn haproxy(&self, address: SocketAddr) -> String {
        let (combined, engine) = (self.combined.display(), self.engine.display());
        format!(
            "global\n  nbthread 1\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             frontend tls\n  \
               bind {address} ssl crt {combined} alpn http/1.1 ssl-min-ver TLSv1.3\n  \
               default_backend engine\n\
             backend engine\n  server engine unix@{engine}\n"
        )
    }

    /// The configuration of skep, with authentication and the log on, as by default.
    fn skep(&self, name: &str, address: SocketAddr, secret: &Path) -> String {
        let secret = secret.display();
        let key = |n| {
            format!(
                "    - {{ id: bench{n}, secret_file: {secret}, policy: admin }}\n    \
                   - {{ id: ruled{n}, secret_file: {secret}, policy: ruled }}\n"
            )
        };
        let keys: String = (0..KEYS).map(key).collect();
        format!(
            "listen:\n  - address: {address}\n    \
               tls: {{ certificate_file: {certificate}, key_file: {own_key} }}\n\
             engine: unix://{engine}\n\
             cluster: {{ mode: off, secret_file: {secret} }}\n\
             auth:\n  keys:\n{keys}\
             policies:\n  ruled:\n    \
               deny: [exec, 'GET /containers/*/archive', secrets.read]\n    \
               rules: [ {{ deny: ['DELETE /volumes/*'] }}, {{ allow: [services.read, 'GET /nodes'] }} ]\n    \
               allow: [images.read, ping, containers.read, 'POST /containers/create']\n    \
               may: {{ binds: [/srv/data] }}\n    \
               must: {{ images: ['ghcr.io/team/*'], memory: 1g }}\n\
             state_dir: {state}\n\
             threads: 1\n",
            certificate = self.certificate.display(),
            own_key = self.key.display(),
            engine = self.engine.display(),
            state = self.folder.join(format!("state-{name}")).display(),
        )
    }
}
