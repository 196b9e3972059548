//! Reads the list of people from an agent, and signs and sends the next version.

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skep_filters::people::{Document, Envelope, changes};

use super::args::ClientArgs;
use super::ask::{ask, ask_node, call, send};
use super::own_container;
use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::platform::clock;

/// The endpoint of the list.
const PEOPLE: &str = "/skep/v1/people";

/// The nodes that are asked at the same time.
const AT_ONCE: usize = 16;

/// An agent that answers, and the operator's key.
pub(super) struct Operator {
    pub(super) access: Access,
    pub(super) agent: AgentUrl,
}

/// The users, as one agent shows them.
#[derive(Deserialize)]
pub(super) struct Users {
    pub(super) users: Vec<Shown>,
}

/// An identity, as an agent shows it.
#[derive(Deserialize)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) policy: String,
    pub(super) source: String,
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) hidden: bool,
    #[serde(default)]
    pub(super) seen: Option<Seen>,
}

/// The last call of a user.
#[derive(Clone, Deserialize)]
pub(super) struct Seen {
    pub(super) at: u64,
    pub(super) from: String,
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
                None,
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

impl Operator {
    /// What the agents of all nodes say of the users; those that do not answer are
    /// left out.
    ///
    /// # Errors
    /// The first agent does not answer.
    pub(super) async fn users(&self) -> anyhow::Result<(Vec<Users>, Vec<String>)> {
        #[derive(Deserialize)]
        struct Nodes {
            nodes: Vec<Node>,
        }
        #[derive(Deserialize)]
        struct Node {
            id: String,
            hostname: String,
        }
        let nodes = ask(&self.access, &self.agent, "/skep/v1/nodes").await?;
        let nodes: Nodes = serde_json::from_slice(&nodes).context("the answer cannot be read")?;
        let path = format!("{PEOPLE}/users");
        let (access, agent, path) = (&self.access, &self.agent, &path);
        let asked = nodes.nodes.into_iter().map(|node| async move {
            let answer = match node.id.as_str() {
                // Outside of a Swarm.
                "" => ask(access, agent, path).await,
                id => ask_node(access, agent, path, id).await,
            };
            let users = answer
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok());
            users.ok_or(node.hostname)
        });
        let answers: Vec<Result<Users, String>> =
            stream::iter(asked).buffered(AT_ONCE).collect().await;
        let (mut all, mut silent) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(users) => all.push(users),
                Err(node) => silent.push(node),
            }
        }
        Ok((all, silent))
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
    let answer = call(
        access,
        url,
        &http::Method::GET,
        PEOPLE,
        bytes::Bytes::new(),
        None,
    )
    .await?;
    match answer.head.status.as_u16() {
        404 => Ok(Document::default()),
        200 => Ok(Envelope::read(answer.body.trim_ascii())?.unverified()?),
        _ => {
            ask(access, url, PEOPLE).await?;
            bail!("{url} answered with status {}", answer.head.status);
        }
    }
}
