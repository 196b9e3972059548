//! Tests against a Docker Hub on this machine.

use std::sync::Mutex;

use pingora::listeners::tls::TlsSettings;
use pingora::upstreams::peer::Peer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, lookup_host};

use super::*;

#[test]
fn limits_are_read_from_the_headers() {
    let read = |pairs: &[(&'static str, &str)]| {
        let pairs = pairs.iter();
        limits_of(
            &pairs
                .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
                .collect(),
        )
    };
    let both = [
        ("ratelimit-limit", "100;w=21600"),
        ("ratelimit-remaining", "76;w=21600"),
    ];
    let expected = Limits {
        remaining: 76,
        limit: 100,
    };
    assert_eq!(read(&both), Some(expected));
    assert_eq!(read(&both[..1]), None);
    assert_eq!(
        read(&[("ratelimit-limit", "x"), ("ratelimit-remaining", "1")]),
        None
    );
    assert_eq!(json!(None::<Limits>), serde_json::Value::Null);
}

#[test]
fn authorities_come_from_the_named_file_then_the_container_then_the_host() {
    let files = root_files(Some("/named.pem".into()), Some(Path::new("/host")));
    let on_host = |file: &&str| Path::new("/host").join(&file[1..]);
    let known = platform::ROOT_FILES;
    assert_eq!(files[0], Path::new("/named.pem"));
    assert!(
        files[1..=known.len()]
            .iter()
            .eq(known.iter().map(Path::new))
    );
    assert!(
        files[1 + known.len()..]
            .iter()
            .eq(&known.iter().map(on_host).collect::<Vec<_>>())
    );
    let folder = tempfile::tempdir().unwrap();
    let none = read_roots(&[folder.path().join("none.pem")]);
    assert!(none.is_err_and(|why| why.contains("mount the host's")));
}

#[test]
fn an_account_is_used_only_if_the_request_says_so() {
    let user = |body: &str| account(body.as_bytes()).map(|a| (a.username, a.password));
    let pair = Some(("u".to_owned(), "p".to_owned()));
    for (body, expected) in [
        (
            r#"{"authentication":true,"username":"u","password":"p"}"#,
            &pair,
        ),
        (
            r#"{"Type":6,"Authentication":true,"Username":"u","Password":"p"}"#,
            &pair,
        ),
        (
            r#"{"authentication":false,"username":"u","password":"p"}"#,
            &None,
        ),
        (
            r#"{"authentication":true,"USERNAME":"x","Username":"u","PASSWORD":"p"}"#,
            &pair,
        ),
        (
            r#"{"AUTHENTICATION":true,"authentication":false,"username":"u"}"#,
            &None,
        ),
        (r#"{"authentication":true}"#, &None),
        ("{}", &None),
        ("", &None),
    ] {
        assert_eq!(&user(body), expected, "{body}");
    }
}

fn user() -> Option<Account> {
    Some(Account {
        username: "u".to_owned(),
        password: "p".to_owned(),
    })
}

/// A Docker Hub on this machine.
struct Fake {
    port: u16,
    roots: Roots,
    /// The heads of requests.
    requests: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Fake {
    /// Starts a server that sends these answers in turn.
    async fn start(answers: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let tls = TlsSettings::intermediate(&text(&certificate), &text(&key)).unwrap();
        let acceptor = tls.build();
        // The address to which the name resolves first.
        let address = lookup_host(("localhost", 0)).await.unwrap().next().unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heads = requests.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (tcp, _) = listener.accept().await.unwrap();
                // A client that does not trust the server fails here.
                let Ok(mut tls) = acceptor.tls_handshake(platform::tcp_stream(tcp)).await else {
                    continue;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match tls.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                heads.lock().unwrap().push(String::from_utf8(head).unwrap());
                tls.write_all(answer.as_bytes()).await.unwrap();
                let _ = tls.shutdown().await;
            }
        });
        Self {
            port,
            roots: read_roots(&[certificate]).unwrap(),
            requests,
            _folder: folder,
        }
    }

    async fn limits(&self, account: Option<Account>) -> Result<Option<Limits>, String> {
        self.limits_trusting(&self.roots, account).await
    }

    async fn limits_trusting(
        &self,
        roots: &Roots,
        account: Option<Account>,
    ) -> Result<Option<Limits>, String> {
        let origin = ("localhost", self.port);
        let hub = Hub {
            client: &Client::new(),
            auth: origin,
            registry: origin,
            roots,
        };
        hub.limits(account).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

const TOKEN_ABC: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"token\":\"abc\"}";
const UNLIMITED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 528\r\nConnection: close\r\n\r\n";
const LIMITED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 528\r\nRateLimit-Limit: 100;w=21600\r\n\
     RateLimit-Remaining: 76;w=21600\r\nConnection: close\r\n\r\n";
const USED_UP: &str = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRateLimit-Limit: 100;w=21600\r\n\
     RateLimit-Remaining: 0;w=21600\r\nConnection: close\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_token_is_requested_and_used_with_and_without_an_account() {
    for (account, login) in [(None, None), (user(), Some("authorization: basic dtpw"))] {
        let hub = Fake::start(&[TOKEN_ABC, LIMITED]).await;
        let limits = hub.limits(account).await.unwrap();
        let expected = Limits {
            remaining: 76,
            limit: 100,
        };
        assert_eq!(limits, Some(expected));
        let requests = hub.requests();
        let [token, manifest] = &requests[..] else {
            panic!("{requests:?}");
        };
        assert!(
            token.starts_with(&format!("GET {TOKEN} HTTP/1.1\r\n")),
            "{token}"
        );
        let manifest_line = format!("HEAD {MANIFEST} HTTP/1.1\r\n");
        assert!(manifest.starts_with(&manifest_line), "{manifest}");
        let shown = |head: &str| {
            let head = head.to_ascii_lowercase();
            let mut lines = head.lines().map(str::to_owned);
            lines.find(|line| line.starts_with("authorization:"))
        };
        assert_eq!(shown(token).as_deref(), login);
        assert_eq!(
            shown(manifest).as_deref(),
            Some("authorization: bearer abc")
        );
    }
}

#[tokio::test]
async fn a_paid_account_has_no_limits_and_used_up_limits_are_reported() {
    let hub = Fake::start(&[TOKEN_ABC, UNLIMITED]).await;
    assert_eq!(hub.limits(user()).await, Ok(None));
    let hub = Fake::start(&[TOKEN_ABC, USED_UP]).await;
    let none = Limits {
        remaining: 0,
        limit: 100,
    };
    assert_eq!(hub.limits(None).await, Ok(Some(none)));
}

#[tokio::test]
async fn a_refusal_is_an_error() {
    for answers in [&[REFUSED][..], &[TOKEN_ABC, REFUSED]] {
        let hub = Fake::start(answers).await;
        let error = hub.limits(user()).await.unwrap_err();
        assert_eq!(error, "localhost answered 401 Unauthorized");
    }
    let hub = Fake::start(&[UNLIMITED]).await;
    assert!(hub.limits(None).await.is_err());
}

#[tokio::test]
async fn only_a_server_with_a_trusted_certificate_gets_a_request() {
    let (other, hub) = (
        Fake::start(&[]).await,
        Fake::start(&[TOKEN_ABC, LIMITED]).await,
    );
    let error = hub.limits_trusting(&other.roots, user()).await.unwrap_err();
    assert!(error.starts_with("localhost: "), "{error}");
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn a_connection_that_other_authorities_verified_is_not_reused() {
    let (first, second) = (Fake::start(&[]).await, Fake::start(&[]).await);
    let key = async |hub: &Fake| {
        let peer = peer(("localhost", 443), &hub.roots).await;
        peer.unwrap().reuse_hash()
    };
    assert_eq!(key(&first).await, key(&first).await);
    assert_ne!(key(&first).await, key(&second).await);
}
