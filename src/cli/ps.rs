//! `skep ps`: prints the containers of the cluster with their nodes and services, and
//! their ports with the addresses where they really are.
//!
//! A container's published port is on its own node, and `docker ps` prints the
//! address that this node's engine knows: `0.0.0.0`.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::args::ClientArgs;
use super::ask::{ask, ask_whole};
use super::table::{aligned, printable};
use crate::cluster::expected::{self, Expected};
use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::upstream::request;

/// The time between two looks with `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

const SWARM_SERVICE: &str = "com.docker.swarm.service.name";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_PROJECT: &str = "com.docker.compose.project";

const COLUMNS: [&str; 7] = [
    "NODE",
    "CONTAINER ID",
    "NAME",
    "SERVICE",
    "IMAGE",
    "STATUS",
    "PORTS",
];

/// The containers to print, and how.
#[derive(Args, Debug)]
pub struct PsArgs {
    /// The agents to call.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Print stopped containers too
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Print only these, as with `docker ps`; also `node=NODE`
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = filter)]
    pub(crate) filter: Vec<(String, String)>,
    /// Print one JSON object per container
    #[arg(long)]
    pub(crate) json: bool,
    /// Print again after each change, until interrupted
    #[arg(long, short)]
    pub(crate) watch: bool,
}

fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a filter is NAME=VALUE, for example status=exited or node=node2".to_owned()),
    }
}

/// One look at the containers.
#[derive(Debug, PartialEq)]
pub struct Look {
    /// The table, or the lines of JSON.
    pub text: String,
    /// The nodes that did not answer, and why.
    pub missing: Option<String>,
}

/// Looks at the containers, again and again.
pub struct Ps {
    args: PsArgs,
    access: Access,
    last: Option<Look>,
}

impl Ps {
    /// Reads the credentials.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(args: PsArgs) -> anyhow::Result<Self> {
        let access = Access::load(&args.client.credentials, &args.client.cluster)?;
        Ok(Self {
            args,
            access,
            last: None,
        })
    }

    /// The first look, and then each that differs from the one before; `None` at the
    /// end, which is after the first one unless the caller watches.
    ///
    /// # Errors
    /// No agent answers the first look. Later ones are tried again.
    pub async fn next(&mut self) -> anyhow::Result<Option<&Look>> {
        if self.last.is_none() {
            let look = self.look().await?;
            return Ok(Some(self.last.insert(look)));
        }
        if !self.args.watch {
            return Ok(None);
        }
        loop {
            sleep(PAUSE).await;
            match self.look().await {
                Ok(look) if self.last.as_ref() != Some(&look) => {
                    return Ok(Some(self.last.insert(look)));
                }
                Ok(_) => {}
                Err(e) => tracing::warn!("{e:#}"),
            }
        }
    }

    /// Whether a look takes the place of the one before on the screen.
    pub fn clears(&self) -> bool {
        self.args.watch && !self.args.json && std::io::stdout().is_terminal()
    }

    async fn look(&self) -> anyhow::Result<Look> {
        let mut failures = Vec::new();
        for url in &self.args.client.to {
            match self.look_through(url).await {
                Ok(look) => return Ok(look),
                Err(e) => failures.push(format!("{url}: {e:#}")),
            }
        }
        bail!("no agent answered\n  {}", failures.join("\n  "))
    }

    async fn look_through(&self, url: &AgentUrl) -> anyhow::Result<Look> {
        let target = self.target();
        let list = ask_whole(&self.access, url, &target).await?;
        let header = |name: &str| list.head.headers.get(name)?.to_str().ok();
        let rows: Vec<Row> = serde_json::from_slice(&list.body)
            .with_context(|| format!("{url} is not an agent: its list cannot be read"))?;
        // The id, and the hostname if there is one.
        let own = header("Skep-Node").and_then(|label| label.rsplit(' ').next());
        let own = own.unwrap_or_default().to_owned();
        let missing = header("Skep-Missing").map(str::to_owned);
        // Only managers know the addresses, and only some callers may ask them.
        let nodes = ask(&self.access, url, "/nodes").await.ok();
        let nodes = nodes.and_then(|nodes| expected::parse(&nodes).ok());
        let places = places(nodes.unwrap_or_default());
        let shown = rows.iter().map(|row| Shown::of(row, &own, &places));
        let text = match self.args.json {
            true => shown.map(|shown| format!("{}\n", shown.json())).collect(),
            false => {
                let head = [COLUMNS.map(str::to_owned)];
                let rows: Vec<_> = head.into_iter().chain(shown.map(|s| s.cells())).collect();
                aligned(&rows)
            }
        };
        Ok(Look { text, missing })
    }

    fn target(&self) -> String {
        let mut filters: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for (name, value) in &self.args.filter {
            filters.entry(name).or_default().insert(value, true);
        }
        let all = if self.args.all { "1" } else { "0" };
        match filters.is_empty() {
            true => format!("/containers/json?all={all}"),
            false => {
                let filters = json!(filters).to_string();
                // `escape` is for paths.
                let filters = request::escape(&filters).replace('+', "%2B");
                format!("/containers/json?all={all}&filters={filters}")
            }
        }
    }
}

/// A row of `GET /containers/json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Row {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    state: String,
    status: String,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<Port>>,
    portainer: Portainer,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: Option<String>,
    private_port: u16,
    public_port: Option<u16>,
    r#type: String,
}

/// Where an agent names the node of a row.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Portainer {
    agent: Agent,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Agent {
    #[serde(rename = "NodeName")]
    name: String,
    #[serde(rename = "NodeID")]
    id: String,
}

/// The addresses of nodes by their ids.
fn places(nodes: Vec<Expected>) -> HashMap<String, IpAddr> {
    let placed = |node: Expected| Some((node.id, node.address?));
    nodes.into_iter().filter_map(placed).collect()
}

/// A container as it is printed.
struct Shown<'r> {
    row: &'r Row,
    node: &'r str,
    name: &'r str,
    service: String,
    address: Option<IpAddr>,
    ports: Vec<String>,
}

impl<'r> Shown<'r> {
    /// A row of the node `own`, unless it names another.
    fn of(row: &'r Row, own: &'r str, places: &HashMap<String, IpAddr>) -> Self {
        let agent = &row.portainer.agent;
        let node = [&agent.name, &agent.id].into_iter().find(|n| !n.is_empty());
        let node = node.map_or(own, String::as_str);
        let names = row.names.iter().flatten();
        let mut names = names.map(|name| name.trim_start_matches('/'));
        // `/web/db` is a link to this container.
        let name = names.find(|name| !name.contains('/'));
        let address = places.get(&agent.id).copied();
        Self {
            row,
            node,
            name: name.unwrap_or_default(),
            service: service(row.labels.as_ref()),
            address,
            ports: ports(row.ports.as_deref().unwrap_or_default(), node, address),
        }
    }

    fn cells(&self) -> [String; 7] {
        let short: String = self.row.id.chars().take(12).collect();
        [
            self.node,
            &short,
            self.name,
            &self.service,
            &self.row.image,
            &self.row.status,
            &self.ports.join(", "),
        ]
        .map(printable)
    }

    fn json(&self) -> Value {
        json!({
            "Node": self.node,
            "NodeID": self.row.portainer.agent.id,
            "NodeAddress": self.address,
            "ID": self.row.id,
            "Name": self.name,
            "Service": self.service,
            "Image": self.row.image,
            "State": self.row.state,
            "Status": self.row.status,
            "Ports": self.ports,
            "Labels": self.row.labels,
        })
    }
}

/// A service of the Swarm, or `PROJECT/SERVICE` of compose.
fn service(labels: Option<&BTreeMap<String, String>>) -> String {
    let label = |name: &str| labels?.get(name).map(String::as_str);
    if let Some(service) = label(SWARM_SERVICE) {
        return service.to_owned();
    }
    match (label(COMPOSE_PROJECT), label(COMPOSE_SERVICE)) {
        (Some(project), Some(service)) => format!("{project}/{service}"),
        (None, Some(service)) => service.to_owned(),
        (_, None) => String::new(),
    }
}

/// The ports, each once: an engine lists one for IPv4 and one for IPv6.
fn ports(ports: &[Port], node: &str, address: Option<IpAddr>) -> Vec<String> {
    let host = |ip: &str| match ip.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() && ip.is_loopback() => format!("{node}/{}", bracketed(ip)),
        Ok(ip) if !ip.is_unspecified() => bracketed(ip),
        // Every address of the node.
        _ => address.map_or_else(|| node.to_owned(), bracketed),
    };
    let mut shown = Vec::new();
    for port in ports {
        let inside = format!("{}/{}", port.private_port, port.r#type);
        let text = match port.public_port {
            Some(public) => {
                let host = host(port.ip.as_deref().unwrap_or_default());
                format!("{host}:{public}->{inside}")
            }
            None => inside,
        };
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    shown
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Value) -> Row {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_port_is_shown_where_it_really_is() {
        let list = json!([
            { "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
            { "IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
            { "IP": "127.0.0.1", "PrivatePort": 81, "PublicPort": 8081, "Type": "tcp" },
            { "IP": "10.9.9.9", "PrivatePort": 82, "PublicPort": 8082, "Type": "udp" },
            { "IP": "fd00::1", "PrivatePort": 83, "PublicPort": 8083, "Type": "tcp" },
            { "PrivatePort": 90, "Type": "tcp" },
        ]);
        let list: Vec<Port> = serde_json::from_value(list).unwrap();
        for (address, first) in [
            (Some("10.0.0.12"), "10.0.0.12:8080->80/tcp"),
            (Some("fd00::12"), "[fd00::12]:8080->80/tcp"),
            (None, "node2:8080->80/tcp"),
        ] {
            let address = address.map(|ip| ip.parse().unwrap());
            let expected = [
                first,
                "node2/127.0.0.1:8081->81/tcp",
                "10.9.9.9:8082->82/udp",
                "[fd00::1]:8083->83/tcp",
                "90/tcp",
            ];
            assert_eq!(ports(&list, "node2", address), expected);
        }
    }

    #[test]
    fn a_row_has_its_node_its_service_and_no_control_characters() {
        for (labels, expected) in [
            (
                json!({ SWARM_SERVICE: "web_app", COMPOSE_SERVICE: "x" }),
                "web_app",
            ),
            (
                json!({ COMPOSE_PROJECT: "shop", COMPOSE_SERVICE: "db" }),
                "shop/db",
            ),
            (json!({ COMPOSE_SERVICE: "db" }), "db"),
            (json!({ COMPOSE_PROJECT: "shop" }), ""),
            (json!(null), ""),
        ] {
            let row = row(json!({
                "Id": "0123456789abcdef", "Names": ["/a/b", "/b"], "Image": "i\u{1b}[31m",
                "Status": "Up", "Labels": labels,
                "Portainer": { "Agent": { "NodeName": "node2", "NodeID": "n2" } },
            }));
            let shown = Shown::of(&row, "node1", &HashMap::new());
            let cells = ["node2", "0123456789ab", "b", expected, "i?[31m", "Up", ""];
            assert_eq!(shown.cells(), cells);
        }
        let alone = row(json!({ "Id": "a" }));
        assert_eq!(Shown::of(&alone, "node1", &HashMap::new()).node, "node1");
    }

    #[test]
    fn filters_have_a_name_and_a_value() {
        assert_eq!(filter("label=a=b"), Ok(("label".into(), "a=b".into())));
        for text in ["", "status", "=exited"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
