//! Judges the body of a request, and turns a policy's verdict into a refusal.
//!
//! A body is judged in the version of the API in which an engine reads it.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use pingora::http::RequestHeader;
use skep_filters::endpoint::BodyCheck;
use skep_filters::policy::{BodyOf, EffectiveApi, Reason, Release, Verdict};

use crate::cluster::Cluster;
use crate::cluster::identity::EngineFacts;
use crate::exchange::Call;
use crate::exchange::called::Called;
use crate::exchange::judged::RequestBody;
use crate::exchange::record::Record;
use crate::exchange::reject::Reject;

/// Judges the body that was read, if the policy inspects it.
///
/// # Errors
/// [`Reject::Denied`].
pub(crate) fn authorise_body(
    cluster: &Cluster,
    called: &Called,
    asked: &Call<'_>,
    body: &BodyOf<'_>,
    record: &mut Record,
) -> Result<(), Reject> {
    let rules = &called.policy.rules;
    let Some(found) = asked.found.filter(|found| rules.inspects(found)) else {
        return Ok(());
    };
    let verdict = rules.judge_body(found, body, effective_api(cluster, called, asked));
    match verdict {
        // The log names the rule that allowed the head.
        Verdict::Allow { .. } => Ok(()),
        denied => enforce(called, denied, record).map(drop),
    }
}

/// The version of the API in which a request is read. Without one in the path it
/// is the oldest of those that engines choose. Every node may get a task of a
/// service, so there the oldest engine counts too. An engine of another node is
/// judged by that node's agent too; here, for the release, it counts as this one.
pub(crate) fn effective_api(cluster: &Cluster, called: &Called, asked: &Call<'_>) -> EffectiveApi {
    let me = cluster.me();
    let own = me.engine.as_ref();
    let own_range = || own.and_then(EngineFacts::range).into_iter().collect();
    let ranges: Vec<_> = match called.caller.is_peer() {
        true => own_range(),
        false => cluster.ranges(),
    };
    let newest = ranges.iter().map(|range| range.max);
    let check = asked.found.map(|found| found.endpoint.body_check());
    let newest = match asked.path.version() {
        Some(_) if check != Some(BodyCheck::ServiceSpec) => newest.max(),
        Some(_) | None => newest.min(),
    };
    let release = own.and_then(|engine| Release::parse(&engine.version));
    EffectiveApi::of(asked.path.version(), newest, release)
}

/// The rule that decided. A denial is an error, unless the policy is `audit_only`.
///
/// # Errors
/// [`Reject::Denied`], or [`Reject::Parameter`].
pub(crate) fn enforce(
    called: &Called,
    verdict: Verdict<'_>,
    record: &mut Record,
) -> Result<Cow<'static, str>, Reject> {
    let (rule, reason) = match verdict {
        Verdict::Allow { rule } => {
            // The most frequent rule, without a copy.
            record.rule = match rule {
                "admin" => "admin".into(),
                rule => rule.to_owned().into(),
            };
            return Ok(record.rule.clone());
        }
        Verdict::Deny { rule, reason } => (rule, reason),
    };
    record.rule = rule.to_owned().into();
    let text = Reason::to_string(&reason);
    if called.policy.rules.audit_only() {
        record.would_deny = Some(text);
        return Ok(record.rule.clone());
    }
    let who = called.caller.name.clone();
    let policy = called.policy.name.clone();
    Err(match reason {
        Reason::Parameter(error) => Reject::Parameter { who, policy, error },
        Reason::NotAllowed
        | Reason::Denied
        | Reason::UnknownEndpoint
        | Reason::Body(_)
        | Reason::Asks(_) => Reject::Denied {
            who,
            policy,
            rule: rule.to_owned(),
            reason: text,
        },
    })
}

/// The body that was sent, with the headers that say how to read it.
pub(crate) struct Sent {
    bytes: Bytes,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

impl Sent {
    pub(crate) fn of(head: &RequestHeader, body: &RequestBody) -> Self {
        let text = |name| text(head, name).map(str::to_owned);
        Self {
            bytes: body.held.clone().unwrap_or_default(),
            content_type: text(&CONTENT_TYPE),
            content_encoding: text(&CONTENT_ENCODING),
        }
    }

    /// The body as policies read it.
    pub(crate) fn body(&self) -> BodyOf<'_> {
        let coding = self.content_encoding.as_deref();
        BodyOf::new(&self.bytes, self.content_type.as_deref(), coding)
    }
}

/// A header's value; one that no rule allows if the value is not text, or the header
/// occurs again with another value. bollard sends the same one twice.
pub(crate) fn text<'h>(head: &'h RequestHeader, name: &HeaderName) -> Option<&'h str> {
    let mut values = head.headers.get_all(name).iter();
    let first = values.next()?;
    match first.to_str() {
        Ok(text) if values.all(|other| other == first) => Some(text),
        _ => Some("(not one text)"),
    }
}
