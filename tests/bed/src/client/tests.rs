//! The client under TLS, against a server that echoes after the client's end.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Client;

type Certificate = CertificateDer<'static>;

/// A self-signed certificate for `agent.test` and its key.
fn identity() -> (Certificate, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["agent.test".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (
        certificate,
        PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    )
}

/// Serves one connection as `agent.test`. If `client` is given, only a client
/// with that certificate may connect.
async fn serve(client: Option<&Certificate>) -> (SocketAddr, Certificate) {
    let (certificate, key) = identity();
    let provider = Arc::new(default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = config.with_single_cert(vec![certificate.clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        echo(acceptor, tcp).await
    });
    (address, certificate)
}

/// Answers at once, and echoes all input after the client's close_notify.
async fn echo(acceptor: TlsAcceptor, tcp: TcpStream) -> std::io::Result<()> {
    let mut tls = acceptor.accept(tcp).await?;
    tls.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tls.flush().await?;
    let mut all = Vec::new();
    tls.read_to_end(&mut all).await?;
    tls.write_all(&all).await?;
    tls.shutdown().await
}

#[tokio::test]
async fn the_answer_arrives_after_a_half_close_under_tls() {
    let (address, root) = serve(None).await;
    let client = Client::tls(address, "agent.test", vec![root], None).unwrap();
    let mut hijack = client.hijack("POST", "/x", &[], b"").await.unwrap();
    assert_eq!(hijack.status, 200);
    hijack.stream.send(b"stdin").await.unwrap();
    hijack.stream.close_write().await.unwrap();
    let all = hijack.stream.receive_to_end().await.unwrap();
    assert!(all.starts_with(b"POST /x HTTP/1.1\r\n") && all.ends_with(b"\r\n\r\nstdin"));
}

#[tokio::test]
async fn a_server_with_another_name_or_root_is_rejected() {
    let (address, root) = serve(None).await;
    let wrong_name = Client::tls(address, "other.test", vec![root], None).unwrap();
    assert!(wrong_name.get("/", &[]).await.is_err());
    let (address, _) = serve(None).await;
    let wrong_root = Client::tls(address, "agent.test", Vec::new(), None).unwrap();
    assert!(wrong_root.get("/", &[]).await.is_err());
}

#[tokio::test]
async fn a_client_presents_its_certificate() {
    let (own, key) = identity();
    let (address, root) = serve(Some(&own)).await;
    let known = Client::tls(
        address,
        "agent.test",
        vec![root],
        Some((vec![own.clone()], key)),
    );
    let hijack = known.unwrap().hijack("GET", "/", &[], b"").await;
    assert_eq!(hijack.unwrap().status, 200);

    let (address, root) = serve(Some(&own)).await;
    let unknown = Client::tls(address, "agent.test", vec![root], None).unwrap();
    assert!(unknown.hijack("GET", "/", &[], b"").await.is_err());
}
