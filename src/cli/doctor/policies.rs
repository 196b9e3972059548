//! The identities whose policy lets them become root on a node.

use super::finding::{Finding, Subject};
use crate::config::{Config, Grant};

/// What it takes to be a caller.
#[derive(Clone, Copy)]
enum Proof {
    /// A key, a certificate or a secret.
    Given,
    /// The kernel names the user, and only some users may connect.
    User,
    /// None: every host or every user that can connect.
    None,
}

/// An identity of the configuration.
struct Caller<'c> {
    name: String,
    proof: Proof,
    grant: &'c Grant,
}

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let callers = callers(config);
    let mut findings: Vec<_> = callers.iter().filter_map(of_a_caller).collect();
    if findings.is_empty() {
        let found = match callers.len() {
            0 => "nobody but the operator may call".to_owned(),
            count => format!("{count} callers, and none becomes root by its policy"),
        };
        findings.push(Finding::fine(Subject::Policy, found));
    }
    findings
}

fn callers(config: &Config) -> Vec<Caller<'_>> {
    let auth = &config.auth;
    let given = |name: String, grant| Caller {
        name,
        proof: Proof::Given,
        grant,
    };
    let keys = auth.keys.iter();
    let keys = keys.map(|key| given(format!("key:{}", key.id), &key.grant));
    let certificates = auth.certificates.iter().flat_map(|all| &all.identities);
    let certificates = certificates.map(|one| given(format!("cert:{}", one.name), &one.grant));
    let portainer = auth.portainer.iter();
    let portainer = portainer.map(|one| given("Portainer servers".to_owned(), &one.grant));
    let mut callers: Vec<_> = keys.chain(certificates).chain(portainer).collect();
    for socket in &config.sockets {
        let is_open = socket.mode & 0o002 != 0;
        let users = socket.users.iter();
        let users = users.map(|user| (&user.identity, Proof::User));
        let others = if is_open { Proof::None } else { Proof::User };
        let others = socket.others.iter().map(|identity| (identity, others));
        callers.extend(users.chain(others).map(|(identity, proof)| Caller {
            name: format!("local:{} at {}", identity.name, socket.path.display()),
            proof,
            grant: &identity.grant,
        }));
    }
    for plain in &config.plain {
        callers.extend(plain.identities().map(|identity| Caller {
            name: format!("local:{} at {}", identity.name, plain.address),
            proof: Proof::None,
            grant: &identity.grant,
        }));
    }
    callers
}

fn of_a_caller(caller: &Caller<'_>) -> Option<Finding> {
    let policy = &caller.grant.policy;
    let grants = policy.rules.root_grants();
    if grants.is_empty() {
        return None;
    }
    let found = format!(
        "{} can become root by the policy {}: {}",
        caller.name,
        policy.name,
        grants.join(", ")
    );
    Some(match caller.proof {
        Proof::Given => Finding::warning(
            Subject::Policy,
            found,
            "guard its key like the root password, or grant less: `skep policy` prints presets",
        ),
        Proof::User => Finding::warning(
            Subject::Policy,
            found,
            "these users are root: grant less, or let fewer users open the socket",
        ),
        Proof::None => Finding::error(
            Subject::Policy,
            found,
            "everybody who can connect is root: grant less, or use a key or a certificate",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        let config = Config::parse("skep.yaml", text).unwrap_or_else(|e| panic!("{e}"));
        check(&config).iter().map(Finding::kind).collect()
    }

    #[test]
    fn root_without_proof_is_an_error_and_with_proof_a_warning() {
        let off = "cluster: { mode: off }\n";
        for (text, expected) in [
            (
                "auth: { keys: [ { id: a, secret_file: f, policy: admin } ] }",
                "warning",
            ),
            (
                "auth: { keys: [ { id: a, secret_file: f, policy: read-only } ] }",
                "ok",
            ),
            (
                "auth: { certificates: { identities: [ { name: a, policy: admin } ] } }",
                "warning",
            ),
            (
                "auth: { portainer: { secret_file: f, policy: portainer } }",
                "warning",
            ),
            ("listen: [ { socket: /run/s, policy: admin } ]", "warning"),
            (
                "listen: [ { socket: /run/s, mode: '0666', policy: admin } ]",
                "error",
            ),
            (
                "listen: [ { socket: /run/s, mode: '0666', policy: traefik } ]",
                "ok",
            ),
            (
                "listen: [ { socket: /run/s, mode: '0666', uids: [ { uid: 0, name: r, policy: admin } ] } ]",
                "warning",
            ),
            (
                "listen: [ { address: '0.0.0.0:2375', plain: true, networks: [10.0.0.0/8], policy: admin } ]",
                "error",
            ),
            ("{}", "ok"),
        ] {
            let text = match text.starts_with("listen") {
                true => format!("{off}{text}"),
                false => text.to_owned(),
            };
            assert_eq!(kinds(&text), [format!("{expected} policy")], "{text}");
        }
    }

    #[test]
    fn the_finding_names_the_caller_the_policy_and_the_grants() {
        let text = "auth: { keys: [ { id: ci, secret_file: f, policy: jobs } ] }\n\
                    policies: { jobs: { allow: [containers.write], may: { privileged: true, binds: [/etc] } } }";
        let config = Config::parse("skep.yaml", text).unwrap();
        let words = check(&config)[0].words();
        let expected = "key:ci can become root by the policy jobs: may.privileged, may.binds: /etc";
        assert!(words.starts_with(expected), "{words}");
    }
}
