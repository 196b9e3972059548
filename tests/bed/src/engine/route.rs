//! Routes each request to its answer.

use std::io;

use super::exchange::{After, Exchange};
use super::{creation, events, hijack, identity, images, objects, store, streams, swarm, transfer};

pub(super) async fn answer(x: &mut Exchange<'_>) -> io::Result<After> {
    if let Some(why) = identity::unsupported(x) {
        return x.error(400, &why).await;
    }
    if let Some((status, body)) = x.config.fixed(&x.method, &x.path).cloned() {
        return x.json(status, &body).await;
    }
    let path = x.path.clone();
    let method = x.method.clone();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if let (["configs", rest @ ..], Some(shared)) = (&segments[..], x.config.shared_store()) {
        return store::answer(x, &method, rest, shared).await;
    }
    match (method.as_str(), &segments[..]) {
        ("GET" | "HEAD", ["_ping"]) => identity::ping(x).await,
        ("GET", ["version"]) => identity::version(x).await,
        ("GET", ["info"]) => identity::info(x).await,
        ("GET", ["containers", "json"]) => objects::containers(x).await,
        ("GET", ["containers", id, "json"]) => objects::container(x, id).await,
        ("GET", ["containers", id, "logs"]) => streams::logs(x, id).await,
        ("GET", ["containers", id, "stats"]) => streams::stats(x, id).await,
        ("POST", ["containers", "create"]) => creation::create(x).await,
        ("POST", ["containers", id, "start"]) => creation::start(x, id).await,
        ("POST", ["containers", id, "rename"]) => creation::rename(x, id).await,
        ("DELETE", ["containers", id]) => creation::remove(x, id).await,
        ("POST", ["volumes", "create"]) => creation::volume(x).await,
        ("POST", ["networks", "create"]) => match x.config.is_manager() {
            true => creation::of_either(x).await,
            false => creation::network(x).await,
        },
        ("POST", [kind @ ("secrets" | "configs" | "services"), "create"]) => {
            match swarm::kind(kind) {
                Some(kind) => swarm::create(x, kind).await,
                None => x.error(404, "page not found").await,
            }
        }
        ("POST", ["services", id, "update"]) => swarm::update(x, id).await,
        ("GET", [kind @ ("secrets" | "configs" | "services"), id]) => {
            swarm::inspect(x, kind, id).await
        }
        ("DELETE", [kind @ ("secrets" | "configs" | "services"), id]) => match swarm::kind(kind) {
            Some(kind) => swarm::remove(x, kind, id).await,
            None => x.error(404, "page not found").await,
        },
        ("DELETE", ["networks", id]) => creation::remove_network(x, id).await,
        ("POST", ["containers", id, "wait"]) => streams::wait(x, id).await,
        ("POST", ["containers", id, "attach"]) => hijack::attach(x, id).await,
        ("POST", ["exec", id, "start"]) => hijack::exec(x, id).await,
        ("GET", ["exec", id, "json"]) => objects::exec(x, id).await,
        ("POST", ["session" | "grpc"]) => hijack::session(x).await,
        ("GET", ["images", "json"]) => objects::images(x).await,
        ("GET", ["images", "get"]) => transfer::save(x).await,
        ("POST", ["images", "create"]) => images::pull(x).await,
        ("POST", ["images", name @ .., "tag"]) => images::tag(x, &name.join("/")).await,
        ("DELETE", ["images", name @ ..]) => images::remove(x, &name.join("/")).await,
        ("POST", ["images", "load"]) => transfer::load(x).await,
        ("POST", ["build"]) => transfer::build(x).await,
        ("GET", ["images", name @ .., "json"]) => objects::image(x, &name.join("/")).await,
        ("GET", ["images", _, .., "get"]) => transfer::save(x).await,
        ("GET", ["volumes"]) => objects::volumes(x).await,
        ("GET", ["volumes", name]) => objects::volume(x, name).await,
        ("GET", ["networks"]) => objects::networks(x).await,
        ("GET", ["networks", id]) => objects::network(x, id).await,
        ("GET", [kind @ ("nodes" | "services" | "tasks" | "secrets" | "configs")]) => {
            objects::of_swarm(x, kind).await
        }
        ("GET", ["events"]) => events::events(x).await,
        _ => x.error(404, "page not found").await,
    }
}
