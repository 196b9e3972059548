//! `skep explain`: judges a request as an agent with this configuration would,
//! without sending it. Nothing is asked of any agent or engine.

use std::fmt::Write;
use std::path::Path;

use skep_filters::endpoint::{Match, RequestPath, classify};
use skep_filters::policy::scope::Reach;
use skep_filters::policy::{BodyOf, Node, On, Request, Role, Verdict};

use super::{BodySource, ExplainArgs};
use crate::config::{Config, Grant};
use crate::exchange::body;
use crate::gateway::guard;

/// What was found, and whether the request is allowed.
pub struct Explained {
    /// For a terminal.
    pub text: String,
    /// Whether the request is allowed; the program's exit code is then 0, and 1
    /// otherwise.
    pub allowed: bool,
}

/// Judges.
///
/// # Errors
/// If the configuration is wrong, does not know the identity, or the request is
/// none.
pub fn run(args: &ExplainArgs) -> anyhow::Result<Explained> {
    let config = Config::load(Some(&args.config)).map_err(|e| anyhow::anyhow!("{e}"))?;
    let (who, grant) = identity(&config, &args.identity)?;
    let body = match &args.body {
        Some(BodySource::File(path)) => Some(std::fs::read(path)?),
        Some(BodySource::Stdin) => Some(std::io::read_to_string(std::io::stdin())?.into_bytes()),
        None => None,
    };
    explain(&who, &grant, args, body.as_deref())
}

fn explain(
    who: &str,
    grant: &Grant,
    args: &ExplainArgs,
    body: Option<&[u8]>,
) -> anyhow::Result<Explained> {
    let rules = &grant.policy.rules;
    let (path, query) = args.path.split_once('?').unwrap_or((&args.path, ""));
    let path = RequestPath::parse(path)?;
    let method = args.method.to_ascii_uppercase();
    let found = classify(&method, &path);
    let node = Node {
        role: match args.manager {
            true => Role::Manager,
            false => Role::Worker,
        },
        hostname: args.node.clone().unwrap_or_default(),
        labels: args.labels.iter().cloned().collect(),
    };
    let named = args.node.is_some() || args.manager || !args.labels.is_empty();
    let head = rules.judge(&Request {
        found: found.as_ref(),
        method: &method,
        path: &path,
        query,
        upgrade: None,
        on: match named {
            true => On::Node(&node),
            false => On::Any,
        },
    });
    let inspected = found.as_ref().filter(|found| rules.inspects(found));
    let verdict = match (head, inspected, body) {
        (Verdict::Allow { rule }, Some(found), Some(bytes)) => {
            match rules.judge_body(found, &json(bytes)) {
                Verdict::Allow { .. } => Verdict::Allow { rule },
                denied => denied,
            }
        }
        (head, ..) => head,
    };
    let mut text = String::new();
    let policy = &grant.policy.name;
    match &verdict {
        Verdict::Allow { rule } => {
            writeln!(text, "allowed: {who} by policy {policy:?}, rule {rule:?}")?;
        }
        Verdict::Deny { rule, reason } => {
            let would = if rules.audit_only() { "would be " } else { "" };
            writeln!(
                text,
                "{would}denied: {who} by policy {policy:?}, rule {rule:?}: {reason}"
            )?;
        }
    }
    match &found {
        Some(found) => writeln!(
            text,
            "  it is {} ({})",
            found.endpoint, found.endpoint.group
        )?,
        None => writeln!(text, "  it is no endpoint that skep knows")?,
    }
    let allowed = verdict.is_allowed() || rules.audit_only();
    if allowed {
        further(&mut text, grant, found.as_ref(), body.is_some(), named)?;
    }
    Ok(Explained { text, allowed })
}

/// What else will be looked at when the request is made.
fn further(
    text: &mut String,
    grant: &Grant,
    found: Option<&Match>,
    has_body: bool,
    named: bool,
) -> std::fmt::Result {
    let rules = &grant.policy.rules;
    if rules.depends_on_the_node() && !named {
        writeln!(
            text,
            "  but not on every node: see --node, --manager and --label"
        )?;
    }
    if found.is_some_and(|found| rules.inspects(found)) && !has_body {
        writeln!(text, "  its body is judged too: give it with --body")?;
    }
    if let (Some(scope), Some(found)) = (rules.scope(), found) {
        let labels = scope.labels().iter();
        let labels: Vec<_> = labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let labels = labels.join(", ");
        match Reach::of(found.endpoint.id) {
            Reach::Free => {}
            Reach::Closed => writeln!(
                text,
                "  but it is about more than what has {labels}: refused"
            )?,
            Reach::List => writeln!(text, "  filtered by {labels}")?,
            Reach::Create(_) => writeln!(text, "  with {labels} put into its body")?,
            _ => writeln!(text, "  if the object has {labels}")?,
        }
    }
    if !rules.redact().is_empty() {
        let kinds: Vec<_> = rules.redact().iter().map(|kind| kind.as_str()).collect();
        writeln!(text, "  without {} in the answer", kinds.join(", "))?;
    }
    if !grant.networks.is_empty() {
        let networks: Vec<_> = grant.networks.iter().map(ToString::to_string).collect();
        writeln!(text, "  when called from {}", networks.join(", "))?;
    }
    Ok(())
}

fn json(bytes: &[u8]) -> BodyOf<'_> {
    BodyOf {
        bytes,
        bound: body::LONGEST,
        content_type: None,
        content_encoding: None,
    }
}

/// `key:ci`, or `ci` if nobody else is called so; also `portainer` and `operator`.
fn identity(config: &Config, asked: &str) -> anyhow::Result<(String, Grant)> {
    if asked == "operator" {
        return Ok(("operator".to_owned(), Grant::admin()));
    }
    if let ("portainer", Some(server)) = (asked, &config.auth.portainer) {
        return Ok(("portainer".to_owned(), server.grant.clone()));
    }
    let is_meant = |name: &str| name == asked || name.split_once(':').is_some_and(|n| n.1 == asked);
    let mut all: Vec<_> = guard::identities(config).collect();
    all.dedup_by(|a, b| a.0 == b.0);
    let meant: Vec<_> = all.iter().filter(|(name, _)| is_meant(name)).collect();
    let names = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().join(", ");
    match &meant[..] {
        [(name, grant)] => Ok((name.clone(), (*grant).clone())),
        [] => {
            let known = names(&mut all.iter().map(|(name, _)| name.as_str()));
            anyhow::bail!("there is no identity {asked:?}; there is operator, {known}")
        }
        several => {
            let several = names(&mut several.iter().map(|(name, _)| name.as_str()));
            anyhow::bail!("{asked:?} may be {several}; name one of them")
        }
    }
}

/// A label of a node, as `NAME=VALUE`.
///
/// # Errors
/// Without a `=`.
pub fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("a label is NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// The file that is explained unless another one is named.
pub fn default_config() -> &'static Path {
    Path::new("/etc/skep/skep.yaml")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    const YAML: &str = "
auth:
  keys:
    - { id: ci, secret_file: f, policy: deploy, networks: [10.0.0.0/8] }
    - { id: dev, secret_file: f, policy: dev }
  certificates: { identities: [ { name: dev, policy: read-only } ] }
policies:
  deploy: { deny: [exec], allow: ['containers.*', exec] }
  dev:
    rules: [ { allow: ['*'], node: { labels: { zone: dev } } } ]
    labels: { owner: dev }
    redact: [env]
";

    fn explained(words: &str, body: Option<&str>) -> Result<(String, bool), String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, body_file) = (folder.path().join("c"), folder.path().join("b"));
        std::fs::write(&file, YAML).unwrap();
        let mut command = vec!["skep", "explain", "--config", file.to_str().unwrap()];
        if let Some(body) = body {
            std::fs::write(&body_file, body).unwrap();
            command.extend(["--body", body_file.to_str().unwrap()]);
        }
        command.extend(words.split(' '));
        let Command::Explain(args) = Cli::try_parse_from(command).unwrap().command else {
            panic!("another command");
        };
        match run(&args) {
            Ok(done) => Ok((done.text, done.allowed)),
            Err(e) => Err(format!("{e:#}")),
        }
    }

    #[test]
    fn the_rule_that_decides_is_named_with_the_reason() {
        for (words, body, allowed, says) in [
            (
                "--as ci GET /v1.41/containers/json",
                None,
                true,
                "\"allow containers.*\"",
            ),
            (
                "--as key:ci POST /exec/x/start",
                None,
                false,
                "\"deny exec\"",
            ),
            (
                "--as ci GET /info",
                None,
                false,
                "\"default\": no rule allows it",
            ),
            (
                "--as ci POST /containers/create",
                None,
                true,
                "give it with --body",
            ),
            (
                "--as ci post /containers/create",
                Some("{}"),
                true,
                "10.0.0.0/8",
            ),
            (
                "--as ci POST /containers/create",
                Some(r#"{"HostConfig":{"Privileged":true}}"#),
                false,
                "\"may.privileged\"",
            ),
            (
                "--as operator GET /anything",
                None,
                true,
                "no endpoint that skep knows",
            ),
            (
                "--as key:dev GET /containers/json",
                None,
                true,
                "not on every node",
            ),
            (
                "--as key:dev --label zone=dev GET /containers/json",
                None,
                true,
                "filtered by owner=dev",
            ),
            (
                "--as key:dev --node n1 GET /containers/json",
                None,
                false,
                "\"default\"",
            ),
            ("--as key:dev GET /info", None, true, "without env"),
        ] {
            let (text, is) = explained(words, body).unwrap();
            assert_eq!(is, allowed, "{words}: {text}");
            assert!(text.contains(says), "{words}: {text}");
        }
    }

    #[test]
    fn an_identity_has_to_be_one_and_only_one() {
        let nobody = explained("--as cl GET /info", None).unwrap_err();
        assert!(
            nobody.contains("operator, key:ci, key:dev, cert:dev"),
            "{nobody}"
        );
        let two = explained("--as dev GET /info", None).unwrap_err();
        assert!(two.contains("key:dev, cert:dev"), "{two}");
        assert!(explained("--as portainer GET /info", None).is_err());
        assert!(explained("--as ci GET info", None).is_err());
    }
}
