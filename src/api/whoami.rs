//! Tells a caller for whom the agent takes it, by which proof, until when, and what its
//! policy allows.

use std::time::SystemTime;

use bytes::Bytes;
use pingora::proxy::Session;
use serde_json::{Value, json};
use skep_filters::auth::{Client, Principal};
use skep_filters::policy::Extent;

use crate::config::Nodes;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::trust::ClientCertificate;

/// The body of `/skep/v1/whoami`.
pub(crate) fn whoami(context: &Context, session: &Session, x: &Judged<'_>) -> Bytes {
    let called = &x.permission.called;
    let principal = &called.caller.principal;
    let rules = &called.policy.rules;
    let mut said = json!({
        "caller": called.caller.name,
        "proof": proof(principal),
        "policy": called.policy.name,
        "admin": rules.is_unrestricted(),
        "limits": rules.limits_in_words(),
        "nodes": match called.nodes {
            Nodes::All => "all",
            Nodes::Own => "self",
        },
        "node": context.cluster.me().name(),
    });
    let groups = |wanted: Extent| -> Vec<&str> {
        let all = rules.allowed_groups().into_iter();
        all.filter(|(_, extent)| *extent == wanted)
            .map(|(group, _)| group)
            .collect()
    };
    said["may"] = json!({ "all": groups(Extent::All), "some": groups(Extent::Some) });
    if let Some(node) = &called.node {
        said["creates_on"] = json!(**node);
    }
    if let Some(contact) = &context.config.auth.contact {
        said["contact"] = json!(contact);
    }
    if let Some(certificate) = certificate(session, principal) {
        let expires = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH);
        said["expires"] = json!(expires.unwrap_or_default().as_secs());
        said["serial"] = json!(certificate.serial.to_string());
    }
    document(&said)
}

/// The proof that counted. On the way through another agent, that one has it.
fn proof(principal: &Principal) -> &'static str {
    let Some(client) = principal.client() else {
        return "the certificate and the key of an agent";
    };
    match client {
        Client::Key { .. } => "a signature with a key of the configuration",
        Client::Operator { .. } => "a signature with the operator's key",
        Client::Portainer { .. } => "the signature of a Portainer server",
        Client::Certificate { .. } => "a client certificate of the cluster's CA",
        Client::Local { .. } => "the socket or the address that was called",
    }
}

/// The certificate that the caller is known by.
fn certificate<'s>(session: &'s Session, principal: &Principal) -> Option<&'s ClientCertificate> {
    if !matches!(principal, Principal::Client(Client::Certificate { .. })) {
        return None;
    }
    let tls = session.digest()?.ssl_digest.as_ref()?;
    tls.extension.get::<ClientCertificate>()
}

fn document(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
