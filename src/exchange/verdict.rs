//! Judges the body of a request, and turns a policy's verdict into a refusal.
//!
//! A body is judged in the version of the API in which an engine reads it.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use pingora::http::RequestHeader;
use skep_filters::endpoint::{ApiVersion, BodyCheck};
use skep_filters::policy::{BodyOf, EffectiveApi, Reason, Release, Verdict};

use crate::cluster::Cluster;
use crate::cluster::hop::Hop;
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
pub(crate) fn judge_body(
    called: &Called,
    asked: &Call<'_>,
    body: &BodyOf<'_>,
    api: EffectiveApi,
    record: &mut Record,
) -> Result<(), Reject> {
    let rules = &called.policy.rules;
    let Some(found) = asked.found.filter(|found| rules.inspects(found)) else {
        return Ok(());
    };
    match rules.judge_body(found, body, api) {
        // The log names the rule that allowed the head.
        Verdict::Allow { .. } => Ok(()),
        denied => enforce(called, denied, record).map(drop),
    }
}

/// The API in which a request may be read, before its node is chosen. In an older
/// version a policy is stricter, since engines ignore more fields.
///
/// With a version in the path it is the newest in which any node would read the
/// request: the agent of the node that gets it judges it again ([`engine_api`]). Every
/// node may get a task of a service, so there it is the oldest, and so it is without a
/// version, when each engine chooses its own. The release is the oldest of any node:
/// what an older one does not hide is judged where the request goes ([`hop_api`]).
pub(crate) fn effective_api(cluster: &Cluster, called: &Called, asked: &Call<'_>) -> EffectiveApi {
    let me = cluster.me();
    let own = me.engine.as_ref();
    let own_range = || own.and_then(EngineFacts::range).into_iter().collect();
    let ranges: Vec<_> = match called.caller.is_peer() {
        true => own_range(),
        false => cluster.ranges(),
    };
    let version = asked.path.version();
    let read = ranges.iter().map(|range| match version {
        Some(version) => range.nearest(version),
        None => range.max,
    });
    let check = asked.found.map(|found| found.endpoint.body_check());
    let read = match version {
        Some(_) if check != Some(BodyCheck::ServiceSpec) => read.max(),
        Some(_) | None => read.min(),
    };
    let release = match called.caller.is_peer() {
        true => release(own),
        false => oldest_release(cluster),
    };
    EffectiveApi {
        version: read.or(version).unwrap_or(ApiVersion::FLOOR),
        release,
    }
}

/// The API in which the engine of the node reads the request that goes there. Every
/// node may get a task of a service.
pub(crate) fn hop_api(
    cluster: &Cluster,
    called: &Called,
    hop: &Hop,
    asked: &Call<'_>,
) -> EffectiveApi {
    let check = asked.found.map(|found| found.endpoint.body_check());
    if check == Some(BodyCheck::ServiceSpec) {
        return effective_api(cluster, called, asked);
    }
    match hop {
        Hop::Engine => engine_api(cluster.me().engine.as_ref(), asked.path.version()),
        Hop::Agent(member) => engine_api(member.engine.as_ref(), asked.path.version()),
    }
}

/// The API in which an engine reads a request in this version, or in its newest.
pub(crate) fn engine_api(
    engine: Option<&EngineFacts>,
    version: Option<ApiVersion>,
) -> EffectiveApi {
    let range = engine.and_then(EngineFacts::range);
    EffectiveApi {
        version: match (version, range) {
            (Some(version), Some(range)) => range.nearest(version),
            (version, range) => {
                let newest = range.map(|range| range.max);
                version.or(newest).unwrap_or(ApiVersion::FLOOR)
            }
        },
        release: release(engine),
    }
}

/// The oldest release of any node's engine; `None` if none is known.
fn oldest_release(cluster: &Cluster) -> Option<Release> {
    let own = release(cluster.me().engine.as_ref());
    let all = cluster.all();
    let others = all.iter().filter_map(|node| release(node.engine.as_ref()));
    others.chain(own).min()
}

fn release(engine: Option<&EngineFacts>) -> Option<Release> {
    Release::parse(&engine?.version)
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
