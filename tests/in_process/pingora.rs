//! What skep relies on in Pingora although its interface does not promise it.
//! `CONTRIBUTING.md` lists it all, with the tests in other files.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use crate::common::{generation, manager, with_cluster};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use skep_bed::fixture;

/// Pingora sends on what it calls the raw path. If that no longer were what `plain` in
/// `src/exchange/target.rs` compares, an engine would see a target that no signature covers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_target_in_absolute_form_is_sent_in_the_form_that_was_checked() {
    const PATH: &str = "/containers/c1/json";
    let with_c1 =
        |e: skep_bed::EngineBuilder| e.containers(vec![fixture::container("c1", "c1", 1, 0)]);
    with_cluster([manager("n1").engine(with_c1)], async |bed| {
        let operator = bed.operator("n1");
        let client = operator.client();
        for prefix in ["foo:", "ftp://docker", "docker"] {
            let target = format!("{prefix}{PATH}");
            let signed = operator.sign("GET", PATH, &[], b"");
            let answer = client.request("GET", &target, &signed.fields(), b"").await;
            let answer = answer.unwrap_or_else(|e| panic!("{target}: {e}"));
            assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        }
        let asked = bed.node("n1").asked();
        assert!(asked.is_empty(), "the engine saw {asked:?}");
        for prefix in ["http://docker", "https://docker:2376", "HTTP://Docker", ""] {
            let target = format!("{prefix}{PATH}");
            let host = target.split('/').nth(2).unwrap_or_default();
            let host = if prefix.is_empty() { "docker" } else { host };
            let signed = operator.sign("GET", PATH, &[], b"").and("Host", host);
            let answer = client.request("GET", &target, &signed.fields(), b"").await;
            assert_eq!(answer.unwrap().status, 200, "{target}");
            let asked = bed.node("n1").asked();
            assert_eq!(asked.last().unwrap().target, PATH);
        }
    })
    .await;
}

/// The crates in `stubs/` stand in for Pingora's compressors, which nothing may run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_passes_as_it_is_whatever_codings_the_client_takes() {
    let rows: Vec<_> = (0..200)
        .map(|n| fixture::container(&format!("c{n}"), "c", 1, 0))
        .collect();
    with_cluster(
        [manager("n1").engine(move |e| e.containers(rows))],
        async |bed| {
            let operator = bed.operator("n1");
            for path in ["/containers/json", "/containers/c1/json", "/info"] {
                let plain = operator.get(path).await.unwrap();
                let signed = operator.sign("GET", path, &[], b"");
                let fields = signed.and("Accept-Encoding", "gzip, deflate, br, zstd");
                let client = operator.client();
                let coded = client.request("GET", path, &fields.fields(), b"").await;
                let coded = coded.unwrap();
                assert_eq!(coded.status, 200, "{path}: {}", coded.text());
                assert_eq!(coded.header("content-encoding"), None, "{path}");
                assert_eq!(coded.text(), plain.text(), "{path}");
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_offers_http_1_only() {
    with_cluster([manager("n1")], async |bed| {
        let address = bed.node("n1").address;
        for (offered, agreed) in [
            (&["h2", "http/1.1"][..], Ok(Some("http/1.1"))),
            (&["http/1.1"], Ok(Some("http/1.1"))),
            (&["h2"], Err(())),
            (&[], Ok(None)),
        ] {
            let handshake = tokio::task::spawn_blocking(move || handshake(address, offered));
            let found = handshake.await.unwrap();
            let expected = agreed.map(|name| name.map(str::to_owned));
            assert_eq!(found, expected, "{offered:?}");
        }
    })
    .await;
}

/// The protocol that a handshake agrees on, of those that the client offers.
fn handshake(address: SocketAddr, offered: &[&str]) -> Result<Option<String>, ()> {
    let generation = generation();
    let mut roots = RootCertStore::empty();
    roots.add(generation.ca_der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("a provider").with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = offered
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from(generation.peer_sni().to_owned()).expect("a name");
    let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut tcp = TcpStream::connect(address).expect("a connection");
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|_| ())?;
    }
    let agreed = tls.alpn_protocol();
    Ok(agreed.map(|name| String::from_utf8_lossy(name).into_owned()))
}
