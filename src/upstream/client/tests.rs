//! Details of Pingora's connection pool that the client relies on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::upstream::request;

/// The requests that a server has seen: the number of the connection, and the method.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// A server that answers so many requests on its first connection, its second, and so on, and
/// closes each when one more arrives.
async fn server(answers: &'static [usize]) -> (HttpPeer, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seen = Seen::default();
    let peer = peer(listener.local_addr().unwrap());
    let noted = seen.clone();
    tokio::spawn(async move {
        for (connection, answers) in answers.iter().enumerate() {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(tcp, connection, *answers, noted.clone()));
        }
    });
    (peer, seen)
}

async fn serve(mut tcp: TcpStream, connection: usize, answers: usize, seen: Seen) {
    for n in 0..=answers {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match tcp.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let method = String::from_utf8_lossy(&head);
        let method = method.split(' ').next().unwrap().to_owned();
        seen.lock().unwrap().push((connection, method));
        if n < answers {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            tcp.write_all(answer).await.unwrap();
        }
    }
}

fn peer(address: SocketAddr) -> HttpPeer {
    HttpPeer::new(address, false, String::new())
}

async fn ask(client: &Client, peer: &HttpPeer, method: &Method) -> pingora::Result<Answer> {
    let head = request::build(method, "/").unwrap();
    client.fetch(peer, head, &Budget::one(16)).await
}

fn methods(seen: &Seen) -> Vec<(usize, String)> {
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn a_get_is_sent_again_if_a_reused_connection_turns_out_to_be_dead() {
    let (peer, seen) = server(&[1, 1]).await;
    let client = Client::new();
    for _ in 0..2 {
        let answer = ask(&client, &peer, &Method::GET).await.unwrap();
        assert_eq!(answer.body, "ok");
    }
    let get = |connection| (connection, "GET".to_owned());
    assert_eq!(methods(&seen), [get(0), get(0), get(1)]);
}

#[tokio::test]
async fn a_request_that_may_have_been_carried_out_is_not_sent_again() {
    let (peer, seen) = server(&[1, 1]).await;
    let client = Client::new();
    ask(&client, &peer, &Method::GET).await.unwrap();
    assert!(ask(&client, &peer, &Method::POST).await.is_err());
    let expected = [(0, "GET".to_owned()), (0, "POST".to_owned())];
    assert_eq!(methods(&seen), expected);
}

#[tokio::test]
async fn a_get_is_not_sent_again_if_a_new_connection_breaks() {
    let (peer, seen) = server(&[0, 1]).await;
    assert!(ask(&Client::new(), &peer, &Method::GET).await.is_err());
    assert_eq!(methods(&seen), [(0, "GET".to_owned())]);
}

#[tokio::test]
async fn a_pooled_connection_is_for_peers_of_its_group_only() {
    let (first, seen) = server(&[2, 2]).await;
    let mut second = first.clone();
    second.group_key = 1;
    let client = Client::new();
    for peer in [&first, &second, &second, &first] {
        ask(&client, peer, &Method::GET).await.unwrap();
    }
    let connections: Vec<_> = methods(&seen).into_iter().map(|(n, _)| n).collect();
    assert_eq!(connections, [0, 1, 1, 0]);
}
