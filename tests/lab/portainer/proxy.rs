//! The proxy that a Portainer server opens for Compose: it accepts TCP, connects with TLS, and adds only the two
//! signature headers to each request.

use std::io;
use std::net::TcpListener;
use std::thread;

use skep::trust::{Generation, Secret};
use skep_bed::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use super::cluster::Lab;
use super::portainer::{ENTRY, SECRET, Server};

/// Listens until the tests end; returns its address.
pub(crate) fn signing_proxy(lab: &Lab) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (agent, lines) = (agent(lab), Server::new(SECRET).signed().join("\r\n"));
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    thread::spawn(move || {
        runtime.block_on(async move {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (client, _) = listener.accept().await?;
                let (agent, lines) = (agent.clone(), lines.clone());
                // The client sees an error here.
                tokio::spawn(async move { pass(client, &agent, &lines).await.ok() });
            }
            #[allow(unreachable_code)] // It sets the type of the block.
            io::Result::Ok(())
        })
    });
    address
}

/// The agents of this lab trust each other by the server's secret.
fn agent(lab: &Lab) -> Client {
    let secret = Secret::from_bytes(SECRET.as_bytes()).expect("a secret");
    let generation = Generation::derive(&secret).expect("a generation");
    let address = format!("{}:9001", lab.address(ENTRY));
    let address = address.parse().expect("an address");
    let roots = vec![generation.ca_der().clone()];
    let client = Client::tls(address, generation.peer_sni(), roots, None);
    client.expect("a TLS client")
}

/// One request and its answer, or the stream that it becomes.
async fn pass(mut client: TcpStream, agent: &Client, lines: &str) -> io::Result<()> {
    let head = signed(&head_of(&mut client).await?, lines);
    let mut agent = agent.dial().await?;
    agent.write_all(head.as_bytes()).await?;
    copy_bidirectional(&mut client, &mut agent).await?;
    Ok(())
}

/// Reads the head byte by byte, so that it contains nothing of the body.
async fn head_of(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The head with a signature. Unless it is hijacked, its connection must not serve a second request, which would have
/// no signature.
fn signed(head: &str, lines: &str) -> String {
    let is = |line: &str, name: &str| line.to_ascii_lowercase().starts_with(name);
    let upgrade = head.lines().any(|line| is(line, "upgrade:"));
    let mut kept: Vec<_> = head.trim_end().split("\r\n").collect();
    kept.push(lines);
    if !upgrade {
        kept.retain(|line| !is(line, "connection:"));
        kept.push("Connection: close");
    }
    kept.join("\r\n") + "\r\n\r\n"
}
