//! Sends a request to this node's engine in an API version that the engine serves,
//! and judges its body as the engine that gets it reads it.
//!
//! The agent of the node that answers chooses the version: it knows its engine. Its
//! answer names the version if it is not the one of the request.

use std::borrow::Cow;
use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::endpoint::{ApiVersion, BodyCheck, Endpoint, EndpointId, RequestPath, classify};
use skep_filters::translate::{Translation, Untranslatable};

use crate::cluster::ask::{ApiVersionChoice, Node};
use crate::cluster::hop::Hop;
use crate::config::ApiVersions;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::{Reason, Reject};
use crate::exchange::verdict::{self, Sent};
use crate::exchange::{Call, Exchange};
use crate::listen::server_headers::API_VERSION_HEADER;
use crate::upstream::request;

impl Context {
    /// Readies a request for its hop, before anything is sent: refuses a hop that the
    /// caller may not reach, judges the body as the engine there reads it, and
    /// translates a request for this node's engine.
    ///
    /// # Errors
    /// [`Reject::Denied`].
    pub(crate) fn enter(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        hop: &Hop,
    ) -> Result<(), Reject> {
        self.reaches(&x.permission, hop)?;
        self.judge_at(session, x, hop)?;
        match hop {
            Hop::Engine => self.translate(session, x),
            Hop::Agent(_) => Ok(()),
        }
    }

    /// Judges the body again if the engine of this hop reads it in another version than
    /// the one that was judged, or hides other paths: before the hop was chosen, that
    /// was the newest version and the oldest release of any node.
    fn judge_at(&self, session: &Session, x: &mut Judged<'_>, hop: &Hop) -> Result<(), Reject> {
        let is_judged = |endpoint: &Endpoint| endpoint.body_check() != BodyCheck::Nothing;
        if !x.endpoint.is_some_and(is_judged) {
            return Ok(());
        }
        let head = session.req_header();
        let path = RequestPath::parse(head.uri.path())?;
        let found = classify(head.method.as_str(), &path);
        let call = Call {
            found: found.as_ref(),
            path: &path,
            query: head.uri.query().unwrap_or_default(),
        };
        let called = x.permission.called.clone();
        let api = verdict::hop_api(&self.cluster, &called, hop, &call);
        if api == x.judged_in {
            return Ok(());
        }
        let body = Sent::of(head, &x.body);
        verdict::judge_body(&called, &call, &body.body(), api, x.record())
    }

    /// Whether the caller gets answers in other versions than it asks for.
    fn translates(&self, x: &Exchange) -> bool {
        self.config.api_versions == ApiVersions::Translate || x.dialect.translates_versions()
    }

    /// The version in which nodes are asked for the answer to this request.
    pub(crate) fn version_choice(&self, x: &Exchange, path: &RequestPath<'_>) -> ApiVersionChoice {
        if self.translates(x) {
            ApiVersionChoice::of(&self.cluster, path.version())
        } else {
            ApiVersionChoice::strict(&self.cluster, path.version())
        }
    }

    /// Sets the target to the version that the engine serves.
    fn translate(&self, session: &mut Session, x: &mut Judged<'_>) -> Result<(), Reject> {
        let head = session.req_header();
        let uri = head.uri.clone();
        let path = RequestPath::parse(uri.path())?;
        let Some(asked) = path.version() else {
            return Ok(());
        };
        let me = self.cluster.me();
        let nearest = me.engine.as_ref().and_then(|engine| engine.nearest(asked));
        let sent = nearest
            .filter(|_| self.translates(x.exchange))
            .unwrap_or(asked);
        let found = classify(head.method.as_str(), &path);
        if sent != asked {
            let translation = Translation { asked, sent };
            let query = uri.query().unwrap_or_default();
            let id = found.as_ref().map(|found| found.endpoint.id);
            let query = translated_query(translation, id, query).map_err(|e| {
                Reject::refused(StatusCode::BAD_REQUEST, Reason::NotServed, e.to_string())
            })?;
            if let (Some(id), Some(body)) = (id, &x.body.held) {
                let body = translation.body(id, body).map_err(|e| {
                    Reject::refused(StatusCode::BAD_REQUEST, Reason::NotServed, e.to_string())
                })?;
                if let Some(body) = body {
                    x.body.held = Some(body.into());
                }
            }
            let malformed = |e: http::uri::InvalidUri| Reject::Internal(e.to_string());
            let target = in_version(&uri, &path, translation, &query).map_err(malformed)?;
            session.req_header_mut().set_uri(target);
            x.exchange.answered_in.insert(sent);
            x.translation = Some(translation);
        }
        Ok(())
    }
}

impl Exchange {
    /// Notes the version of a node's part of the answer, and removes it from the
    /// part's head.
    pub(crate) fn answered_by(
        &mut self,
        node: &Node,
        choice: ApiVersionChoice,
        head: &mut ResponseHeader,
    ) {
        self.answered_in.extend(other_versions(node, choice, head));
    }
}

/// The versions in which a node answered, if they are not the one of the request.
/// Removes them from the head.
pub(crate) fn other_versions(
    node: &Node,
    choice: ApiVersionChoice,
    head: &mut ResponseHeader,
) -> BTreeSet<ApiVersion> {
    // The other agent knows its engine better: it may have come back with an update.
    let mut versions = named(&head.headers);
    head.remove_header(API_VERSION_HEADER);
    if versions.is_empty() {
        let translation = choice.translation(node.engine.as_ref());
        versions.extend(translation.map(|translation| translation.sent));
    }
    versions
}

fn named(headers: &HeaderMap) -> BTreeSet<ApiVersion> {
    let value = headers.get(API_VERSION_HEADER);
    let text = value.and_then(|value| value.to_str().ok());
    let parts = text.unwrap_or_default().split(',');
    parts.filter_map(|part| part.trim().parse().ok()).collect()
}

/// The value of [`API_VERSION_HEADER`]; `None` without versions.
pub(crate) fn header_value(versions: &BTreeSet<ApiVersion>) -> Option<HeaderValue> {
    if versions.is_empty() {
        return None;
    }
    let texts: Vec<_> = versions.iter().map(ApiVersion::to_string).collect();
    HeaderValue::from_str(&texts.join(", ")).ok()
}

/// The query for an engine in another version.
///
/// # Errors
/// If the engine would do more than the request says.
pub(crate) fn translated_query(
    translation: Translation,
    id: Option<EndpointId>,
    query: &str,
) -> Result<Cow<'_, str>, Untranslatable> {
    let changed = match id {
        Some(id) => translation.query(id, query)?,
        None => None,
    };
    Ok(changed.map_or(Cow::Borrowed(query), Cow::Owned))
}

/// The target in another version, with this query. All other bytes stay as they are,
/// unless the version was not written plainly (`/%761.41/info`).
fn in_version(
    target: &Uri,
    path: &RequestPath<'_>,
    Translation { asked, sent }: Translation,
    query: &str,
) -> Result<Uri, http::uri::InvalidUri> {
    let plain = format!("/v{asked}");
    let mut text = match target.path().strip_prefix(&plain) {
        Some(rest) => format!("/v{sent}{rest}"),
        None => format!("/v{sent}{}", request::escape(path.path())),
    };
    if target.query().is_some() || !query.is_empty() {
        text.push('?');
        text.push_str(query);
    }
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_of_a_target_changes() {
        for (target, expected) in [
            ("/v1.51/info", "/v1.41/info"),
            ("/v1.51/info?", "/v1.41/info?"),
            ("/v1.51", "/v1.41"),
            ("/v1.51/", "/v1.41/"),
            ("/v1.51%2Finfo", "/v1.41%2Finfo"),
            (
                "/v1.51/images/a%2Fb:1/json?x=%2F",
                "/v1.41/images/a%2Fb:1/json?x=%2F",
            ),
            ("/v1.51/v1.51/json", "/v1.41/v1.51/json"),
            (
                "/%761.51/images/a%20b/json?x=1",
                "/v1.41/images/a%20b/json?x=1",
            ),
            ("/v1.051/info", "/v1.41/info"),
        ] {
            let uri: Uri = target.parse().unwrap();
            let path = RequestPath::parse(uri.path()).unwrap();
            let asked = path.version().unwrap();
            let sent = ApiVersion::new(1, 41);
            let translation = Translation { asked, sent };
            let query = uri.query().unwrap_or_default();
            let changed = in_version(&uri, &path, translation, query).unwrap();
            assert_eq!(changed, expected, "{target}");
        }
    }

    #[test]
    fn the_header_lists_each_version_once_in_order() {
        let versions = [44, 41, 44].map(|minor| ApiVersion::new(1, minor));
        let value = header_value(&versions.into()).unwrap();
        assert_eq!(value, "1.41, 1.44");
        let mut headers = HeaderMap::new();
        headers.insert("skep-api-version", value);
        assert_eq!(named(&headers), versions.into());
        assert_eq!(header_value(&BTreeSet::new()), None);
        assert_eq!(named(&HeaderMap::new()), BTreeSet::new());
    }
}
