//! `skep explain`: judges a request as an agent with this configuration would,
//! without sending it. It calls no agent and no engine.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use skep_filters::endpoint::{HeadCheck, Match, RequestPath, classify};
use skep_filters::policy::scope::Reach;
use skep_filters::policy::{BodyOf, EffectiveApi, Node, On, Request, Role, Verdict};

use super::args::BodySource;
use crate::authorise::grants;
use crate::config::{Config, Grant, ValueError};
use crate::exchange::body;

/// The identity and the request to judge.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "SKEP_CONFIG", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Caller: key:ID, cert:NAME, local:NAME, portainer, operator, or the id or
    /// name alone
    #[arg(long = "as", value_name = "IDENTITY")]
    pub(crate) identity: String,
    /// File with the body of the request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<BodySource>,
    /// Hostname of the node that the request would go to
    #[arg(long, value_name = "HOSTNAME")]
    pub(crate) node: Option<String>,
    /// That node is a manager
    #[arg(long)]
    pub(crate) manager: bool,
    /// Label of that node in the Swarm; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Method of the request
    pub(crate) method: String,
    /// Path of the request, with its query
    pub(crate) path: String,
}

/// The file that is used if no other one is named.
const DEFAULT_CONFIG: &str = "/etc/skep/skep.yaml";

/// The verdict on the request.
pub struct Explanation {
    /// The verdict with its rule and reason, for a terminal.
    pub text: String,
    /// Whether the request is allowed.
    pub allowed: bool,
}

/// Judges the request.
///
/// # Errors
/// The configuration is wrong or does not know the identity, or the request
/// cannot be read.
pub fn run(args: &ExplainArgs) -> anyhow::Result<Explanation> {
    let config = Config::load(Some(&args.config))?;
    let (caller, grant) = identity(&config, &args.identity)?;
    let body = args.body.as_ref().map(BodySource::read).transpose()?;
    let most = body::LONGEST;
    anyhow::ensure!(
        body.as_ref().is_none_or(|body| body.len() <= most),
        "the body is longer than {most} bytes: an agent refuses it"
    );
    explain(&caller, &grant, args, body.as_deref())
}

fn explain(
    caller: &str,
    grant: &Grant,
    args: &ExplainArgs,
    body: Option<&[u8]>,
) -> anyhow::Result<Explanation> {
    let rules = &grant.policy.rules;
    let (path, query) = args.path.split_once('?').unwrap_or((&args.path, ""));
    let path = RequestPath::parse(path)?;
    let method = args.method.to_ascii_uppercase();
    let found = classify(&method, &path);
    let node = Node {
        role: if args.manager {
            Role::Manager
        } else {
            Role::Worker
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
        on: if named { On::Node(&node) } else { On::Any },
    });
    let inspected = found.as_ref().filter(|found| rules.inspects(found));
    let verdict = match (head, inspected, body) {
        (Verdict::Allow { rule }, Some(found), Some(bytes)) => {
            let api = EffectiveApi::of(path.version(), Some(EffectiveApi::NEWEST.version), None);
            match rules.judge_body(found, &json(bytes), api) {
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
            writeln!(
                text,
                "allowed: {caller} by policy {policy:?}, rule {rule:?}"
            )?;
        }
        Verdict::Deny { rule, reason } => {
            let would = if rules.audit_only() { "would be " } else { "" };
            writeln!(
                text,
                "{would}denied: {caller} by policy {policy:?}, rule {rule:?}: {reason}"
            )?;
        }
    }
    match &found {
        Some(found) => writeln!(
            text,
            "  endpoint: {} ({})",
            found.endpoint, found.endpoint.group
        )?,
        None => writeln!(text, "  endpoint: not one that skep knows")?,
    }
    let allowed = verdict.is_allowed() || rules.audit_only();
    if allowed {
        if inspected.is_some() && body.is_some() && path.version().is_none() {
            let newest = EffectiveApi::NEWEST.version;
            writeln!(
                text,
                "  read in API {newest}: name another version in the path"
            )?;
        }
        let has_body = body.is_some();
        let body = json(body.unwrap_or(b"{}"));
        let stored = inspected.map(|found| rules.stored_specs(found, query, &body));
        let stored = stored.unwrap_or_default();
        if stored.previous {
            writeln!(text, "  if the previous specification is allowed too")?;
        }
        if stored.current {
            writeln!(text, "  if the current specification is allowed too")?;
        }
        let removal = |found: &Match| found.endpoint.head == HeadCheck::NetworkRemoval;
        if found.as_ref().is_some_and(removal) && !rules.grants_ingress() {
            writeln!(text, "  unless it is the ingress network")?;
        }
        if found
            .as_ref()
            .is_some_and(|found| rules.keeps_recreatable(found))
        {
            writeln!(text, "  if the policy allows to create the container again")?;
        }
        conditions(&mut text, grant, found.as_ref(), has_body, named)?;
    }
    Ok(Explanation { text, allowed })
}

/// The conditions that depend on more than the arguments.
fn conditions(
    text: &mut String,
    grant: &Grant,
    found: Option<&Match>,
    has_body: bool,
    named: bool,
) -> std::fmt::Result {
    let rules = &grant.policy.rules;
    if rules.depends_on_node() && !named {
        writeln!(
            text,
            "  not on every node: name one with --node, --manager and --label"
        )?;
    }
    if found.is_some_and(|found| rules.inspects(found)) && !has_body {
        writeln!(text, "  the body is judged too: pass it with --body")?;
    }
    if let (Some(scope), Some(found)) = (rules.scope(), found) {
        let labels = scope.labels().iter();
        let labels: Vec<_> = labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let labels = labels.join(", ");
        match found.endpoint.scope {
            Reach::Unscoped | Reach::Build => {}
            Reach::Forbidden => writeln!(
                text,
                "  refused all the same: it reaches beyond the objects with {labels}"
            )?,
            Reach::List => writeln!(text, "  filtered by {labels}")?,
            Reach::Create(_) => writeln!(text, "  with {labels} added to its body")?,
            Reach::Object(_) | Reach::Replace(_) | Reach::NetworkAndContainer => {
                writeln!(text, "  if the object has {labels}")?
            }
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
    BodyOf::json(bytes)
}

/// The grant of `key:ci`, or of `ci` if only one identity has that name; also
/// of `portainer` and `operator`.
fn identity(config: &Config, name: &str) -> anyhow::Result<(String, Grant)> {
    if name == "operator" {
        return Ok(("operator".to_owned(), Grant::admin()));
    }
    if let ("portainer", Some(server)) = (name, &config.auth.portainer) {
        return Ok(("portainer".to_owned(), server.grant.clone()));
    }
    let matches = |id: &str| id == name || id.split_once(':').is_some_and(|(_, n)| n == name);
    let mut all: Vec<_> = grants::identities(config).collect();
    all.dedup_by(|a, b| a.0 == b.0);
    let found: Vec<_> = all.iter().filter(|(id, _)| matches(id)).collect();
    let list = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().join(", ");
    match &found[..] {
        [(id, grant)] => Ok((id.clone(), (*grant).clone())),
        [] => {
            let known = list(&mut all.iter().map(|(id, _)| id.as_str()));
            anyhow::bail!("there is no identity {name:?}; known are operator, {known}")
        }
        several => {
            let several = list(&mut several.iter().map(|(id, _)| id.as_str()));
            anyhow::bail!("{name:?} is ambiguous; choose one of {several}")
        }
    }
}

fn label(text: &str) -> Result<(String, String), ValueError> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(ValueError::new(format!("`{text}` is not a label"))
            .help("a label is NAME=VALUE, for example zone=a")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }

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
        let mut command = vec!["explain", "--config", file.to_str().unwrap()];
        if let Some(body) = body {
            std::fs::write(&body_file, body).unwrap();
            command.extend(["--body", body_file.to_str().unwrap()]);
        }
        command.extend(words.split(' '));
        match run(&Line::try_parse_from(command).unwrap().args) {
            Ok(done) => Ok((done.text, done.allowed)),
            Err(e) => Err(format!("{e:#}")),
        }
    }

    #[test]
    fn the_deciding_rule_is_named_with_its_reason() {
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
                "pass it with --body",
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
                "not one that skep knows",
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
            (
                "--as ci POST /containers/create",
                Some("{}"),
                true,
                "read in API 1.56",
            ),
            (
                "--as ci POST /containers/create",
                Some(r#"{"HostConfig":{"Annotations":{"run.oci.handler":"wasm"}}}"#),
                false,
                "\"may.annotations\"",
            ),
            (
                "--as key:dev --label zone=dev POST /services/web/update?version=1&rollback=previous",
                None,
                true,
                "the previous specification",
            ),
            (
                "--as key:dev --label zone=dev POST /services/web/update?version=1",
                Some(r#"{"UpdateConfig":{"FailureAction":"rollback"}}"#),
                true,
                "the current specification",
            ),
            (
                "--as key:dev --label zone=dev POST /build?devices=x",
                None,
                false,
                "\"parameters\": this endpoint has no parameter \"devices\"",
            ),
            (
                "--as key:dev --label zone=dev DELETE /networks/n",
                None,
                true,
                "unless it is the ingress network",
            ),
        ] {
            let (text, is) = explained(words, body).unwrap();
            assert_eq!(is, allowed, "{words}: {text}");
            assert!(text.contains(says), "{words}: {text}");
        }
    }

    #[test]
    fn an_unknown_or_ambiguous_identity_is_refused() {
        let unknown = explained("--as cl GET /info", None).unwrap_err();
        assert!(
            unknown.contains("operator, key:ci, key:dev, cert:dev"),
            "{unknown}"
        );
        let two = explained("--as dev GET /info", None).unwrap_err();
        assert!(two.contains("key:dev, cert:dev"), "{two}");
        assert!(explained("--as portainer GET /info", None).is_err());
        assert!(explained("--as ci GET info", None).is_err());
    }
}
