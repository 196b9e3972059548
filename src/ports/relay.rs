//! The helper's side of the link: `skep relay`. It connects to ports of its own network
//! namespace, which is that of the target, and of no other host: to the loopback, and
//! to addresses that are its own.
//!
//! It ends with its input, which the engine closes when the agent is gone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::link::{ADDRESSES, FRAME, MOST, REASON, SMALL_FRAMES, WINDOW};
use super::stream::LinkStream;

/// How long a connection within one namespace may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The buffer of one direction of a connection.
const BUFFER: usize = 32 << 10;

/// The most addresses that are tried.
const ADDRESSES_TRIED: usize = 64;

/// Serves the connections of one agent until the stream ends.
///
/// # Errors
/// If the agent breaks the protocol, or the stream fails.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<(), h2::Error> {
    let mut link = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * MOST)
        .max_concurrent_streams(MOST)
        .max_frame_size(FRAME)
        .max_send_buffer_size(WINDOW as usize)
        .data_frame_budget(SMALL_FRAMES)
        .handshake::<_, Bytes>(stream)
        .await?;
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            request = link.accept() => match request {
                Some(request) => {
                    let (request, answer) = request?;
                    open.spawn(connection(request, answer));
                }
                None => return Ok(()),
            },
            Some(_) = open.join_next() => {}
        }
    }
}

/// One connection, from its request to its end. Errors end it: its two sides see them.
async fn connection(request: Request<RecvStream>, mut answer: SendResponse<Bytes>) {
    let mut socket = match connect(&request).await {
        Ok(socket) => socket,
        Err(e) => {
            let reason = HeaderValue::try_from(e.to_string());
            let mut refusal = Response::new(());
            *refusal.status_mut() = StatusCode::BAD_GATEWAY;
            if let Ok(reason) = reason {
                refusal.headers_mut().insert(REASON, reason);
            }
            drop(answer.send_response(refusal, true));
            return;
        }
    };
    let Ok(send) = answer.send_response(Response::new(()), false) else {
        return;
    };
    let mut stream = LinkStream::new(send, request.into_body());
    let copied = copy_bidirectional_with_sizes(&mut stream, &mut socket, BUFFER, BUFFER).await;
    if copied.is_err() {
        // The program sees a reset too, and not the end of a complete stream.
        drop(socket.set_zero_linger());
    }
}

async fn connect(request: &Request<RecvStream>) -> io::Result<TcpStream> {
    let port = request.uri().path().trim_start_matches('/').parse();
    let port = port.map_err(|_| io::Error::other("the agent names no port"))?;
    let addresses = request.headers().get(ADDRESSES);
    let addresses = addresses.and_then(|value| value.to_str().ok());
    let addresses = addresses.unwrap_or_default().split(',');
    let addresses = addresses.filter_map(|text| text.parse().ok());
    let connected = to_own(port, addresses.take(ADDRESSES_TRIED));
    let connected = timeout(CONNECT, connected).await;
    let socket = connected.map_err(|_| io::Error::other("it does not answer"))??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Connects to the loopback, or else to one of these addresses that is this host's own:
/// a connection that begins at an address cannot leave it for another host of that
/// address.
async fn to_own(port: u16, addresses: impl Iterator<Item = IpAddr>) -> io::Result<TcpStream> {
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let mut first = None;
    for address in loopback.into_iter().chain(addresses) {
        match to(SocketAddr::new(address, port)).await {
            Ok(socket) => return Ok(socket),
            Err(e) => drop(first.get_or_insert(e)),
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
}

async fn to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if !address.ip().is_loopback() {
        socket.bind(SocketAddr::new(address.ip(), 0))?;
    }
    socket.connect(address).await
}
