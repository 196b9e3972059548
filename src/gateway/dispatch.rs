//! Sends a routed request to its destination: one hop, all nodes, or this agent.
//! The modules of `forward` make the answer.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use pingora::proxy::Session;
use skep_filters::endpoint::{
    Match, NameFreed, ObjectIn, ObjectKind, RequestPath, Route, classify, query,
};
use skep_filters::policy::BodyOf;

use super::Gateway;
use crate::authorise::scope::{self, Restriction};
use crate::cluster::ask::Node;
use crate::cluster::hop::Hop;
use crate::cluster::reachable::Reachable;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::{Call, Next, Retry, Upstream};
use crate::forward::broadcast;
use crate::forward::events;
use crate::forward::fanout;
use crate::forward::fanout::List;
use crate::forward::labelled;
use crate::forward::names;
use crate::forward::negotiate;
use crate::forward::replace::{self, Replaced};
use crate::forward::{create, forward};
use crate::gateway::own;
use crate::route::Destination;
use crate::route::locate::{self, Found, Object, locate_together};
use crate::route::place;

impl Gateway {
    /// As [`Self::dispatch`], for a caller that sees a part of the objects only:
    /// the request may be changed to keep within that part, or was changed already.
    pub(super) async fn dispatch_in_scope(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        to: &Destination,
        mut restriction: Restriction,
        sent: &BodyOf<'_>,
    ) -> Result<Next, Reject> {
        let called = x.permission.called.clone();
        if let Some(target) = restriction.target.take() {
            session.req_header_mut().set_uri(target);
        }
        if let Some(scope) = called.scope() {
            let uri = session.req_header().uri.clone();
            let path = RequestPath::parse(uri.path())?;
            let found = classify(session.req_header().method.as_str(), &path);
            let asked = Call {
                found: found.as_ref(),
                path: &path,
                query: uri.query().unwrap_or_default(),
            };
            let pinned = restriction.pinned;
            let confined = scope::confine(&self.context, x, scope, &asked, to, pinned, sent);
            restriction = confined.await?;
        }
        if let Some(target) = restriction.target {
            session.req_header_mut().set_uri(target);
        }
        let uri = session.req_header().uri.clone();
        let path = RequestPath::parse(uri.path())?;
        let query = uri.query().unwrap_or_default();
        let found = classify(session.req_header().method.as_str(), &path);
        let asked = Call {
            found: found.as_ref(),
            path: &path,
            query,
        };
        let to = self.route(session, x, &asked)?;
        self.dispatch(session, x, to, asked, restriction.pinned)
            .await
    }

    /// Sends the request to its destination; `pinned` is the node on which its
    /// objects were inspected, if they were.
    ///
    /// The longer branches are boxed: a future has room for the largest of its
    /// branches, and this one is allocated and moved for every request.
    pub(super) async fn dispatch(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        to: Destination,
        asked: Call<'_>,
        pinned: Option<Hop>,
    ) -> Result<Next, Reject> {
        let Call { found, path, query } = asked;
        if let Some(nodes) = self.redacted_events(x, &to) {
            x.permission.reachable = nodes;
            return Box::pin(events::run(&self.context, session, x, path, query)).await;
        }
        match to {
            Destination::Agent => match found {
                Some(found) => {
                    self.context.reaches(&x.permission, &Hop::Engine)?;
                    Box::pin(own::answer(self, session, x, found)).await
                }
                None => Err(Reject::Internal("no such route".to_owned())),
            },
            Destination::Everyone(list) => {
                Box::pin(fanout::answer(&self.context, session, x, list, path, query)).await
            }
            Destination::Announced(announcement) => {
                Box::pin(negotiate::answer(
                    &self.context,
                    session,
                    x,
                    announcement,
                    path,
                    query,
                ))
                .await
            }
            Destination::Events => {
                x.exchange.record.to = "everyone".into();
                Box::pin(events::run(&self.context, session, x, path, query)).await
            }
            Destination::Everywhere(broadcast) => {
                x.exchange.record.to = "everywhere".into();
                Box::pin(broadcast::run(
                    &self.context,
                    session,
                    x,
                    broadcast,
                    path,
                    query,
                ))
                .await
            }
            Destination::Placed(kind) => {
                let hop = match pinned {
                    Some(hop) => hop,
                    None => Box::pin(place::place(&self.context, x, kind, &asked)).await?,
                };
                if kind != ObjectKind::Container {
                    return self.to_hop(session, x, hop, found).await;
                }
                Box::pin(create::container(&self.context, session, x, hop, asked)).await
            }
            // A copy of its image may have to come first.
            Destination::Local
                if x.route() == Some(Route::Placement)
                    && x.body.held.is_some()
                    && self.context.cluster.is_on() =>
            {
                Box::pin(create::here(&self.context, session, x)).await
            }
            Destination::Local => self.to_hop(session, x, Hop::Engine, found).await,
            Destination::Pull => {
                let nodes = Box::pin(place::pulls_to(&self.context, &asked, x)).await;
                match <[Node; 1]>::try_from(nodes) {
                    Ok([node]) => self.to_hop(session, x, node.hop, found).await,
                    Err(nodes) => {
                        Box::pin(broadcast::progress_on(
                            &self.context,
                            session,
                            x,
                            nodes,
                            path,
                            query,
                        ))
                        .await
                    }
                }
            }
            Destination::Node(m) => self.to_hop(session, x, Hop::Agent(m), found).await,
            Destination::Manager => self.forward_to_manager(session, x, found, pinned).await,
            Destination::Owner(class) => {
                Box::pin(self.forward_to_owner(session, x, class, asked, pinned)).await
            }
        }
    }

    async fn to_hop(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        hop: Hop,
        found: Option<&Match>,
    ) -> Result<Next, Reject> {
        self.to_upstream(session, x, Upstream::only(hop), found)
            .await
    }

    /// The agent answers its own endpoints; all others go to the engine.
    async fn to_upstream(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        upstream: Upstream,
        found: Option<&Match>,
    ) -> Result<Next, Reject> {
        let own = found.filter(|m| m.endpoint.is_own());
        if let (Hop::Engine, Some(found)) = (&upstream.hop, own) {
            self.context.reaches(&x.permission, &upstream.hop)?;
            return Box::pin(own::answer(self, session, x, found)).await;
        }
        self.context.enter(session, x, &upstream.hop)?;
        forward(&self.context, session, x, upstream, found).await
    }

    /// The node whose events have to be redacted, or of which some are hidden: the stream of one node is then
    /// read and written here, as that of all nodes is.
    fn redacted_events(&self, x: &Judged<'_>, to: &Destination) -> Option<Reachable> {
        let id = match to {
            Destination::Local => self.context.cluster.me().node_id.clone(),
            Destination::Node(member) => member.id.clone(),
            Destination::Manager if self.context.cluster.me().can_manage() => {
                self.context.cluster.me().node_id.clone()
            }
            Destination::Manager => self.context.cluster.manager()?.id.clone(),
            _ => return None,
        };
        let changes = !x.redacts().is_empty() || x.permission.called.hides_helpers();
        let redacted = x.route() == Some(Route::Events) && changes;
        let nodes = || BTreeSet::from_iter(Some(id).filter(|id| x.reachable().has(id)));
        redacted.then(|| Reachable::Some(Arc::new(nodes())))
    }

    async fn forward_to_owner(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        class: ObjectKind,
        asked: Call<'_>,
        pinned: Option<Hop>,
    ) -> Result<Next, Reject> {
        let Call { found, path, query } = asked;
        let held = x.body.held.as_deref();
        let Some(name) = found.and_then(|m| locate::named(m, query, held)) else {
            // It names no object: the engine refuses it in its own words.
            return self.to_hop(session, x, Hop::Engine, found).await;
        };
        // By its id, an engine shows a network of any scope.
        let scope = match class {
            ObjectKind::Network => query::get(query, "scope"),
            _ => None,
        };
        let scope = scope.map(|scope| query::with("", "scope", &scope));
        let object = Object {
            class,
            name: &name,
            query: scope.as_deref().unwrap_or_default(),
            method: &session.req_header().method,
            version: path.version(),
            reachable: x.reachable(),
            request_id: x.id().as_header(),
        };
        if x.route() != Some(Route::NetworkInspect)
            && let Some(hop) = pinned.clone()
        {
            return self.forward_to_node(session, x, hop, asked).await;
        }
        // An image is looked up before a container is created again.
        if class == ObjectKind::Image
            && x.endpoint.is_some_and(|endpoint| endpoint.labels.is_some())
            && let Some(hop) = place::node_of_removed(&self.context, x, &name)
        {
            return self.forward_to_node(session, x, hop, asked).await;
        }
        let together: Vec<_> = match found.and_then(|m| m.endpoint.object) {
            Some(ObjectIn::EachQuery(names)) => {
                query::all(query, names).map(Cow::into_owned).collect()
            }
            Some(ObjectIn::Path | ObjectIn::Query(_) | ObjectIn::Body(_)) | None => Vec::new(),
        };
        let owner = if together.len() > 1 {
            locate_together(
                &self.context,
                &together,
                path.version(),
                x.reachable(),
                x.id().as_header(),
            )
            .await?
        } else {
            locate::locate(&self.context, &object).await?
        };
        match owner {
            Found::At(hop) => self.forward_to_node(session, x, hop, asked).await,
            // The local engine refuses it in its own words.
            Found::Nowhere => self.to_hop(session, x, Hop::Engine, found).await,
            Found::Manager => self.forward_to_manager(session, x, found, pinned).await,
            Found::Everyone(id) => {
                let list = List::Network(id);
                fanout::answer(&self.context, session, x, list, path, query).await
            }
        }
    }

    async fn forward_to_node(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        hop: Hop,
        asked: Call<'_>,
    ) -> Result<Next, Reject> {
        let Call { found, path, query } = asked;
        if let Some((endpoint, name)) = found.and_then(|m| Some((m.endpoint, m.object.as_ref()?)))
            && let Some(freed) = endpoint.frees
            // One node has no other to which a container could come back.
            && !self.context.cluster.others().is_empty()
        {
            let renames = freed == NameFreed::Renamed;
            let replaced = Replaced {
                name,
                new_name: renames.then(|| names::given(query)).flatten(),
                version: path.version(),
            };
            return Box::pin(replace::run(&self.context, session, x, hop, replaced)).await;
        }
        if let Some(label) = labelled::label_of(&self.context, x) {
            return Box::pin(labelled::inspect(&self.context, session, x, &hop, label)).await;
        }
        if !found.is_some_and(|m| m.endpoint.remember) {
            return self.to_hop(session, x, hop, found).await;
        }
        // Later calls name the exec by its id only.
        create::exec(&self.context, session, x, hop).await
    }

    async fn forward_to_manager(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        found: Option<&Match>,
        pinned: Option<Hop>,
    ) -> Result<Next, Reject> {
        if let Some(hop) = pinned {
            return self.to_hop(session, x, hop, found).await;
        }
        if self.context.cluster.me().can_manage() {
            return self.to_hop(session, x, Hop::Engine, found).await;
        }
        let upstream = Upstream {
            hop: self.context.manager()?,
            retry: Retry::AnotherManager,
        };
        self.to_upstream(session, x, upstream, found).await
    }
}
