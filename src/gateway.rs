//! The pipeline of a request. [`Gateway::handle`] calls its steps in order:
//! authenticate, classify, authorise, route, forward.
//!
//! Pingora's hooks (`gateway/hooks.rs`) call it; each step is a module of its own.

mod dispatch;
pub(crate) mod guard;
pub(crate) mod hooks;
pub(crate) mod join;
pub(crate) mod own;
mod rights;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{StatusCode, Uri};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::aggregate::NodeFilter;
use skep_filters::auth::digest::sha256;
use skep_filters::auth::portainer::PublicKey;
use skep_filters::auth::profile::SKEP_TARGET;
use skep_filters::auth::{AuthError, BodyBinding, Client, Principal};
use skep_filters::endpoint::{Body, Match, Own, RequestPath, Route, classify, port};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::authenticate;
use crate::authorise;
use crate::authorise::guarded;
use crate::authorise::ingress;
use crate::authorise::recreatable;
use crate::authorise::scope::{self, Restriction};
use crate::authorise::secrets;
use crate::authorise::stored;
use crate::cluster::reachable::Reachable;
use crate::config::{Grant, InfoOf};
use crate::exchange::Exchange;
use crate::exchange::body;
use crate::exchange::called::{Called, Permit};
use crate::exchange::caller::Caller;
use crate::exchange::content_type;
use crate::exchange::context::Context;
use crate::exchange::dialect::{Dialect, Docker};
use crate::exchange::judged::{Judged, RequestBody};
use crate::exchange::reject::{Reason, Reject};
use crate::exchange::request_id::RequestId;
use crate::exchange::target::{plain_target, without_empty_segments};
use crate::exchange::verdict;
use crate::exchange::{Call, Next, Proxied};
use crate::forward::fanout::List;
use crate::gateway::guard::Guard;
use crate::gateway::join::Joining;
use crate::gateway::rights::Rights;
use crate::listen::downstream::Downstream;
use crate::listen::visitor::Visitor;
use crate::people::Keeper;
use crate::platform::clock;
use crate::portainer::{self, Portainer};
use crate::ports::Ports;
use crate::route::task::{self, Meaning};
use crate::route::{Destination, Request, TargetError, route};
use crate::telemetry::audit::Audit;
use crate::telemetry::unauthenticated::Unauthenticated;

/// How long a client with a certificate waits for the newest list of people.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pipeline, with the state that only it uses.
pub(crate) struct Gateway {
    /// The state that all steps share.
    pub(crate) context: Context,
    /// The callers and their rights. Replaced when the configuration changes.
    pub(crate) guard: Arc<ArcSwap<Guard>>,
    /// `None` if no Portainer server may call.
    pub(crate) portainer: Option<Arc<Portainer>>,
    /// The ways to the ports of this node's containers.
    pub(crate) ports: Ports,
    /// The list of people.
    pub(crate) people: Arc<Keeper>,
    /// Bounds how often strangers ask for certificates.
    pub(crate) joining: Joining,
    /// Changes whenever callers may have lost their rights.
    pub(crate) rights: watch::Receiver<u64>,
    /// The audit log, if the configuration names one.
    pub(crate) audit: Option<Arc<Audit>>,
    /// Limits the log lines about unauthenticated clients.
    pub(crate) unauthenticated: Arc<Unauthenticated>,
}

impl Gateway {
    /// Runs the steps.
    ///
    /// The longer branches are boxed: a future has room for the largest of its
    /// branches, and this one is allocated and moved for every request.
    ///
    /// # Errors
    /// The reason why the request is refused.
    pub(crate) async fn handle(
        &self,
        session: &mut Session,
        x: &mut Exchange,
    ) -> Result<Next, Reject> {
        // Authenticate.
        let uri = plain_target(session)?;
        let mut guard = self.guard.load_full();
        let mut unpinned_key = None;
        let caller = match &self.portainer {
            Some(_)
                if portainer::is_open(session.req_header())
                    && !matches!(Visitor::of(session), Some(Visitor::Host(_))) =>
            {
                return Box::pin(portainer::open(&self.context, session, x)).await;
            }
            Some(portainer)
                if portainer::uses_portainer_signature(&session.req_header().headers)
                    && Visitor::of(session).is_none() =>
            {
                let server = portainer.authenticate(&session.req_header().headers)?;
                unpinned_key = server.unpinned_key;
                server.caller
            }
            _ if join::is_open(session.req_header()) => {
                if authenticate::shows_client(session) && !self.is_newest(&guard) {
                    guard = Box::pin(self.newest_people()).await?;
                }
                let joining = join::Request {
                    joining: &self.joining,
                    people: &self.people,
                    context: &self.context,
                    authenticator: &guard.authenticator,
                };
                return Box::pin(joining.answer(session, x)).await;
            }
            _ => {
                if authenticate::shows_client(session) && !self.is_newest(&guard) {
                    guard = Box::pin(self.newest_people()).await?;
                }
                let container = match Visitor::of(session) {
                    Some(Visitor::Host(host)) if guard.authenticator.asks_for_container(host) => {
                        Box::pin(self.context.residents.at(host.from.ip(), host.since)).await?
                    }
                    _ => None,
                };
                guard
                    .authenticator
                    .authenticate(session, container.as_ref())?
            }
        };
        let caller = Arc::new(caller);
        x.record.caller = Some(caller.clone());
        if let Some(id) = RequestId::of_caller(&session.req_header().headers, caller.is_peer()) {
            x.id = id;
            tracing::Span::current().record("request_id", x.id.as_str());
        }
        x.dialect = dialect(&caller);
        let grant = guard.grants.grant(&caller, address(session))?;
        x.record.policy = Some(grant.policy.clone());
        if grant.since > 0 && !caller.is_peer() && !self.is_newest(&guard) {
            return Err(self.unsure());
        }
        if grant.since > 0
            && let Principal::Client(Client::Certificate { name } | Client::Key { id: name }) =
                &caller.principal
        {
            let now = clock::now().as_secs();
            self.people.sightings.saw(name, &x.from, now);
        }
        let permit = guard.grants.acquire(&caller, grant)?;
        let rights = Rights::of(session, &caller, grant.since);
        let called = self.called(session, caller, grant, permit)?;
        let next = {
            let served = pin!(self.serve(session, x, &uri, called, unpinned_key));
            tokio::select! {
                biased;
                next = served => next?,
                () = self.end_of(rights.as_ref()) => return Err(ended()),
            }
        };
        if let (Next::Proxy(_), Some(rights)) = (&next, rights) {
            let (guard, changes) = (self.guard.clone(), self.rights.clone());
            Downstream::end_with(session.stream(), rights.end(guard, changes));
        }
        Ok(next)
    }

    /// Runs the steps after the caller's rights are known.
    async fn serve(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        uri: &Uri,
        called: Arc<Called>,
        unpinned_key: Option<Box<PublicKey>>,
    ) -> Result<Next, Reject> {
        if let (Some(portainer), Some(key)) = (&self.portainer, unpinned_key) {
            Box::pin(portainer.pin_server(&key)).await?;
        }
        if let Some(location) = without_empty_segments(&session.req_header().method, uri) {
            return Box::pin(self.context.redirect(session, x, &location)).await;
        }
        // Classify.
        let path = RequestPath::parse(uri.path())?;
        let query = uri.query().unwrap_or_default();
        let found = classify(session.req_header().method.as_str(), &path);
        let endpoint = found.as_ref().map(|m| m.endpoint);
        x.endpoint = endpoint.map(|endpoint| endpoint.id);
        if endpoint.is_some_and(|endpoint| endpoint.own == Some(Own::Forward)) {
            x.record.port = port::of(query).ok();
        }
        // Authorise.
        let asked = Call {
            found: found.as_ref(),
            path: &path,
            query,
        };
        let (cluster, record) = (&self.context.cluster, &mut x.record);
        let head = session.req_header();
        let permission = authorise::authorise(cluster, called, head, &asked, record)?;
        let called = &permission.called;
        content_type::hold(session.req_header_mut(), asked.found)?;
        let body = self.body(session, called, asked.found).await?;
        let sent = verdict::Sent::of(session.req_header(), &body);
        let sent = sent.body();
        let (cluster, record) = (&self.context.cluster, &mut x.record);
        let judged_in = verdict::effective_api(cluster, called, &asked);
        verdict::judge_body(called, &asked, &sent, judged_in, record)?;
        let mut x = Judged {
            exchange: x,
            permission,
            endpoint,
            body,
            judged_in,
            translation: None,
        };
        // Route.
        if !x.is_from_peer() && needs_others(&x, session.req_header()) {
            self.context.cluster.known().await;
        }
        let to = self.route(session, &x, &asked)?;
        let mut restriction = Restriction::default();
        let head = session.req_header();
        let mut doubtful = guarded::judge(&self.context, &sent, &mut x, &asked, &to)?;
        let named = task::meaning(&self.context, &x, &head.method, &asked, &to);
        match Box::pin(named).await? {
            Some(Meaning::Container(hop)) => restriction.pinned = Some(hop),
            Some(Meaning::Task(task)) => {
                // Judged by the id: a task of the agents' service is an agent's container.
                let found = asked.found.map(|found| Match {
                    endpoint: found.endpoint,
                    object: Some(task.id.clone()),
                });
                let asked = Call {
                    found: found.as_ref(),
                    ..asked
                };
                doubtful = guarded::judge(&self.context, &sent, &mut x, &asked, &to)?;
                restriction.pinned = Some(task.hop);
                restriction.target = Some(task.target);
            }
            None => {}
        }
        if let Some(doubtful) = doubtful {
            let inspection = guarded::inspect(&self.context, &mut x, &asked, &to, doubtful);
            restriction = Box::pin(inspection).await?;
        }
        if x.permission.called.needs_host_network_check(asked.found) {
            let check = scope::deny_host_network(&self.context, &x, &asked, &to, &sent, None);
            let pinned = Box::pin(check).await?;
            restriction.pinned = pinned.or(restriction.pinned);
        }
        if let Some(target) = self.narrow_to_nodes(session, &mut x, &asked, &to)? {
            restriction.target = Some(target);
        }
        let called = x.permission.called.clone();
        if let Some(rules) = called.limits_secrets(asked.found) {
            let pinned = restriction.pinned;
            let check = secrets::check(&self.context, &x, rules, &asked, &to, &sent, pinned);
            restriction.pinned = Box::pin(check).await?;
        }
        let stored = called.stored_specs(&asked, &sent);
        if stored.any() {
            let pinned = restriction.pinned;
            let check = stored::check(&self.context, &x, &asked, &to, stored, pinned);
            restriction.pinned = Box::pin(check).await?;
        }
        if called.keeps_ingress(asked.found) {
            let check = ingress::check(&self.context, &x, &asked, &to, restriction);
            restriction = Box::pin(check).await?;
        }
        if let Some(rules) = called.keeps_recreatable(asked.found) {
            let check = recreatable::check(&self.context, &x, rules, &asked, &to, restriction);
            restriction = Box::pin(check).await?;
        }
        // Forward.
        let next = if x.scope().is_some() || restriction.target.is_some() {
            Box::pin(self.dispatch_in_scope(session, &mut x, &to, restriction, &sent)).await?
        } else {
            self.dispatch(session, &mut x, to, asked, restriction.pinned)
                .await?
        };
        if let Next::Proxy(upstream) = &next {
            x.exchange.proxied = Some(Box::new(Proxied {
                upstream: upstream.clone(),
                permission: x.permission,
                binding: x.body.binding,
                failures: 0,
            }));
        }
        Ok(next)
    }

    /// Whether these are the rights of the newest list of people, as far as this agent can
    /// know. A client's certificate may be revoked there.
    fn is_newest(&self, guard: &Guard) -> bool {
        let versions = &self.context.cluster.versions;
        versions.is_current() && guard.people >= versions.own()
    }

    /// Waits a moment for the rights of the newest list of people.
    async fn newest_people(&self) -> Result<Arc<Guard>, Reject> {
        let newest = async {
            let mut changes = self.rights.clone();
            loop {
                changes.borrow_and_update();
                self.context.cluster.versions.are_current().await;
                let guard = self.guard.load_full();
                if self.is_newest(&guard) {
                    return guard;
                }
                if changes.changed().await.is_err() {
                    // The agent stops.
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(PATIENCE, newest).await.map_err(|_| self.unsure())
    }

    fn unsure(&self) -> Reject {
        Reject::refused(
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::PeopleUnknown,
            "this agent does not know the newest list of people, which may have revoked this \
             access: no manager's agent has confirmed it; try again, or another agent",
        )
    }

    /// Resolves when the caller has lost its rights; never for one who cannot.
    async fn end_of(&self, rights: Option<&Rights>) {
        match rights {
            Some(rights) => {
                let end = rights.clone().end(self.guard.clone(), self.rights.clone());
                end.await;
            }
            None => std::future::pending().await,
        }
    }

    /// Gives the connection of an authenticated caller its place, and the request
    /// its memory.
    fn called(
        &self,
        session: &Session,
        caller: Arc<Caller>,
        grant: &Grant,
        permit: Permit,
    ) -> Result<Arc<Called>, Reject> {
        let is_health_check = grant.health_check;
        let standing = caller.standing_of_connection(is_health_check);
        Downstream::prove(session.stream(), standing)?;
        let payer = caller.payer(is_health_check);
        let account = self.context.memory.account(payer.as_deref());
        let called = Called::new(caller.clone(), grant.policy.clone(), permit, account)?;
        called.hold_head(session.req_header())?;
        let called = called.on_node(grant.node.clone()).within(grant.nodes);
        Ok(Arc::new(called))
    }

    /// Lets a list that is filtered by node ask only that node, or none; returns its
    /// target without the filter.
    fn narrow_to_nodes(
        &self,
        session: &Session,
        x: &mut Judged<'_>,
        asked: &Call<'_>,
        to: &Destination,
    ) -> Result<Option<Uri>, Reject> {
        let is_list = matches!(
            to,
            Destination::Everyone(
                List::Containers(_)
                    | List::Images(_)
                    | List::ImagesApart(_)
                    | List::Volumes(_)
                    | List::Networks
            )
        );
        let label = self.context.config.aggregate.node_label.as_deref();
        let Some(label) = label.filter(|_| is_list) else {
            return Ok(None);
        };
        let Some(filter) = NodeFilter::of(asked.query, label) else {
            return Ok(None);
        };
        let reachable = x.reachable().clone();
        let all = self.context.cluster.all();
        let named = all
            .iter()
            .filter(|member| reachable.has(&member.id) && filter.admits(&member.id, member.name()));
        let named: BTreeSet<String> = named.map(|member| member.id.clone()).collect();
        x.permission.reachable = Reachable::Some(Arc::new(named));
        let path = session.req_header().uri.path();
        let target = match filter.query.as_str() {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let internal = |e: http::uri::InvalidUri| Reject::Internal(e.to_string());
        target.parse().map(Some).map_err(internal)
    }

    fn route(
        &self,
        session: &Session,
        x: &Judged<'_>,
        asked: &Call<'_>,
    ) -> Result<Destination, Reject> {
        let request = Request {
            found: asked.found,
            query: asked.query,
            headers: &session.req_header().headers,
            hint: portainer::hint(&session.req_header().headers).map_err(TargetError::from)?,
            dialect: x.exchange.dialect,
            from_peer: x.is_from_peer(),
            own_node_only: x.permission.called.sees_own_node_only(),
            body: x.body.held.as_deref(),
            totals: self.context.config.aggregate.info == InfoOf::Cluster,
        };
        Ok(route(&self.context.cluster, &request)?)
    }

    /// Checks the body against the signature: reads one with a digest, and accepts an
    /// unsigned one only if the endpoint takes streams. An endpoint without a body gets
    /// none: dockerode sends its options twice, as query and as JSON.
    async fn body(
        &self,
        session: &mut Session,
        called: &Called,
        found: Option<&Match>,
    ) -> Result<RequestBody, Reject> {
        let caller = &called.caller;
        let unread = RequestBody {
            binding: caller.body,
            held: None,
        };
        let takes_none = found.is_some_and(|m| m.endpoint.body == Body::None);
        let is_trusted = caller.principal.body_unsigned() || caller.is_peer();
        match caller.body {
            BodyBinding::Empty => Ok(unread),
            BodyBinding::Unsigned if takes_none && is_trusted => {
                Box::pin(body::discard(session)).await?;
                body::none(session.req_header_mut())
            }
            BodyBinding::Digest(_) => {
                let hold = |bytes| called.hold_body(bytes);
                let body = Box::pin(body::read(session, hold)).await?;
                caller.body.check(&body)?;
                if takes_none {
                    return body::none(session.req_header_mut());
                }
                Ok(RequestBody {
                    held: Some(body),
                    ..unread
                })
            }
            BodyBinding::Unsigned
                if caller.principal.body_unsigned() && body::decides_the_route(found)
                    || caller.is_peer() && called.inspects(found) =>
            {
                let hold = |bytes| called.hold_body(bytes);
                let body = Box::pin(body::read(session, hold)).await?;
                Ok(RequestBody {
                    // Other agents get the bytes that were read here.
                    binding: BodyBinding::Digest(sha256(&body)),
                    held: Some(body),
                })
            }
            BodyBinding::Unsigned => {
                let streams = found.is_some_and(|m| m.endpoint.body.is_stream());
                if is_trusted || streams && caller.unsigned_streams {
                    // A build may pause for hours between two chunks.
                    session.set_read_timeout(None);
                    return Ok(unread);
                }
                Err(AuthError::UnsignedBody("this endpoint and key take signed bodies only").into())
            }
        }
    }
}

/// The refusal that ends what a caller without rights has open.
fn ended() -> Reject {
    Reject::refused(
        StatusCode::FORBIDDEN,
        Reason::RightsEnded,
        "the caller's access has ended",
    )
}

/// Whether the answer depends on the other nodes.
fn needs_others(x: &Judged<'_>, head: &RequestHeader) -> bool {
    let is_local = x.endpoint.is_none_or(|endpoint| {
        matches!(
            endpoint.route,
            Route::Agent
                | Route::AgentOrTarget
                | Route::EveryAgent
                | Route::Negotiation(_)
                | Route::ThisNode
                | Route::Itself
        )
    });
    !is_local || head.headers.contains_key(SKEP_TARGET)
}

/// The dialect of a caller, also of one that calls through another agent.
fn dialect(caller: &Caller) -> &'static dyn Dialect {
    match caller.principal.client() {
        Some(Client::Portainer { .. }) => &portainer::Server,
        _ => &Docker,
    }
}

/// The caller's address; none on a socket of this machine.
fn address(session: &Session) -> Option<IpAddr> {
    let address = session.client_addr()?.as_inet()?;
    Some(address.ip())
}
