//! The proxy that a Portainer server opens for Compose: TCP in front, TLS behind, and in each request the two headers of
//! the signature and nothing else.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use super::cluster::Lab;
use super::portainer::{ENTRY, SECRET, Server};

/// Listens until the tests end; its address.
pub(crate) fn signing_proxy(lab: &Lab) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let agent = format!("{}:9001", lab.address(ENTRY));
    let lines = Server::new(SECRET).signed().join("\r\n");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (agent, lines) = (agent.clone(), lines.clone());
            // What goes wrong here is seen by the client.
            thread::spawn(move || drop(pass(client, &agent, &lines)));
        }
    });
    address
}

/// One request and its answer. The server does not verify its agents either.
fn pass(mut client: TcpStream, agent: &str, lines: &str) -> std::io::Result<()> {
    let head = signed(&head_of(&mut client)?, lines);
    let mut tls = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", agent])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (mut up, down) = (tls.stdin.take(), tls.stdout.take());
    let mut body = client.try_clone()?;
    let upload = thread::spawn(move || {
        if let Some(up) = &mut up {
            up.write_all(head.as_bytes())?;
            copy(&mut body, up)?;
        }
        Ok::<_, std::io::Error>(up)
    });
    if let Some(mut down) = down {
        copy(&mut down, &mut client)?;
    }
    client.shutdown(Shutdown::Both)?;
    drop(upload.join());
    tls.kill()?;
    tls.wait()?;
    Ok(())
}

/// Read byte by byte, so that nothing of the body is in it.
fn head_of(client: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The head with a signature. Its connection serves no second request, which would have none, unless it is taken over.
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
