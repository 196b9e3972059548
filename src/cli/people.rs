//! Reads the list of people from an agent, and signs and sends the next version.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skep_filters::people::{Document, Envelope, changes};

use super::args::ClientArgs;
use super::ask::{ask, call, send};
use super::own_container;
use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::platform::clock;

/// The endpoint of the list.
const PEOPLE: &str = "/skep/v1/people";

/// An agent that answers, and the operator's key.
pub(super) struct Operator {
    pub(super) access: Access,
    pub(super) agent: AgentUrl,
}

#[derive(Deserialize)]
struct Taken {
    version: u64,
}

impl Operator {
    /// The first agent that answers, and its list. Without a list it is empty.
    ///
    /// # Errors
    /// No agent answers, or the list was not signed with this key.
    pub(super) async fn load(args: &ClientArgs) -> anyhow::Result<(Self, Document)> {
        if args.credentials.uses_cluster_secret() {
            own_container::refuse_secret()?;
        }
        let access = Access::load(&args.credentials, &args.cluster)?;
        let mut failures = Vec::new();
        for url in &args.to {
            let answer = call(
                &access,
                url,
                &http::Method::GET,
                PEOPLE,
                bytes::Bytes::new(),
            )
            .await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(e) => {
                    failures.push(format!("{url}: {e:#}"));
                    continue;
                }
            };
            let document = match answer.head.status.as_u16() {
                404 => Document::default(),
                200 => opened(&access, &answer.body)?,
                // Its words say why.
                _ => {
                    ask(&access, url, PEOPLE).await?;
                    bail!("{url} answered with status {}", answer.head.status);
                }
            };
            let agent = url.clone();
            return Ok((Self { access, agent }, document));
        }
        bail!("no agent answered\n  {}", failures.join("\n  "))
    }

    /// Signs and sends the next version; returns what it changes.
    ///
    /// # Errors
    /// The agent refuses it, for example because somebody else was faster.
    pub(super) async fn store(
        &self,
        before: &Document,
        mut after: Document,
    ) -> anyhow::Result<String> {
        let now = clock::now().as_secs();
        after.version = before.version + 1;
        after.made = now;
        // They are of no use any more.
        after.invitations.retain(|one| one.expires > now);
        let said = changes(before, &after);
        let envelope = Envelope::sign(&after, &self.access.signer)?;
        let body = envelope.to_json()?;
        let answer = send(&self.access, &self.agent, PEOPLE, body.into()).await?;
        let taken: Taken = serde_json::from_slice(&answer).context("the answer cannot be read")?;
        let mut text = String::new();
        for line in said {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str(&format!("version {} is in force\n", taken.version));
        Ok(text)
    }

    /// A version that is kept.
    ///
    /// # Errors
    /// There is none, or it was not signed with this key.
    pub(super) async fn version(&self, version: u64) -> anyhow::Result<Document> {
        let path = format!("{PEOPLE}/versions?version={version}");
        let answer = ask(&self.access, &self.agent, &path).await;
        let answer = answer.with_context(|| format!("version {version}"))?;
        opened(&self.access, &answer)
    }

    /// Something else that the agent says of the list.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub(super) async fn read<T: DeserializeOwned>(&self, what: &str) -> anyhow::Result<T> {
        let path = format!("{PEOPLE}/{what}");
        let answer = ask(&self.access, &self.agent, &path).await?;
        serde_json::from_slice(&answer).context("the answer cannot be read")
    }
}

/// The document, if this operator has signed it: an agent must not have another one
/// signed.
fn opened(access: &Access, bytes: &[u8]) -> anyhow::Result<Document> {
    let envelope = Envelope::read(bytes.trim_ascii())?;
    let signed = access.signer.sign_document(envelope.document.as_bytes());
    if signed.as_deref() != Some(envelope.signature.as_str()) {
        bail!(
            "the list of people in force was not signed with this key for this cluster, but with \
             {:?}: use that key, or replace the list by a file of your own (skep state import)",
            envelope.key
        );
    }
    Ok(envelope.unverified()?)
}

/// The version that an agent has, whoever signed it.
///
/// # Errors
/// It does not answer, or with something else.
pub(super) async fn unverified(access: &Access, url: &AgentUrl) -> anyhow::Result<Document> {
    let answer = call(access, url, &http::Method::GET, PEOPLE, bytes::Bytes::new()).await?;
    match answer.head.status.as_u16() {
        404 => Ok(Document::default()),
        200 => Ok(Envelope::read(answer.body.trim_ascii())?.unverified()?),
        _ => {
            ask(access, url, PEOPLE).await?;
            bail!("{url} answered with status {}", answer.head.status);
        }
    }
}
