//! A client that signs its requests, and lets a test alter them before it sends
//! them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderName;
use ring::rand::{SecureRandom, SystemRandom};
use skep::platform::clock;
use skep::trust::{Generation, Leaf};
use skep_bed::{Client, Hijack, Response, Streaming};
use skep_filters::auth::digest::sha256;
use skep_filters::auth::{Audience, BodyBinding, Signer, SigningKey};

/// Calls one agent and signs with one key.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    signer: Arc<Signer>,
    audience: Audience,
}

/// A request's headers, including its signature.
#[derive(Clone, Debug)]
pub(crate) struct Signed(pub(crate) Vec<(String, String)>);

impl Signed {
    /// The headers in the raw client's format.
    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect()
    }

    /// The same with one more header, which no signature covers.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Caller {
    /// The holder of the cluster secret.
    pub(crate) fn operator(address: SocketAddr, generation: Arc<Generation>) -> Self {
        let id = generation.operator_key_id();
        let key = SigningKey::hmac(&id, generation.operator_key()).expect("a key");
        Self::new(address, &generation, None, key)
    }

    /// The holder of this key and, optionally, of this certificate.
    pub(crate) fn new(
        address: SocketAddr,
        generation: &Generation,
        leaf: Option<&Leaf>,
        key: SigningKey,
    ) -> Self {
        let identity = leaf.map(|leaf| {
            let key = leaf.key_pkcs8.to_vec();
            let key = key.try_into().expect("a private key");
            (vec![leaf.cert_der.clone()], key)
        });
        let roots = vec![generation.ca_der().clone()];
        let client = Client::tls(address, generation.peer_sni(), roots, identity);
        Self {
            client: client.expect("a TLS client"),
            signer: Arc::new(Signer::new(key, generation.audience().clone())),
            audience: generation.audience().clone(),
        }
    }

    /// The same connection settings with another key.
    pub(crate) fn with_key(&self, key: SigningKey) -> Self {
        Self {
            client: self.client.clone(),
            signer: Arc::new(Signer::new(key, self.audience.clone())),
            audience: self.audience.clone(),
        }
    }

    /// The same connection settings with this key, for another cluster.
    pub(crate) fn for_cluster(&self, other: &Generation, key: SigningKey) -> Self {
        Self {
            client: self.client.clone(),
            signer: Arc::new(Signer::new(key, other.audience().clone())),
            audience: other.audience().clone(),
        }
    }

    /// The same connection settings with this key, and the old profile.
    pub(crate) fn without_audience(&self, key: SigningKey) -> Self {
        Self {
            client: self.client.clone(),
            signer: Arc::new(Signer::without_audience(key)),
            audience: self.audience.clone(),
        }
    }

    /// The underlying client, which signs nothing.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Signs a request with the current time and the body's digest.
    pub(crate) fn sign(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Signed {
        let binding = match body {
            [] => BodyBinding::Empty,
            body => BodyBinding::Digest(sha256(body)),
        };
        self.sign_at(clock::now().as_secs(), method, target, headers, binding)
    }

    /// Signs a request whose body is a stream that no digest covers.
    pub(crate) fn sign_stream(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Signed {
        let now = clock::now().as_secs();
        self.sign_at(now, method, target, headers, BodyBinding::Unsigned)
    }

    /// Signs a request with this time in seconds since the epoch.
    pub(crate) fn sign_at(
        &self,
        now: u64,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: BodyBinding,
    ) -> Signed {
        let request = http::Request::builder().method(method).uri(target).body(());
        let (mut parts, ()) = request.expect("a request").into_parts();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            parts
                .headers
                .append(name, value.parse().expect("a header value"));
        }
        let mut nonce = [0; 16];
        SystemRandom::new().fill(&mut nonce).expect("random bytes");
        let signed = self
            .signer
            .headers(&parts, body, now, nonce)
            .expect("a signature");
        let mut all: Vec<_> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        for (name, value) in signed.into_changes() {
            all.retain(|(n, _)| !n.eq_ignore_ascii_case(name.as_str()));
            if let Some(value) = value {
                let value = value.to_str().expect("ASCII").to_owned();
                all.push((name.to_string(), value));
            }
        }
        Signed(all)
    }

    /// A signed `GET`.
    pub(crate) async fn get(&self, target: &str) -> io::Result<Response> {
        self.ask("GET", target, &[], b"").await
    }

    /// A signed `GET` for this node, by id or hostname.
    pub(crate) async fn get_from(&self, node: &str, target: &str) -> io::Result<Response> {
        self.ask("GET", target, &[("Skep-Target", node)], b"").await
    }

    /// A signed request; the signature covers the body's digest.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let signed = self.sign(method, target, headers, body);
        self.client
            .request(method, target, &signed.fields(), body)
            .await
    }

    /// A signed request that hijacks its connection.
    pub(crate) async fn hijack(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Hijack> {
        let signed = self.sign("POST", target, headers, body);
        self.client
            .hijack("POST", target, &signed.fields(), body)
            .await
    }

    /// A signed request without a body; the caller reads the answer in pieces.
    pub(crate) async fn stream(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Streaming> {
        let signed = self.sign(method, target, headers, b"");
        self.client
            .stream(method, target, &signed.fields(), b"")
            .await
    }

    /// A signed `POST` with a chunked body that no digest covers. `first` are the
    /// bytes after the head; the caller sends the rest later.
    pub(crate) async fn upload(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        first: &[u8],
    ) -> io::Result<Streaming> {
        let signed = self.sign_stream("POST", target, headers);
        let signed = signed.and("Transfer-Encoding", "chunked");
        self.client
            .stream("POST", target, &signed.fields(), first)
            .await
    }
}
