//! Reads how many pulls Docker Hub still grants, which Portainer shows beside
//! its image fields. Portainer asks an agent, because the limit depends on the
//! address that pulls come from.
//!
//! This is the only module that calls a server outside the cluster, and only on
//! request. It trusts the platform's certificate authorities, for Docker Hub
//! alone. The agent's image has none, so it reads the host's, if the host's root
//! is mounted. A bundled list would be larger than this module, and would expire.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::WrappedX509;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_filters::json::Members;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::exchange::Next;
use crate::exchange::body;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::platform;
use crate::upstream::client::{Answer, Budget, Client};
use crate::upstream::error;
use crate::upstream::tls_files;

/// The servers of Docker Hub: for tokens, and for images.
const AUTH: Origin = ("auth.docker.io", 443);
const REGISTRY: Origin = ("registry-1.docker.io", 443);

const TOKEN: &str = "/token?service=registry.docker.io&scope=repository:ratelimitpreview/test:pull";
const MANIFEST: &str = "/v2/ratelimitpreview/test/manifests/latest";

/// Short, because a page of Portainer waits for the answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bounds an answer; a token has a few kilobytes.
const ANSWER: usize = 64 << 10;

/// A server's name and port.
type Origin = (&'static str, u16);

/// A client of Docker Hub.
struct Hub<'a> {
    client: &'a Client,
    auth: Origin,
    registry: Origin,
    /// The certificate authorities for both servers.
    roots: &'a Roots,
}

/// The account whose pulls count; without one, those of this address do.
#[derive(Default)]
struct Account {
    username: String,
    password: String,
}

/// The limits in Portainer's form.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Limits {
    remaining: u64,
    limit: u64,
}

/// Asks Docker Hub.
///
/// # Errors
/// If the client breaks off. A failure of Docker Hub is an answer.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
) -> Result<Next, Reject> {
    let body = match x.body.held.take() {
        Some(body) => body,
        None => {
            let hold = |bytes| x.permission.called.hold_body(bytes);
            Box::pin(body::read(session, hold)).await?
        }
    };
    let limits = async {
        let hub = Hub {
            client: &context.client,
            auth: AUTH,
            registry: REGISTRY,
            roots: roots(context.config.browse.host.as_deref()).await?,
        };
        hub.limits(account(&body)).await
    };
    let limits = timeout(PATIENCE, limits).await;
    let limits = limits.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    let (status, body) = match limits {
        Ok(limits) => (StatusCode::OK, json!(limits)),
        Err(reason) => {
            tracing::debug!("Docker Hub's limits: {reason}");
            let message = "Unable to retrieve DockerHub rate limits from DockerHub";
            let body = json!({ "message": message, "details": reason });
            (StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    };
    let mut head = ResponseHeader::build(status, Some(3)).map_err(internal)?;
    let json = head.insert_header(CONTENT_TYPE, "application/json");
    json.map_err(internal)?;
    context
        .answer(session, x, head, body.to_string().into())
        .await
}

/// The account in a request, if the request says to use it; versions of Portainer
/// differ in the case of the names.
fn account(body: &[u8]) -> Option<Account> {
    let body = Members::of(body)?;
    let text = |name| body.text(name).unwrap_or_default();
    let account = Account {
        username: text("username"),
        password: text("password"),
    };
    let wanted = body.flag("authentication").unwrap_or_default();
    (wanted && !account.username.is_empty()).then_some(account)
}

impl Hub<'_> {
    async fn limits(&self, account: Option<Account>) -> Result<Option<Limits>, String> {
        #[derive(Deserialize)]
        struct Granted {
            token: String,
        }
        let login = account.map(|account| {
            let pair = format!("{}:{}", account.username, account.password);
            format!("Basic {}", STANDARD.encode(pair))
        });
        let granted = self.ask(self.auth, Method::GET, TOKEN, login).await?;
        let refused =
            |by: Origin, answer: &Answer| format!("{} answered {}", by.0, answer.head.status);
        if granted.head.status != StatusCode::OK {
            return Err(refused(self.auth, &granted));
        }
        let granted: Granted = serde_json::from_slice(&granted.body)
            .map_err(|_| format!("{} sent no token", self.auth.0))?;
        let bearer = Some(format!("Bearer {}", granted.token));
        let manifest = self
            .ask(self.registry, Method::HEAD, MANIFEST, bearer)
            .await?;
        // Limits that are used up are an answer too.
        match limits_of(&manifest.head.headers) {
            None if manifest.head.status != StatusCode::OK => {
                Err(refused(self.registry, &manifest))
            }
            limits_of => Ok(limits_of),
        }
    }

    async fn ask(
        &self,
        origin: Origin,
        method: Method,
        target: &str,
        authorization: Option<String>,
    ) -> Result<Answer, String> {
        let (host, _) = origin;
        let failed = |e: Box<pingora::Error>| format!("{host}: {}", error::explain(&e));
        let mut head = RequestHeader::build(method, target.as_bytes(), Some(4)).map_err(failed)?;
        head.insert_header(HOST, host).map_err(failed)?;
        if let Some(value) = authorization {
            head.insert_header(AUTHORIZATION, value).map_err(failed)?;
        }
        let peer = peer(origin, self.roots).await?;
        let budget = Budget::one(ANSWER);
        let fetched = self.client.fetch(&peer, head, &budget);
        fetched.await.map_err(failed)
    }
}

/// The limits in an answer; paid accounts have none.
fn limits_of(headers: &HeaderMap) -> Option<Limits> {
    // `100;w=21600`: 100 pulls in 21,600 seconds.
    let number = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(';').next()?.trim().parse().ok()
    };
    Some(Limits {
        remaining: number("ratelimit-remaining")?,
        limit: number("ratelimit-limit")?,
    })
}

async fn peer((host, port): Origin, (roots, fingerprint): &Roots) -> Result<HttpPeer, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let mut found = found.map_err(|e| format!("{host}: {e}"))?;
    let address = found
        .next()
        .ok_or_else(|| format!("{host} has no address"))?;
    let mut peer = HttpPeer::new(address, true, host.to_owned());
    peer.options.ca = Some(roots.clone());
    peer.options.connection_timeout = Some(PATIENCE);
    peer.options.total_connection_timeout = Some(PATIENCE);
    // Pingora's pool compares neither the roots nor the name.
    let mut key = DefaultHasher::new();
    (host, fingerprint).hash(&mut key);
    peer.group_key = key.finish();
    Ok(peer)
}

type Roots = (Arc<[WrappedX509]>, u64);

/// The platform's authorities, read only once, for there are many.
async fn roots(root: Option<&Path>) -> Result<&'static Roots, String> {
    static ROOTS: OnceCell<Roots> = OnceCell::const_new();
    let read = || async {
        let files = root_files(std::env::var_os("SSL_CERT_FILE"), root);
        let read = tokio::task::spawn_blocking(move || read_roots(&files)).await;
        read.map_err(|e| e.to_string())?
    };
    ROOTS.get_or_try_init(read).await
}

/// The candidate files, in order: the one that the environment names, those of
/// this container, those of the host, whose `/` is at `root`.
fn root_files(named: Option<OsString>, root: Option<&Path>) -> Vec<PathBuf> {
    let here = platform::ROOT_FILES.iter().map(PathBuf::from);
    let of_the_host = root.into_iter().flat_map(|root| {
        let files = platform::ROOT_FILES.iter();
        files.map(move |file| root.join(file.trim_start_matches('/')))
    });
    let named = named.map(PathBuf::from).into_iter();
    named.chain(here).chain(of_the_host).collect()
}

fn read_roots(files: &[PathBuf]) -> Result<Roots, String> {
    let file = files.iter().find(|path| path.exists()).ok_or(
        "this container has no file of certificate authorities; \
         mount the host's at /etc/ssl/certs/ca-certificates.crt",
    )?;
    let found = tls_files::certificates(file).map_err(|e| e.to_string())?;
    let mut fingerprint = DefaultHasher::new();
    found.hash(&mut fingerprint);
    Ok((tls_files::wrap(found), fingerprint.finish()))
}
