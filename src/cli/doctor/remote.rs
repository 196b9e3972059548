//! Agents as any machine sees them: their names, their ports, their answers, and the
//! cluster that they describe.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Finding, Subject};
use super::nodes;
use crate::cli::ask::ask;
use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::upstream::clocks::Asking;

/// How long a connection may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The part of `/skep/v1/identity` that matters here.
#[derive(Deserialize)]
struct Identity {
    clock_ms: u64,
}

/// Looks at each agent, and at the cluster as the first one sees it that answers.
pub(super) async fn check(access: &Access, to: &[AgentUrl]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut table = None;
    for url in to {
        match of_an_agent(access, url).await {
            Ok(read) => {
                findings.push(Finding::fine(Subject::Agent, format!("{url} answers")));
                findings.extend(clock(access, url).await);
                table = table.or(Some((url, read)));
            }
            Err(finding) => findings.push(finding),
        }
    }
    if let Some((url, table)) = table {
        findings.extend(nodes::check(&url.to_string(), &table));
    }
    findings
}

/// How far the agent's clock is from this machine's.
async fn clock(access: &Access, url: &AgentUrl) -> Option<Finding> {
    let asking = Asking::now();
    let body = ask(access, url, "/skep/v1/identity").await.ok()?;
    let identity: Identity = serde_json::from_slice(&body).ok()?;
    let measured = asking.answered(identity.clock_ms);
    nodes::clock(&url.to_string(), measured.skew.millis())
}

/// The table of an agent; step by step, so that the remedy fits.
async fn of_an_agent(access: &Access, url: &AgentUrl) -> Result<nodes::Table, Finding> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let addresses: Vec<_> = match found {
        Ok(found) => found.collect(),
        Err(e) => {
            let remedy = "correct the name, or give the address of a node";
            return Err(Finding::error(
                Subject::Name,
                format!("{}: {e}", url.host),
                remedy,
            ));
        }
    };
    connect(url, &addresses).await?;
    let body = match ask(access, url, "/skep/v1/nodes").await {
        Ok(body) => body,
        Err(e) => {
            let reason = format!("{e:#}");
            let remedy = remedy(&reason);
            return Err(Finding::error(
                Subject::Agent,
                format!("{url}: {reason}"),
                remedy,
            ));
        }
    };
    serde_json::from_slice(&body).map_err(|_| {
        let remedy = "is this the port of an agent?";
        Finding::error(
            Subject::Agent,
            format!("{url}: its answer cannot be read"),
            remedy,
        )
    })
}

/// Tries all addresses of a name.
pub(super) async fn connect(url: &AgentUrl, addresses: &[SocketAddr]) -> Result<(), Finding> {
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        match timeout(DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(e)) => last = e,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    let remedy = match last.kind() {
        io::ErrorKind::ConnectionRefused => {
            "no agent listens there: `docker service ps skep_agent`, or `skep doctor` on that node"
        }
        _ => "a firewall, or the network: the port of the agents has to be open from here",
    };
    let found = format!("{url}: no connection: {last}");
    Err(Finding::error(Subject::Port, found, remedy))
}

/// What helps against the refusal of an agent, or against a failed handshake.
pub(super) fn remedy(reason: &str) -> &'static str {
    if reason.contains("certificate") || reason.contains("TLS") || reason.contains("authority") {
        "its secret is another one: use the secret, or the CA, of this cluster"
    } else if reason.contains("stamped") || reason.contains("clock") {
        "set the clocks of both machines by NTP (`timedatectl`)"
    } else if reason.contains("no rights here") {
        "the operator has a key of its own: sign with --key-id operator-key --key-file"
    } else if reason.contains("signature is not valid") {
        "the key is not in auth.keys of the agent, or the cluster's secret has been replaced"
    } else if reason.contains("denies") || reason.contains("may not call") {
        "the caller needs a policy with `GET /skep/v1/nodes`; the operator may always call"
    } else {
        "docs/operating.md lists every message; the log of the agent says more"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_and_a_name_without_address_have_their_remedies() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let url = AgentUrl {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
        };
        let refused = connect(&url, &[address]).await.unwrap_err();
        assert_eq!(refused.kind(), "error port");
        assert!(refused.words().contains("no agent listens"));
        let none = connect(&url, &[]).await.unwrap_err();
        assert!(none.words().contains("no address"));
    }

    #[test]
    fn each_kind_of_refusal_has_its_remedy() {
        for (reason, word) in [
            ("its certificate is from another cluster", "secret"),
            ("the TLS handshake was refused (…)", "secret"),
            ("it does not know the authority of this cluster", "secret"),
            ("the request is stamped … and the clock here says …", "NTP"),
            (
                "the key that derives from the cluster's secret has no rights here: …",
                "operator-key",
            ),
            (
                "the signature is not valid for this key id and this request",
                "auth.keys",
            ),
            (
                "the policy \"x\" of key:ci denies this (default): …",
                "policy",
            ),
            ("answered with status 500", "operating.md"),
        ] {
            assert!(remedy(reason).contains(word), "{reason}");
        }
    }
}
