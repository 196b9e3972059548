//! `skep whoami`: for whom the cluster takes the caller, and what it may do.

use anyhow::{Context, bail};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::ClientArgs;
use super::ask::ask;
use super::table::printable;
use crate::connect::access::Access;

#[derive(Deserialize)]
struct Said {
    caller: String,
    proof: String,
    policy: String,
    admin: bool,
    may: May,
    limits: Vec<String>,
    nodes: String,
    node: String,
    creates_on: Option<String>,
    contact: Option<String>,
    expires: Option<i64>,
    serial: Option<String>,
}

/// Groups of endpoints.
#[derive(Deserialize)]
struct May {
    all: Vec<String>,
    some: Vec<String>,
}

/// Returns what the first agent says that answers.
///
/// # Errors
/// No agent answers.
pub async fn run(args: ClientArgs) -> anyhow::Result<String> {
    let access = Access::load(&args.credentials, &args.cluster)?;
    let mut failures = Vec::new();
    for url in &args.to {
        match ask(&access, url, "/skep/v1/whoami").await {
            Ok(body) => {
                let said: Said = serde_json::from_slice(&body)
                    .with_context(|| format!("{url} is not an agent: its answer cannot be read"))?;
                return said.in_words();
            }
            Err(e) => failures.push(format!("{url}: {e:#}")),
        }
    }
    bail!("no agent answered\n  {}", failures.join("\n  "))
}

impl Said {
    fn in_words(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            text.push_str(&format!("{name:10}{}\n", printable(value)));
        };
        row("caller", &self.caller);
        row("proof", &self.proof);
        if let Some(expires) = self.expires {
            let expires = OffsetDateTime::from_unix_timestamp(expires)?.format(&Rfc3339)?;
            row("until", &expires);
        }
        if let Some(serial) = &self.serial {
            row("serial", serial);
        }
        row("policy", &self.policy);
        match (
            self.admin,
            self.may.all.is_empty() && self.may.some.is_empty(),
        ) {
            (true, _) => row("may", "everything"),
            (false, true) => row("may", "nothing"),
            (false, false) => {
                if !self.may.all.is_empty() {
                    row("may", &self.may.all.join(", "));
                }
                if !self.may.some.is_empty() {
                    row("in part", &self.may.some.join(", "));
                }
            }
        }
        for limit in &self.limits {
            row("limit", limit);
        }
        if self.nodes == "self" {
            row("limit", "this node only, as if there were no other");
        }
        if let Some(node) = &self.creates_on {
            row("creates", &format!("on node {node}"));
        }
        if let Some(contact) = &self.contact {
            row("ask", contact);
        }
        row("said by", &self.node);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_identity_is_printed_with_its_proof_its_end_and_its_rights() {
        let said: Said = serde_json::from_value(json!({
            "caller": "certificate:alice", "proof": "a client certificate", "policy": "readers",
            "admin": false, "may": { "all": ["containers.read"], "some": ["images.read"] },
            "limits": ["a limit"], "nodes": "self", "node": "n1", "contact": "ops\u{1b}@example.com",
            "expires": 0, "serial": "0a",
        }))
        .unwrap();
        let text = said.in_words().unwrap();
        for line in [
            "caller    certificate:alice",
            "until     1970-01-01T00:00:00Z",
            "serial    0a",
            "may       containers.read",
            "in part   images.read",
            "limit     a limit",
            "limit     this node only, as if there were no other",
            "said by   n1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
