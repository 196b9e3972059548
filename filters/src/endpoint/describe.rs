//! Writes the endpoint table as a page: [`reference`] is `docs/api.md`.
//!
//! Every sentence is made from columns of the row, so a new row has its line at
//! once. Nothing is decided here.

use super::{
    AllNodes, Announcement, ApiVersion, Broadcast, Browse, Endpoint, Merge, Method, ObjectIn,
    ObjectKind, Own, People, PortainerEndpoint, Route, SwarmObject, Wire, all,
};

/// The page's part before the tables.
const INTRODUCTION: &str = include_str!("describe/introduction.md");

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut section = "";
    for endpoint in all() {
        if endpoint.section != section {
            section = endpoint.section;
            page.push_str(&format!(
                "\n### {section}\n\n\
                 | endpoint | class | group | who answers | the answer | since |\n\
                 |---|---|---|---|---|---|\n"
            ));
        }
        page.push_str(&row(endpoint));
    }
    page
}

fn row(endpoint: &Endpoint) -> String {
    format!(
        "| {} | {} | `{}` | {} | {} | {} |\n",
        request(endpoint),
        endpoint.route.class(),
        endpoint.group,
        who(endpoint),
        answer(endpoint),
        since(endpoint),
    )
}

/// Method and path for a reader, without moby's patterns.
fn request(endpoint: &Endpoint) -> String {
    let path = endpoint.pattern.replace("{/}", "");
    let path = path.replace(":.*}", "}").replace(":.+}", "}");
    let (path, also) = match path.strip_prefix("{/").and_then(|p| p.split_once('}')) {
        Some((prefixes, path)) => {
            let prefixes = prefixes.split("|/").map(|p| format!("`/{p}{path}`"));
            let also = prefixes.collect::<Vec<_>>().join(", ");
            (path.to_owned(), format!(", also {also}"))
        }
        None => (path, String::new()),
    };
    match endpoint.method {
        Method::Any => format!("any method, `{path}`"),
        method => format!("`{method} {path}`{also}"),
    }
}

fn since(endpoint: &Endpoint) -> String {
    if endpoint.is_own() {
        "–".to_owned()
    } else if endpoint.since == ApiVersion::FLOOR {
        format!("≤ {}", endpoint.since)
    } else {
        endpoint.since.to_string()
    }
}

fn who(endpoint: &Endpoint) -> String {
    if endpoint.method == Method::Preface {
        return "no node: agents speak HTTP/1.1 only".to_owned();
    }
    let mut who = by_route(endpoint).to_owned();
    match endpoint.object {
        Some(ObjectIn::Query(name)) => who += &format!("; `{name}` in the query names it"),
        Some(ObjectIn::Body(name)) => who += &format!("; `{name}` in the body names it"),
        Some(ObjectIn::EachQuery(name)) => {
            who += &format!(
                "; `{name}` in the query names it, and may repeat: one node must have all"
            );
        }
        Some(ObjectIn::Path) | None => {}
    }
    match (endpoint.all_nodes(), endpoint.route) {
        (AllNodes::Refused | AllNodes::AsUsual, _) => {}
        (AllNodes::Broadcast(_), Route::Owner(_)) => {
            who += "; with `Skep-Target: *` every node that has it";
        }
        (AllNodes::Prune | AllNodes::Broadcast(_), _) => {
            who += "; with `Skep-Target: *` every node";
        }
    }
    who
}

fn by_route(endpoint: &Endpoint) -> &'static str {
    let reads = endpoint.method == Method::Get;
    match endpoint.route {
        Route::EveryNode(_) => "every node",
        Route::Events => "every node; the Swarm's own events come from one manager",
        Route::Prune | Route::ThisNode => "this node",
        Route::Manager => "a manager",
        Route::Info => {
            "a manager, this node if it is one; with `aggregate.info: cluster` every node"
        }
        Route::Negotiation(_) => "this node; another one while this node's engine does not answer",
        Route::Itself => "this node; another one only if `Skep-Target` names it",
        Route::Owner(ObjectKind::Container) => "the node that has the container",
        Route::Owner(ObjectKind::Exec) => "the node that has the exec",
        Route::Owner(ObjectKind::Image) => "a node that has the image, this one first",
        Route::Owner(ObjectKind::Volume) if reads => "a node that has the volume, this one first",
        Route::Owner(ObjectKind::Volume) => {
            "the node that has the volume, this one first; 409 if several others have it"
        }
        Route::Owner(ObjectKind::Network) => {
            "the node that has the network, this one first; a manager if it is of the Swarm; \
             409 if several others have it"
        }
        Route::NetworkInspect => {
            "the node that has the network, this one first; every node if it is of the Swarm; \
             409 if several others have it"
        }
        Route::Placement => {
            "the node of the label `skep.node`; the node that has what the body names: containers \
             whose namespaces or volumes it shares or that it links to, local networks, named \
             volumes; 409 if these are on different nodes. If the body names none, the caller's \
             own node, the node where the same container was, that of its compose project, or a \
             node that has the image, this one first ([the \
             rules](operating.md#choosing-the-node-of-a-new-object)). Else this node. 409 for the \
             name of a container on another node"
        }
        Route::Pull => {
            "this node; or the node on which, in the two minutes before, this caller could not \
             create a container because the image was missing; or the caller's own node; or all \
             nodes that have containers of this image, with the node where the caller has just \
             removed one"
        }
        Route::ThisNodeOrManager(SwarmObject::OverlayNetwork) => {
            "the node of the label `skep.node`, the caller's own, or that of its compose project; \
             else this node. A manager if its driver is `overlay` or its scope `swarm`"
        }
        Route::ThisNodeOrManager(SwarmObject::ClusterVolume) => {
            "the node of the label `skep.node`, a node that has a volume of this name, the \
             caller's own, or that of its compose project; else this node. A manager if the body \
             has a `ClusterVolumeSpec`"
        }
        Route::AnyNode => "this node; any other would give the same answer",
        Route::Agent => "the agent that receives the request",
        Route::AgentOrTarget => {
            "the agent that receives the request, or the agent of the node that `Skep-Target` names"
        }
        Route::EveryAgent => "every node; only one if `Skep-Target` names it",
    }
}

fn answer(endpoint: &Endpoint) -> String {
    if endpoint.method == Method::Preface {
        return "a refusal".to_owned();
    }
    if let Some(own) = endpoint.own {
        return by_own(own).to_owned();
    }
    if let Some(merged) = by_merge(endpoint.route) {
        return merged.to_owned();
    }
    let mut answer = by_wire(endpoint.wire).to_owned();
    if endpoint.remember {
        answer += "; skep remembers which node has the new id";
    }
    match (endpoint.all_nodes(), endpoint.wire) {
        (AllNodes::Prune, _) => {
            answer += "; with every node, the lists are joined and `SpaceReclaimed`, if there is \
                       one, is the sum";
        }
        (AllNodes::Broadcast(Broadcast::Answer), Wire::Json) => {
            answer += "; with every node, the lists are joined";
        }
        (AllNodes::Broadcast(Broadcast::Progress), _) => {
            answer += "; with every node, each message names its node, the end reports the \
                       outcome of each node, and errors come last";
        }
        (AllNodes::Broadcast(Broadcast::Answer) | AllNodes::Refused | AllNodes::AsUsual, _) => {}
    }
    answer
}

/// The answer that is the cluster's, not an engine's alone.
fn by_merge(route: Route) -> Option<&'static str> {
    Some(match route {
        Route::EveryNode(Merge::Containers) => {
            "newest first, each with its node; `limit`, `before` and `since` count over all nodes"
        }
        Route::EveryNode(Merge::Images) => {
            "newest first, one row for each image id, with the hostnames of all nodes that have \
             it; the names of all nodes, the sum of `Containers`, the `Manifests` of all nodes, \
             the sizes of the first node. For a Portainer server a row for each node"
        }
        Route::EveryNode(Merge::Volumes) => {
            "local volumes of every node, each with its node; a volume that every node reaches \
             once for each driver and name; cluster volumes once; the `Warnings` of all nodes"
        }
        Route::EveryNode(Merge::Networks) => {
            "local networks of every node, each with its node; networks of the Swarm once, as a \
             manager shows them"
        }
        Route::EveryNode(Merge::DataUsage) => {
            "sums of the numbers, and the rows of every node, each with its node; an image on \
             three nodes counts three times"
        }
        Route::Events => {
            "one stream, each event with its node; past events sorted by time, new ones as they \
             arrive"
        }
        Route::Info => {
            "the engine's; with every node, a manager's with the sums of containers, images, \
             processors and memory, a report on each node in `SystemStatus`, and the `Warnings` \
             of all nodes"
        }
        Route::Negotiation(Announcement::Header) => {
            "the engine's; `Api-Version` is the newest version that all engines serve"
        }
        Route::Negotiation(Announcement::Body) => {
            "the engine's; `ApiVersion` and `MinAPIVersion` are the range that all engines serve"
        }
        Route::NetworkInspect => {
            "the engine's; for a network of the Swarm a manager's, with the containers of all \
             nodes, each with its node"
        }
        Route::Prune
        | Route::Manager
        | Route::Itself
        | Route::Owner(_)
        | Route::Placement
        | Route::Pull
        | Route::ThisNode
        | Route::ThisNodeOrManager(_)
        | Route::AnyNode
        | Route::Agent
        | Route::AgentOrTarget
        | Route::EveryAgent => return None,
    })
}

fn by_own(own: Own) -> &'static str {
    match own {
        Own::Identity => "the node's id, hostname, address, role and versions",
        Own::Nodes => "every node of the cluster, with its role, versions and state",
        Own::Members => {
            "for other agents only: the nodes and their agents, or what has changed since"
        }
        Own::Health => "that the agent lives, and the versions of its engine if that answers",
        Own::Whoami => {
            "for whom the agent takes the caller, by which proof, until when, and what its policy \
             allows; every authenticated caller may ask"
        }
        Own::ImageCopy => {
            "for other agents only: an image for a container that the caller creates on their node"
        }
        Own::ImageSpread => {
            "a stream of lines: the image is copied to `nodes`, and each has its outcome"
        }
        Own::Forward => {
            "a tunnel to `port` of the container, byte for byte in both directions; with `check=1` \
             the container and its node, without a connection"
        }
        Own::People(People::Current) => {
            "the list of people that is in force, with the operator's signature"
        }
        Own::People(People::Users) => {
            "the users with their policies, where each comes from, and when that agent has last seen it"
        }
        Own::People(People::Version) => "the same of one of the last versions, by `version`",
        Own::People(People::Joined) => {
            "the invitations that were used, with the certificates' serial numbers and ends"
        }
        Own::People(People::Change) => {
            "the version that is in force now; 409 if the signed list is not the next version"
        }
        Own::People(People::Authority) => {
            "without authentication: the certificate of the cluster's CA, in PEM"
        }
        Own::People(People::Join) => {
            "without authentication: a certificate for an invitation; 410 if it was used"
        }
        Own::People(People::Renew) => {
            "to a caller with a certificate, whatever its policy: the next certificate"
        }
        Own::NodeMetrics => "processors, memory, disks, networks, uptime and engine of each node",
        Own::Prometheus => "the same of the agent's own node, in Prometheus's format",
        Own::Portainer(PortainerEndpoint::Ping) => {
            "204, without authentication; the headers say that an agent is here"
        }
        Own::Portainer(PortainerEndpoint::EdgeKey) => {
            "503, without authentication: this is no Edge agent"
        }
        Own::Portainer(PortainerEndpoint::PinnedKey) => {
            "for other agents only: the key of the first Portainer server that connected"
        }
        Own::Portainer(PortainerEndpoint::Agents) => {
            "address, hostname and role of each node, by node id"
        }
        Own::Portainer(PortainerEndpoint::HostInfo) => "PCI devices and disks of the node",
        Own::Portainer(PortainerEndpoint::Browse(Browse::List)) => {
            "the files of a folder in the volume"
        }
        Own::Portainer(PortainerEndpoint::Browse(Browse::Get)) => {
            "a file of the volume, as it comes"
        }
        Own::Portainer(PortainerEndpoint::Browse(Browse::Delete)) => {
            "204 once the file or the empty folder is deleted"
        }
        Own::Portainer(PortainerEndpoint::Browse(Browse::Rename)) => "204 once the file is renamed",
        Own::Portainer(PortainerEndpoint::Browse(Browse::Put)) => {
            "204 once the whole upload is in the volume"
        }
        Own::Portainer(PortainerEndpoint::Console(_)) => "a WebSocket with the text of a terminal",
        Own::Portainer(PortainerEndpoint::HubLimits) => {
            "the pulls that Docker Hub's limit still allows, or `null`"
        }
    }
}

fn by_wire(wire: Wire) -> &'static str {
    match wire {
        Wire::Empty | Wire::Text | Wire::Json => "the engine's",
        Wire::Stream | Wire::Tar => "the engine's, as it comes",
        Wire::Hijack | Wire::Http2 | Wire::WebSocket => {
            "a tunnel, byte for byte in both directions"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointId;

    #[test]
    fn every_endpoint_has_one_row_of_six_cells() {
        let page = reference();
        for endpoint in all() {
            let start = format!("| {} | ", request(endpoint));
            let rows: Vec<_> = page.lines().filter(|l| l.starts_with(&start)).collect();
            assert_eq!(rows.len(), 1, "{endpoint}");
            assert_eq!(rows[0].matches('|').count(), 7, "{endpoint}");
        }
    }

    #[test]
    fn every_section_begins_once_and_the_first_with_the_first_row() {
        let page = reference();
        for endpoint in all() {
            let heading = format!("\n### {}\n", endpoint.section);
            assert_eq!(page.matches(&heading).count(), 1);
        }
        assert_eq!(page.matches("\n### ").count(), 12);
        let first = page.find("\n### ").unwrap();
        assert!(page[first..].starts_with("\n### Containers\n"));
        assert_eq!(all()[0].section, "Containers");
    }

    #[test]
    fn no_engine_answers_alone_for_every_node_or_for_the_agent() {
        for endpoint in all() {
            let several = matches!(
                endpoint.route,
                Route::EveryNode(_) | Route::Events | Route::Prune
            );
            if several || endpoint.is_own() {
                assert_ne!(answer(endpoint), by_wire(endpoint.wire), "{endpoint}");
            }
        }
    }

    #[test]
    fn patterns_are_shown_as_paths() {
        for (id, shown) in [
            (EndpointId::NetworkList, "`GET /networks`"),
            (EndpointId::NetworkInspect, "`GET /networks/{id}`"),
            (EndpointId::Http2Preface, "`PRI *`"),
            (EndpointId::DebugVars, "any method, `/debug/vars`"),
        ] {
            assert_eq!(request(id.endpoint()), shown);
        }
    }
}
