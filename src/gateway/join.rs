//! Gives certificates to people: for an invitation, and for a certificate that still
//! holds. Both are answered before a policy is asked: who has an invitation is nobody
//! yet, and who renews may have a policy that allows very little.
//!
//! A stranger learns the cluster's CA, which every TLS handshake shows in part, and
//! nothing about who exists.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora_limits::rate::Rate;
use serde::{Deserialize, Serialize};
use skep_filters::endpoint::{Match, Own, People, RequestPath, classify};
use skep_filters::people::{Document, Invitation, Invited, User, same_hash};
use tokio::time::timeout;

use crate::authenticate::{self, Authenticator};
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::reject::{Reason, Reject, internal};
use crate::exchange::{Exchange, Next};
use crate::listen::places::Source;
use crate::listen::visitor::Visitor;
use crate::people::{Joined, Keeper, RedeemError};
use crate::platform::clock;
use crate::trust::{CertificateRequest, Issued};
use crate::upstream::client::Budget;
use crate::upstream::error;
use crate::upstream::request;

/// The longest body, in bytes.
const LONGEST: usize = 16 << 10;

/// The time within which it has to arrive.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a manager's agent may take.
const MANAGER: Duration = Duration::from_secs(15);

/// The wrong requests of one source in that time; an agent asks for its own clients.
const MOST: isize = 10;
const MOST_OF_AN_AGENT: isize = 600;
const WINDOW: Duration = Duration::from_secs(10);

const DAY: u64 = 86_400;

/// The media type of certificates as text.
const PEM: &str = "application/x-pem-file";

/// Where the endpoints are.
const PREFIX: &str = "/skep/v1/";

/// Bounds how often strangers ask.
pub(crate) struct Joining(Rate);

impl Default for Joining {
    fn default() -> Self {
        Self(Rate::new(WINDOW))
    }
}

impl Joining {
    /// Whether a source may try again.
    fn admits(&self, source: &Source, most: isize) -> bool {
        self.0.observe(source, 0) < most
    }

    /// Counts a try that was wrong.
    fn failed(&self, source: &Source) {
        self.0.observe(source, 1);
    }
}

/// What is sent with an invitation.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The secret of the invitation; absent to renew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// A certificate request in PEM.
    pub(crate) request: String,
    /// Whether it came as text, and the answer is the certificate alone.
    #[serde(skip)]
    is_text: bool,
}

impl Asked {
    /// A question with this request in PEM.
    pub(crate) fn new(secret: Option<String>, request: String) -> Self {
        Self {
            secret,
            request,
            is_text: false,
        }
    }

    /// Reads a body: JSON, or for a shell without a tool for that, the secret in the
    /// first line and the request below.
    fn of(body: &[u8]) -> Option<Self> {
        if body.starts_with(b"{") {
            return serde_json::from_slice(body).ok();
        }
        let (secret, request) = str::from_utf8(body).ok()?.split_once('\n')?;
        Some(Self {
            secret: Some(secret.trim().to_owned()),
            request: request.to_owned(),
            is_text: true,
        })
    }
}

/// The answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) name: String,
    /// In PEM.
    pub(crate) certificate: String,
    pub(crate) ca: String,
    pub(crate) serial: String,
    /// In seconds since the epoch.
    pub(crate) expires: u64,
}

/// Whether the request is for one of these endpoints.
pub(crate) fn is_open(head: &RequestHeader) -> bool {
    endpoint(head).is_some()
}

/// The invitation with this hash. All are compared: the time does not tell which one is
/// like the secret.
fn find<'a>(document: &'a Document, hash: &str) -> Option<&'a Invited> {
    let all = document.invitations.iter();
    all.fold(None, |found, one| match same_hash(&one.hash, hash) {
        true => Some(one),
        false => found,
    })
}

fn endpoint(head: &RequestHeader) -> Option<(Match, People)> {
    // Saves classifying every request twice.
    if !head.uri.path().contains(PREFIX) {
        return None;
    }
    let path = RequestPath::parse(head.uri.path()).ok()?;
    let found = classify(head.method.as_str(), &path)?;
    match found.endpoint.own {
        Some(Own::People(own @ (People::Authority | People::Join | People::Renew))) => {
            Some((found, own))
        }
        _ => None,
    }
}

/// One request for a certificate, or for the CA's.
pub(crate) struct Request<'a> {
    pub(crate) joining: &'a Joining,
    pub(crate) people: &'a Arc<Keeper>,
    pub(crate) context: &'a Context,
    pub(crate) authenticator: &'a Authenticator,
}

impl Request<'_> {
    /// Answers it.
    ///
    /// # Errors
    /// The invitation is not valid, or the caller has no certificate to renew.
    pub(crate) async fn answer(
        self,
        session: &mut Session,
        x: &mut Exchange,
    ) -> Result<Next, Reject> {
        let Some((found, endpoint)) = endpoint(session.req_header()) else {
            return Err(Reject::NotServed);
        };
        x.endpoint = Some(found.endpoint.id);
        x.record.to = "agent".into();
        // Only TLS keeps an invitation secret.
        if Visitor::of(session).is_some() {
            return Err(Reject::NotServed);
        }
        let source = self.limit(session)?;
        let answered = self.answer_one(session, x, endpoint).await;
        // Whoever has a real invitation guesses nothing, also if it was used.
        let is_guess = |e: &Reject| e.status().is_client_error() && e.status() != StatusCode::GONE;
        if answered.as_ref().is_err_and(is_guess) {
            self.joining.failed(&source);
        }
        answered
    }

    async fn answer_one(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        endpoint: People,
    ) -> Result<Next, Reject> {
        match endpoint {
            People::Authority => {
                let generation = self.people.trust.generations().first();
                let generation = generation.ok_or(Reject::NotServed)?;
                let body = Bytes::from(generation.ca_pem());
                self.send(session, x, PEM, body).await
            }
            People::Renew => {
                let given = self.renew(session, x).await?;
                self.give(session, x, &given).await
            }
            _ => {
                let body = read(session).await?;
                let asked = Asked::of(&body).ok_or_else(invalid)?;
                let given = self.join(x, &asked).await?;
                if !asked.is_text {
                    return self.give(session, x, &given).await;
                }
                let pem = Bytes::from(given.certificate);
                self.send(session, x, PEM, pem).await
            }
        }
    }

    /// Bounds guessing, and the work that strangers cause. Returns who is counted.
    fn limit(&self, session: &Session) -> Result<Source, Reject> {
        let address = session.client_addr().and_then(|address| address.as_inet());
        let source = address.map_or(Source::User(None), |address| address.ip().into());
        let most = match authenticate::is_agent(session) {
            true => MOST_OF_AN_AGENT,
            false => MOST,
        };
        match self.joining.admits(&source, most) {
            true => Ok(source),
            false => Err(Reject::refused(
                StatusCode::TOO_MANY_REQUESTS,
                Reason::TooMany,
                format!("wait {} seconds before you try again", WINDOW.as_secs()),
            )),
        }
    }

    async fn join(&self, x: &mut Exchange, asked: &Asked) -> Result<Given, Reject> {
        let hash = asked.secret.as_deref().and_then(Invitation::hash_of);
        let hash = hash.ok_or_else(invalid)?;
        self.newest().await?;
        let cluster = &self.context.cluster;
        if cluster.is_on() && !cluster.me().can_manage() {
            // A manager knows the newest list: this agent may be a moment behind.
            let given = self.ask_manager(asked).await?;
            x.record.change = Some(format!("{} joins", given.name));
            return Ok(given);
        }
        let mut state = self.people.state();
        if find(&state.document, &hash).is_none() {
            self.people.look_again().await;
            state = self.people.state();
        }
        let now = clock::now().as_secs();
        let invited = find(&state.document, &hash).ok_or_else(invalid)?;
        if invited.expires <= now {
            return Err(gone("this invitation has expired; ask for another one"));
        }
        let user = state.document.user(&invited.user);
        let user = user.filter(|user| user.enabled).ok_or_else(invalid)?;
        let request = CertificateRequest::read(&asked.request).map_err(bad_request)?;
        let issued = self.issue(user, &request)?;
        let expires = seconds(issued.certificate.not_after);
        let joined = Joined {
            user: user.name.clone(),
            serial: issued.certificate.serial.to_string(),
            at: now,
            expires,
            from: x.from.clone(),
            node: cluster.me().name().to_owned(),
        };
        // The first half of the hash, which tells nothing about the secret.
        let id = &hash[..32];
        self.people.redeem(id, &joined).await.map_err(|e| match e {
            RedeemError::Used => {
                gone("this invitation was used already; if that was not you, say so at once")
            }
            RedeemError::Store(why) => Reject::refused(
                StatusCode::SERVICE_UNAVAILABLE,
                Reason::People,
                format!("the invitation cannot be redeemed now: {why}"),
            ),
        })?;
        x.record.change = Some(format!(
            "{} joins (certificate {})",
            user.name, joined.serial
        ));
        Ok(self.given(user, issued))
    }

    /// A certificate for the holder of one.
    async fn renew(&self, session: &mut Session, x: &mut Exchange) -> Result<Given, Reject> {
        self.newest().await?;
        let unknown = || {
            Reject::refused(
                StatusCode::UNAUTHORIZED,
                Reason::Signature("missing"),
                "only the holder of a certificate that still holds can renew it",
            )
        };
        let shown = authenticate::client_certificate(session).ok_or_else(unknown)?;
        let certificates = &self.authenticator.certificates;
        let caller = certificates.authenticate(shown, &session.req_header().headers)?;
        let name = shown.name.clone();
        x.record.caller = Some(caller.into());
        let state = self.people.state();
        let user = state.document.user(&name).filter(|user| user.enabled);
        let user = user.filter(|_| !self.people.is_hidden(&name));
        let Some(user) = user else {
            return Err(Reject::refused(
                StatusCode::FORBIDDEN,
                Reason::People,
                format!("{name:?} is no user of the list of people: ask the operator"),
            ));
        };
        let body = read(session).await?;
        let asked: Asked = serde_json::from_slice(&body).map_err(|_| {
            let what = "the body must be JSON with `request`, a certificate request in PEM";
            Reject::refused(StatusCode::BAD_REQUEST, Reason::People, what)
        })?;
        let request = CertificateRequest::read(&asked.request).map_err(bad_request)?;
        let issued = self.issue(user, &request)?;
        let serial = &issued.certificate.serial;
        x.record.change = Some(format!("{name} renews (certificate {serial})"));
        Ok(self.given(user, issued))
    }

    fn issue(&self, user: &User, request: &CertificateRequest) -> Result<Issued, Reject> {
        let now = clock::now().max(Duration::from_secs(user.since));
        let now = std::time::SystemTime::UNIX_EPOCH + now;
        let life = Duration::from_secs(u64::from(user.days) * DAY);
        let issued = self.people.trust.answer(request, &user.name, life, now);
        issued.map_err(|e| Reject::Internal(e.to_string()))
    }

    fn given(&self, user: &User, issued: Issued) -> Given {
        let generation = self.people.trust.generations().first();
        Given {
            name: user.name.clone(),
            certificate: issued.cert_pem,
            ca: generation.map(|one| one.ca_pem()).unwrap_or_default(),
            serial: issued.certificate.serial.to_string(),
            expires: seconds(issued.certificate.not_after),
        }
    }

    async fn newest(&self) -> Result<(), Reject> {
        let current = self.context.cluster.versions.are_current();
        timeout(Duration::from_secs(2), current).await.map_err(|_| {
            Reject::refused(
                StatusCode::SERVICE_UNAVAILABLE,
                Reason::PeopleUnknown,
                "this agent does not know the newest list of people yet; try again",
            )
        })
    }

    /// Has a manager's agent redeem the invitation: it decides everything again.
    async fn ask_manager(&self, asked: &Asked) -> Result<Given, Reject> {
        let body = serde_json::to_vec(asked).map_err(|e| Reject::Internal(e.to_string()))?;
        let body = Bytes::from(body);
        let hop = self.context.manager()?;
        let Hop::Agent(member) = &hop else {
            return Err(Reject::Internal("no manager".to_owned()));
        };
        let asked = async {
            let mut head = request::build(&Method::POST, "/skep/v1/join")?;
            head.insert_header(CONTENT_TYPE, "application/json")?;
            head.insert_header(CONTENT_LENGTH, body.len())?;
            let peer = hop.peer(&self.context.engine, &self.context.peers).await?;
            let budget = Budget::one(LONGEST);
            self.context
                .client
                .exchange(&peer, head, body, &budget)
                .await
        };
        let unanswered = |reason: String| Reject::Node {
            node: member.name().to_owned(),
            reason,
        };
        let answer = match timeout(MANAGER, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(self.context.failed(&hop, &e)),
            Err(_) => return Err(unanswered("no answer in time".to_owned())),
        };
        let status = answer.head.status;
        if status == StatusCode::OK {
            return serde_json::from_slice(&answer.body).map_err(|e| unanswered(e.to_string()));
        }
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let refusal = serde_json::from_slice::<Refusal>(&answer.body);
        let message = refusal.map_or_else(|_| format!("answered {status}"), |one| one.message);
        Err(Reject::refused(status, Reason::Invitation, message))
    }

    async fn give(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        given: &Given,
    ) -> Result<Next, Reject> {
        let body = serde_json::to_vec(given).map_err(|e| Reject::Internal(e.to_string()))?;
        self.send(session, x, "application/json", body.into()).await
    }

    async fn send(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        kind: &str,
        body: Bytes,
    ) -> Result<Next, Reject> {
        let mut head = ResponseHeader::build(StatusCode::OK, Some(5)).map_err(internal)?;
        head.insert_header(CONTENT_TYPE, kind).map_err(internal)?;
        head.insert_header(CONTENT_LENGTH, body.len())
            .map_err(internal)?;
        self.context.server_headers(x).anonymous().apply(&mut head);
        x.record.status = Some(head.status);
        x.record.bytes = body.len() as u64;
        let lost = |e: Box<pingora::Error>| Reject::Client(error::explain(&e));
        let begun = session.write_response_header(Box::new(head), false).await;
        begun.map_err(lost)?;
        let sent = session.write_response_body(Some(body), true).await;
        sent.map_err(lost)?;
        Ok(Next::Answered)
    }
}

/// Reads a short body.
async fn read(session: &mut Session) -> Result<Bytes, Reject> {
    let whole = async {
        let mut body = BytesMut::new();
        loop {
            let chunk = session.read_request_body().await;
            let Some(chunk) = chunk.map_err(|_| Reject::BodyIncomplete)? else {
                return Ok(body.freeze());
            };
            if body.len() + chunk.len() > LONGEST {
                return Err(Reject::BodyTooLong(LONGEST));
            }
            body.extend_from_slice(&chunk);
        }
    };
    timeout(DEADLINE, whole)
        .await
        .unwrap_or(Err(Reject::BodyIncomplete))
}

/// The same for a wrong, an unknown and an altered invitation.
fn invalid() -> Reject {
    let what = "this invitation is not valid here: it may be damaged, for another cluster, or \
                withdrawn";
    Reject::refused(StatusCode::FORBIDDEN, Reason::Invitation, what)
}

fn gone(what: &str) -> Reject {
    Reject::refused(StatusCode::GONE, Reason::Invitation, what)
}

fn bad_request(e: impl ToString) -> Reject {
    Reject::refused(StatusCode::BAD_REQUEST, Reason::Invitation, e)
}

fn seconds(time: std::time::SystemTime) -> u64 {
    let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
