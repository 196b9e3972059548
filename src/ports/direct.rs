//! Connects to a container without a helper, for an agent that runs outside of a
//! container and so has no image: by an address that this host reaches.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::engine::Engine;
use super::problem::Problem;
use super::target::{self, Target};
use crate::exchange::reject::Reject;
use crate::platform::Duplex;

/// A container on this host answers at once.
const CONNECT: Duration = Duration::from_secs(2);

/// Whether a container has an address.
///
/// # Errors
/// If it has none.
pub(super) fn check(target: &Target) -> Result<(), Problem> {
    match target.addresses.is_empty() {
        true => Err(Problem::OutOfReach(target.name.clone())),
        false => Ok(()),
    }
}

/// A connection to a port of the container.
///
/// # Errors
/// If none of its addresses accepts it.
pub(super) async fn connect(
    engine: &Engine,
    target: &Target,
    port: u16,
) -> Result<Box<dyn Duplex>, Reject> {
    check(target)?;
    let name = || target.name.clone();
    let mut reason = None;
    for address in &target.addresses {
        let connected = TcpStream::connect(SocketAddr::new(*address, port));
        match timeout(CONNECT, connected).await {
            Ok(Ok(socket)) => {
                // The container may have ended, and another one may have its address.
                let path = format!("/containers/{}/json", target.id);
                let now = engine.ask(Method::GET, &path, None).await;
                let now = now.and_then(|answer| answer.success());
                if !now.is_ok_and(|now| target::is_same(&now, target)) {
                    return Err(Problem::NotRunning(name()).into());
                }
                return Ok(Box::new(socket));
            }
            Ok(Err(e)) => reason = Some(e.to_string()),
            Err(_) => {
                reason.get_or_insert_with(|| "this host does not reach its address".to_owned());
            }
        }
    }
    let (name, reason) = (name(), reason.unwrap_or_default());
    Err(Problem::Refused { name, port, reason }.into())
}
