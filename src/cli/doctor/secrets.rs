//! The secrets and keys that the configuration names: whether they can be read, by whom
//! else, and whether they can be guessed.

use std::io;
use std::path::Path;

use skep_filters::auth::trim_secret;

use super::finding::{Finding, Subject};
use crate::authenticate::keys;
use crate::config::{
    Config, DEFAULT_SECRET_FILE, KeyFile, KeyMaterial, Operator, Portainer, SecretSource,
};
use crate::trust::{Secret, SecretError, is_exposed};

/// `clustered` is absent if nobody knows whether the agent works with others.
pub(super) fn check(config: &Config, clustered: Option<bool>) -> Vec<Finding> {
    let mut findings = of_the_cluster(config, clustered);
    let operator = match &config.cluster.operator {
        Operator::Key(path) => Some(keys::operator(path)),
        Operator::Derived | Operator::Off => None,
    };
    let keys = operator.into_iter().chain(config.auth.keys.iter().cloned());
    findings.extend(keys.flat_map(|file| of_a_key(&file)));
    let portainer = config.auth.portainer.iter();
    findings.extend(portainer.filter_map(of_portainer));
    findings
}

fn of_the_cluster(config: &Config, clustered: Option<bool>) -> Vec<Finding> {
    let mut files = config.cluster.secret_files.clone();
    if files.is_empty() && Path::new(DEFAULT_SECRET_FILE).exists() {
        files.push(DEFAULT_SECRET_FILE.into());
    }
    if !files.is_empty() {
        return files.iter().map(|file| of_a_file(file)).collect();
    }
    let given = match &config.cluster.portainer_secret {
        Some(SecretSource::Given(secret)) => {
            Some(Secret::from_bytes(trim_secret(secret.expose())).map_err(|e| e.to_string()))
        }
        Some(SecretSource::File(path)) => {
            let read = Secret::read(path);
            Some(read.map(|(secret, _)| secret).map_err(|e| e.to_string()))
        }
        None => None,
    };
    vec![match (given, clustered) {
        (Some(Ok(_)), _) => Finding::fine(Subject::Secret, "AGENT_SECRET is strong enough"),
        (Some(Err(e)), Some(true)) => Finding::error(
            Subject::Secret,
            format!("AGENT_SECRET is the only secret of the agents: {e}"),
            "set a longer one on the server and on all agents, or cluster.secret_file",
        ),
        (None, Some(true)) => Finding::error(
            Subject::Secret,
            "this node is part of a Swarm, and no cluster secret is given",
            "skep secret | docker secret create skep_secret -; list it under `secrets:` of the \
             service, or name a file: cluster.secret_file",
        ),
        (_, None) => Finding::skipped(
            Subject::Secret,
            "the engine does not say whether it is in a Swarm, which needs a secret",
        ),
        (_, Some(false)) => of_the_host(config),
    }]
}

/// A host outside of a Swarm makes its own secret.
fn of_the_host(config: &Config) -> Finding {
    if config.listen.is_empty() {
        return Finding::fine(Subject::Secret, "none is needed without an HTTPS address");
    }
    let path = config.state_dir.join("secret");
    let shown = path.display();
    match path.try_exists() {
        Ok(true) => of_a_file(&path),
        Ok(false) => Finding::fine(
            Subject::Secret,
            format!("the agent makes its own at its first start: {shown}"),
        ),
        Err(e) => Finding::error(
            Subject::Secret,
            format!("{shown}: {e}"),
            "make state_dir a folder that the agent's user can write to",
        ),
    }
}

fn of_a_file(path: &Path) -> Finding {
    let shown = path.display();
    match Secret::read(path) {
        Ok((_, None)) => Finding::fine(Subject::Secret, format!("{shown} is strong enough")),
        Ok((_, Some(warning))) => Finding::warning(
            Subject::Secret,
            warning.to_string(),
            format!("chmod 600 {shown}; replace the secret if somebody may have read it"),
        ),
        Err(e) => {
            let remedy = match &e.error {
                SecretError::Unreadable(e) => unreadable(e),
                SecretError::TooShort(_) | SecretError::Repetitive => {
                    "make one with `skep secret`, for all agents".to_owned()
                }
                SecretError::TooLong => "name the file with the secret".to_owned(),
            };
            Finding::error(Subject::Secret, e.to_string(), remedy)
        }
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as the agent's user, or give that user the file".to_owned()
        }
        _ => "put the file there, or mount it into the agent's container".to_owned(),
    }
}

fn of_a_key(file: &KeyFile) -> Vec<Finding> {
    let id = &file.id;
    if let Err(e) = keys::read_key(file) {
        let remedy = match &file.material {
            KeyMaterial::Secret(_) => "at least 32 bytes: `skep secret > FILE`",
            KeyMaterial::PublicKey(_) => {
                "an Ed25519 public key in PEM: `openssl pkey -in KEY -pubout -out FILE`"
            }
        };
        return vec![Finding::error(Subject::Key, e.to_string(), remedy)];
    }
    let KeyMaterial::Secret(path) = &file.material else {
        return vec![Finding::fine(
            Subject::Key,
            format!("{id} has a public key"),
        )];
    };
    let shown = path.display();
    let mut findings = Vec::new();
    if is_exposed(path) {
        let found = format!("{id}: other users of this machine can read {shown}");
        let remedy = format!("chmod 600 {shown}; replace the key if somebody may have read it");
        findings.push(Finding::warning(Subject::Key, found, remedy));
    }
    if let Err(e) = Secret::read(path) {
        let remedy = "make another one with `skep secret`, and give it to the client";
        findings.push(Finding::warning(Subject::Key, format!("{id}: {e}"), remedy));
    }
    if findings.is_empty() {
        let found = format!("{id} is strong enough");
        findings.push(Finding::fine(Subject::Key, found));
    }
    findings
}

/// The secret that a Portainer server shares with the agents.
fn of_portainer(portainer: &Portainer) -> Option<Finding> {
    let weak = |e: String| {
        Finding::warning(
            Subject::Secret,
            format!("the secret of Portainer servers: {e}"),
            "set a longer AGENT_SECRET on the server and on all agents: whoever sees one request \
             can guess it",
        )
    };
    match portainer.secret.as_ref()? {
        SecretSource::Given(secret) => {
            let read = Secret::from_bytes(trim_secret(secret.expose()));
            read.err().map(|e| weak(e.to_string()))
        }
        SecretSource::File(path) => match Secret::read(path).err()?.error {
            SecretError::Unreadable(e) => Some(Finding::error(
                Subject::Secret,
                format!("{}: {e}", path.display()),
                unreadable(&e),
            )),
            e => Some(weak(format!("{}: {e}", path.display()))),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Grant, Hidden};
    use crate::platform::write_private;

    const GOOD: &str = "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            write_private(&path, text.as_bytes()).unwrap();
            path
        }

        fn config(&self) -> Config {
            Config {
                state_dir: self.0.path().join("state"),
                ..Config::default()
            }
        }
    }

    fn kinds(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(Finding::kind).collect()
    }

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let files = Files::new();
        for (name, text, expected) in [
            ("good", GOOD, "ok secret"),
            ("short", "hunter2", "error secret"),
            (
                "same",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "error secret",
            ),
        ] {
            let mut config = files.config();
            config.cluster.secret_files = vec![files.write(name, text)];
            let found = check(&config, Some(true));
            assert_eq!(kinds(&found), [expected], "{name}");
            assert!(!found[0].words().contains(text), "{name}");
        }
        let mut config = files.config();
        config.cluster.secret_files = vec![files.0.path().join("none")];
        let found = check(&config, Some(true));
        assert_eq!(kinds(&found), ["error secret"]);
        assert!(
            found[0].words().contains("mount it"),
            "{}",
            found[0].words()
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let files = Files::new();
        let path = files.write("secret", GOOD);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mut config = files.config();
        config.cluster.secret_files = vec![path.clone()];
        config.auth.keys = vec![KeyFile {
            id: "ci".to_owned(),
            material: KeyMaterial::Secret(path),
            grant: Grant::admin(),
            unsigned_streams: false,
        }];
        let found = check(&config, Some(false));
        assert_eq!(kinds(&found), ["warning secret", "warning key"]);
        assert!(found[1].words().contains("chmod 600"));
    }

    #[test]
    fn a_swarm_needs_a_secret_and_a_host_makes_its_own() {
        let files = Files::new();
        let mut config = files.config();
        assert_eq!(kinds(&check(&config, Some(true))), ["error secret"]);
        assert_eq!(kinds(&check(&config, Some(false))), ["ok secret"]);
        assert_eq!(kinds(&check(&config, None)), ["skipped secret"]);
        for (secret, in_swarm) in [("hunter2", "error secret"), (GOOD, "ok secret")] {
            let given = Hidden::new(secret.as_bytes().to_vec());
            config.cluster.portainer_secret = Some(SecretSource::Given(given));
            assert_eq!(kinds(&check(&config, Some(true))), [in_swarm], "{secret}");
        }
        config.listen.clear();
        config.cluster.portainer_secret = None;
        assert_eq!(kinds(&check(&config, Some(false))), ["ok secret"]);
    }

    #[test]
    fn keys_are_read_by_their_kind() {
        let files = Files::new();
        let key = |material| KeyFile {
            id: "ci".to_owned(),
            material,
            grant: Grant::admin(),
            unsigned_streams: false,
        };
        for (material, expected) in [
            (KeyMaterial::Secret(files.write("a", GOOD)), "ok key"),
            (
                KeyMaterial::Secret(files.write("b", "hunter2")),
                "error key",
            ),
            (
                KeyMaterial::Secret(files.write("c", "abababababababababababababababababab")),
                "warning key",
            ),
            (KeyMaterial::PublicKey(files.write("d", "no")), "error key"),
            (KeyMaterial::PublicKey("/none".into()), "error key"),
        ] {
            let found = of_a_key(&key(material));
            assert_eq!(kinds(&found), [expected], "{}", found[0].words());
        }
        let mut config = files.config();
        config.cluster.operator = Operator::Key("/none".into());
        let found = check(&config, Some(false));
        assert_eq!(kinds(&found), ["ok secret", "error key"]);
    }

    #[test]
    fn a_weak_secret_of_portainer_servers_is_a_warning() {
        let files = Files::new();
        let portainer = |secret| Portainer {
            secret: Some(secret),
            public_key_file: None,
            first_use: false,
            grant: Grant::admin(),
        };
        let weak = files.write("weak", "hunter2");
        let given = Hidden::new(b"hunter2".to_vec());
        for (secret, expected) in [
            (SecretSource::File(weak), Some("warning secret")),
            (SecretSource::Given(given), Some("warning secret")),
            (SecretSource::File("/none".into()), Some("error secret")),
            (SecretSource::File(files.write("good", GOOD)), None),
        ] {
            let found = of_portainer(&portainer(secret)).map(|found| found.kind());
            assert_eq!(found.as_deref(), expected);
        }
    }
}
