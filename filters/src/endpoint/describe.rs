//! The endpoint table in words: [`reference`] is the page `docs/api.md`.
//!
//! What holds for a class is said once, by class; what holds for one endpoint
//! alone is said in [`exception`]. A new row therefore has its line at once, and
//! one that every node answers has to say how. Nothing is decided here: where
//! words and behaviour differ, the words are wrong.

use super::{ApiVersion, Class, Endpoint, EndpointId, Method, ObjectIn, Wire, all};

/// What comes before the tables.
const INTRODUCTION: &str = include_str!("describe/introduction.md");

/// The endpoints' sections, each by the row that it begins with.
const SECTIONS: [(EndpointId, &str); 12] = [
    (EndpointId::ContainerList, "Containers"),
    (EndpointId::ImageList, "Images"),
    (EndpointId::ImageBuild, "Build"),
    (EndpointId::VolumeList, "Volumes"),
    (EndpointId::NetworkList, "Networks"),
    (EndpointId::SystemPing, "System"),
    (EndpointId::PluginList, "Plugins"),
    (EndpointId::SwarmInspect, "Swarm"),
    (EndpointId::NodeList, "Nodes, services, tasks"),
    (EndpointId::SecretList, "Secrets and configs"),
    (EndpointId::AgentIdentity, "The agent's own"),
    (
        EndpointId::PortainerPing,
        "The Portainer agent's, if `auth.portainer` is set",
    ),
];

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for endpoint in all() {
        if let Some((_, title)) = SECTIONS.iter().find(|(first, _)| *first == endpoint.id) {
            page.push_str(&format!(
                "\n### {title}\n\n\
                 | endpoint | class | group | who answers | the answer | since |\n\
                 |---|---|---|---|---|---|\n"
            ));
        }
        page.push_str(&row(endpoint));
    }
    page
}

fn row(endpoint: &Endpoint) -> String {
    let (who, answer) = exception(endpoint.id);
    let who = who.map_or_else(|| by_class(endpoint), str::to_owned);
    let answer = answer.unwrap_or_else(|| by_form(endpoint));
    format!(
        "| {} | {} | `{}` | {who} | {answer} | {} |\n",
        request(endpoint),
        format!("{:?}", endpoint.class).to_lowercase(),
        endpoint.group,
        since(endpoint),
    )
}

/// Method and path as one writes them, without moby's patterns.
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
    match endpoint.since {
        _ if endpoint.id.is_own() => "–".to_owned(),
        ApiVersion::FLOOR => format!("≤ {}", endpoint.since),
        since => since.to_string(),
    }
}

fn by_class(endpoint: &Endpoint) -> String {
    let who = match endpoint.class {
        Class::Everyone => "every node",
        Class::Manager => "a manager",
        Class::Itself => "this node, never another one unasked",
        Class::Container => "the node that has the container",
        Class::Exec => "the node that has the exec",
        Class::Image => "a node that has the image, this one first",
        Class::Volume => "a node that has the volume, this one first",
        Class::Network => "a node that has the network, this one first",
        Class::Node => "this node",
        Class::Any => "this node; any other would answer alike",
        Class::Agent => "the agent that is asked",
    };
    let named = match endpoint.object {
        Some(ObjectIn::Query(name)) => format!("; it is `{name}` in the query"),
        Some(ObjectIn::Body(name)) => format!("; it is `{name}` in the body"),
        Some(ObjectIn::Path) | None => String::new(),
    };
    format!("{who}{named}")
}

fn by_form(endpoint: &Endpoint) -> &'static str {
    match endpoint.wire {
        Wire::Empty | Wire::Text | Wire::Json => "the engine's",
        Wire::Stream | Wire::Tar => "the engine's, as it comes",
        Wire::Hijack | Wire::WebSocket => "a tunnel, byte for byte in both directions",
    }
}

/// What holds for one endpoint alone: who answers it, and what is special about
/// the answer; `None` is what its class and its form say.
fn exception(id: EndpointId) -> (Option<&'static str>, Option<&'static str>) {
    use EndpointId::*;
    let who = match id {
        ContainerCreate => {
            "the node of what its body names: containers whose namespaces or volumes it shares or that it links to, \
             local networks, named volumes; else a node that has the image, this one first; else this node. 409 if \
             what it names is on different nodes"
        }
        ContainerPrune | ImagePrune | BuildPrune | VolumePrune | NetworkPrune => {
            "this node; with `Skep-Target: *` every node"
        }
        ImageTag | ImageDelete => {
            "a node that has the image, this one first; with `Skep-Target: *` every node that has it"
        }
        ImageGetAll => {
            "a node that has the images `names` in the query, all of them if they are several, this one first"
        }
        ImageCreate => {
            "this node, or the node on which this caller could not create a container for want of the image, in the \
             two minutes before; with `Skep-Target: *` every node"
        }
        ImageLoad => "this node; with `Skep-Target: *` every node",
        Http2Preface => "nobody: agents speak HTTP/1.1 only",
        VolumeCreate => "this node; a manager if the body has a `ClusterVolumeSpec`",
        VolumeDelete => {
            "the node that has the volume, this one first; 409 if several others have it"
        }
        NetworkInspect => {
            "a node that has the network, this one first; every node if it is of the Swarm"
        }
        NetworkCreate => "this node; a manager if its driver is `overlay` or its scope `swarm`",
        NetworkDelete => {
            "the node that has the network, this one first; a manager if it is of the Swarm; 409 if several others have it"
        }
        SystemInfo => {
            "a manager, this node if it is one; with `aggregate.info: cluster` every node"
        }
        SystemEvents => "every node; for the Swarm's own events one manager",
        NodeMetrics => "every node; a target's agent alone",
        _ => "",
    };
    let answer = match id {
        ContainerList => {
            "newest first, each with its node; `limit`, `before` and `since` count over all nodes"
        }
        ContainerCreate | ContainerExec => "the engine's; where the new id is will be remembered",
        ContainerPrune | ImagePrune | BuildPrune | VolumePrune => {
            "the engine's; of every node, lists are joined and the space is summed"
        }
        NetworkPrune => "the engine's; of every node, lists are joined",
        ImageList => {
            "newest first, one row for each image id, with the hostnames of all nodes that have it; names are united, \
             `Containers` summed, `Manifests` united; sizes are those of the first node. \
             For a Portainer server a row for each node"
        }
        ImageDelete => "the engine's; of every node, lists are joined",
        ImageCreate | ImageLoad => {
            "the engine's, as it comes; of every node, each message names its node, the end says what came of each, \
             and errors come last"
        }
        Http2Preface => "a refusal",
        VolumeList => {
            "local volumes of every node, each with its node; volumes that every node reaches once per driver and \
             name; cluster volumes once; `Warnings` of all"
        }
        NetworkList => {
            "local networks of every node, each with its node; those of the Swarm once, as a manager shows them"
        }
        NetworkInspect => {
            "the engine's; of a network of the Swarm, a manager's with the containers of all nodes, each with its node"
        }
        SystemPing | SystemPingHead => {
            "the engine's; `Api-Version` is the newest that all engines serve"
        }
        SystemVersion => {
            "the engine's; `ApiVersion` and `MinAPIVersion` are the range that all engines serve"
        }
        SystemInfo => {
            "the engine's; of every node, a manager's with containers, images, processors and memory summed, a report on \
             each node in `SystemStatus`, and the `Warnings` of all"
        }
        SystemEvents => {
            "one stream, each event with its node; the past sorted by time, the present as it comes"
        }
        SystemDataUsage => {
            "numbers are summed, rows follow each other, each with its node; what three nodes have counts three times"
        }
        AgentIdentity => "who the node is: id, hostname, address, role, versions",
        AgentNodes => "every node of the cluster, with its role, versions and state",
        AgentPortainer => "to other agents only: the key of the Portainer server that came first",
        NodeMetrics => "processors, memory, disks, networks, uptime and engine, of each node",
        Metrics => "the same of this node, as Prometheus reads it",
        PortainerPing => "204, unsigned; the headers say that an agent is here",
        PortainerKey | PortainerSetKey => "503: this is no Edge agent",
        PortainerAgents => "address, hostname and role of each node, by node id",
        HostInfo => "PCI devices and disks of the node",
        BrowseList | BrowseVolumeList => "the files of a folder in the volume",
        BrowseGet | BrowseVolumeGet => "a file of the volume, as it comes",
        BrowseDelete | BrowseVolumeDelete => "204; a file or an empty folder is gone",
        BrowseRename | BrowseVolumeRename => "204; a file has another name",
        BrowsePut | BrowseVolumePut => "204; the upload is there as a whole",
        ConsoleAttach | ConsoleExec => "a WebSocket with what a terminal shows",
        HubLimits => "what Docker Hub's limit leaves, or `null`",
        AgentHealth => "that the agent lives, and the versions of its engine if that answers",
        _ => "",
    };
    let said = |text: &'static str| (!text.is_empty()).then_some(text);
    (said(who), said(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_section_is_begun_once_and_the_first_by_the_first_row() {
        let page = reference();
        for (_, title) in SECTIONS {
            assert_eq!(page.matches(&format!("\n### {title}\n")).count(), 1);
        }
        assert_eq!(SECTIONS[0].0, all()[0].id);
    }

    #[test]
    fn what_every_node_answers_and_what_the_agent_answers_says_how() {
        let special = |e: &&Endpoint| e.class == Class::Everyone || e.id.is_own();
        for endpoint in all().iter().filter(special) {
            assert!(exception(endpoint.id).1.is_some(), "{endpoint}");
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
