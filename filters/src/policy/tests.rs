//! Tests whole policies on whole requests.

mod catalogue;
mod effects;
mod examples;
mod fields;
mod forward;
mod grants;
mod mounts;
mod preset;
mod replay;
mod rules;
mod spelling;

use super::*;
use crate::endpoint::{Match, RequestPath, classify};

/// Judges `METHOD target` and, if its head is allowed, a body.
pub(super) fn judged(rules: &RuleSet, request: &str, body: &str) -> Result<String, String> {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = RequestPath::parse(path).map_err(|e| format!("path: {e}"))?;
    let found = classify(method, &path);
    let head = rules.judge(&Request {
        found: found.as_ref(),
        method,
        path: &path,
        query,
        upgrade: None,
        on: On::Unknown,
    });
    let rule = outcome(head)?;
    let Some(found) = found.filter(|found| rules.inspects(found) && !body.is_empty()) else {
        return Ok(rule);
    };
    let api = EffectiveApi::of(path.version(), Some(EffectiveApi::NEWEST.version), None);
    outcome(rules.judge_body(&found, &json(body.as_bytes()), api))?;
    Ok(rule)
}

pub(super) fn is_allowed(rules: &RuleSet, request: &str) -> bool {
    judged(rules, request, "").is_ok()
}

/// The rule that allows, or the rule that denies with its reason.
fn outcome(verdict: Verdict<'_>) -> Result<String, String> {
    match verdict {
        Verdict::Allow { rule } => Ok(rule.to_owned()),
        Verdict::Deny { rule, reason } => Err(format!("{rule}: {reason}")),
    }
}

fn json(bytes: &[u8]) -> BodyOf<'_> {
    BodyOf::new(bytes, Some("application/json"), None)
}

/// Allows everything that needs no grant.
fn plain() -> RuleSet {
    with(May::default(), Must::default())
}

fn with(may: May, must: Must) -> RuleSet {
    RuleSet::new(&Spec {
        may: Some(may),
        must: Some(must),
        ..Spec::allowing(["*"])
    })
    .unwrap()
}

const CREATE: &str = "POST /containers/create";
const SERVICE: &str = "POST /services/create";

/// Asserts that a body is denied by this rule.
#[track_caller]
fn denies(rules: &RuleSet, request: &str, body: &str, rule: &str) {
    match judged(rules, request, body) {
        Ok(_) => panic!("allowed: {request} {body}"),
        Err(outcome) => assert!(outcome.starts_with(rule), "{outcome}: {request} {body}"),
    }
}

#[track_caller]
fn allows(rules: &RuleSet, request: &str, body: &str) {
    if let Err(outcome) = judged(rules, request, body) {
        panic!("{outcome}: {request} {body}");
    }
}

/// A create body with this in its `HostConfig`.
fn host(fields: &str) -> String {
    format!(r#"{{"Image":"alpine","HostConfig":{{{fields}}}}}"#)
}

/// A service with this in its `ContainerSpec`.
fn service(fields: &str) -> String {
    format!(r#"{{"Name":"s","TaskTemplate":{{"ContainerSpec":{{{fields}}}}}}}"#)
}
