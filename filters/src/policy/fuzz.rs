//! What a fuzzer calls: the parts that read what strangers send. They must
//! return, whatever they are given; and what they return must be consistent.

use std::sync::LazyLock;

use super::may::May;
use super::must::Must;
use super::node::On;
use super::redact::{Redact, redact};
use super::ruleset::{BodyOf, Request, RuleSet};
use super::scope::{Kind, Scope};
use super::size::Size;
use super::spec::Spec;
use crate::endpoint::{Match, RequestPath, all, classify};

/// A policy that looks at everything.
static STRICT: LazyLock<Option<RuleSet>> = LazyLock::new(|| {
    let must = Must {
        images: vec!["docker.io/library/*".into()],
        digest: true,
        non_root: true,
        no_new_privileges: true,
        read_only: true,
        memory: Some(Size(1 << 30)),
        cpus: Some(1.0),
        pids: Some(100),
        restart: vec!["no".into()],
        publish_on: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        ..Must::default()
    };
    let spec = Spec {
        may: Some(May::default()),
        must: Some(must),
        ..Spec::allowing(["*"])
    };
    RuleSet::new(&spec).ok()
});

/// Classifies and judges a request line: method, a space, target.
pub fn request(data: &[u8]) {
    let Some((method, target)) = std::str::from_utf8(data)
        .ok()
        .and_then(|t| t.split_once(' '))
    else {
        return;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Ok(path) = RequestPath::parse(path) else {
        return;
    };
    let found = classify(method, &path);
    let request = Request {
        found: found.as_ref(),
        method,
        path: &path,
        query,
        upgrade: None,
        on: On::Unknown,
    };
    if let Some(rules) = STRICT.as_ref() {
        let _ = rules.judge(&request);
    }
}

/// Judges a body: the first byte chooses the endpoint, the rest is the body.
pub fn body(data: &[u8]) {
    let (Some((first, bytes)), Some(rules)) = (data.split_first(), STRICT.as_ref()) else {
        return;
    };
    let endpoint = &all()[usize::from(*first) % all().len()];
    let found = Match {
        endpoint,
        object: None,
    };
    let _ = rules.judge_body(
        &found,
        &BodyOf {
            bytes,
            bound: 1 << 20,
            content_type: None,
            content_encoding: None,
        },
    );
}

/// Redacts and stamps an answer or a body.
///
/// # Panics
/// If what comes out is no JSON: that is the fault being looked for.
pub fn rewrite(data: &[u8]) {
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if let Ok(Some(out)) = redact(data, &[Redact::Env, Redact::Secrets]) {
        assert!(is_json(&out), "redacted to what is no JSON");
    }
    let scope = Scope::new([("owner".to_owned(), "me".to_owned())].into());
    let stamped = scope.map(|scope| scope.stamp(Kind::Service, data));
    if let Some(Ok(out)) = stamped {
        assert!(is_json(&out), "stamped to what is no JSON");
    }
}
