//! Asks a node for an answer that is read as it arrives. While it is not read, its node
//! waits, and its time does not pass.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;

use super::{Ask, Node, Timeout, head, in_turn, is_by_another_clock, signed, within};
use crate::cluster::Cluster;
use crate::upstream::client::{Answer, Arriving};
use crate::upstream::clocks::Asking;
use crate::upstream::headers;

/// Bounds an answer that is no list, in bytes.
const REFUSAL: usize = 1 << 20;

/// How much is read of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// One piece has about as much.
    pub(crate) piece: usize,
    /// The whole answer may have as much.
    pub(crate) most: usize,
}

/// The beginning of an answer.
pub(crate) enum Begun {
    /// Of status 200, with its first piece.
    List(ResponseHeader, Piece),
    /// Any other, whole.
    Refusal(Answer),
}

/// A piece of an answer.
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Absent at the end.
    pub(crate) rest: Option<Rest>,
}

/// The part of an answer that has not been read.
pub(crate) struct Rest {
    arriving: Box<Arriving>,
    /// The time that the node has used.
    used: Duration,
}

impl Rest {
    /// The same with the whole time of a node: it may have waited long.
    pub(crate) fn afresh(self) -> Self {
        Self {
            used: Duration::ZERO,
            ..self
        }
    }
}

/// Asks a node for the beginning of its answer.
///
/// # Errors
/// The reason why it is missing.
pub(crate) async fn begin(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    query: &str,
    sizes: Sizes,
) -> Result<Begun, String> {
    let asked = Box::pin(fetch(cluster, node, ask, query, sizes));
    in_turn(cluster, node, ask, asked).await
}

/// The next piece of an answer.
///
/// # Errors
/// The reason why the rest is missing.
pub(crate) async fn more(
    cluster: &Cluster,
    node: &Node,
    patience: Timeout,
    rest: Rest,
    sizes: Sizes,
) -> Result<Piece, String> {
    let began = Instant::now();
    let Rest { arriving, used } = rest;
    let read = cluster.client.more(*arriving, sizes.piece, sizes.most);
    let (bytes, rest) = within(cluster, node, patience, used, read).await?;
    let used = used + began.elapsed();
    let rest = rest.map(|arriving| Rest {
        arriving: Box::new(arriving),
        used,
    });
    Ok(Piece { bytes, rest })
}

async fn fetch(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    query: &str,
    sizes: Sizes,
) -> pingora::Result<Begun> {
    // Its turn has come.
    let began = Instant::now();
    let head = head(node, ask, query)?;
    let (mut begun, asking) = Box::pin(send(cluster, node, ask, head.clone(), sizes)).await?;
    if let Begun::Refusal(answer) = &begun
        && is_by_another_clock(cluster, node, answer, &asking)
    {
        (begun, _) = Box::pin(send(cluster, node, ask, head, sizes)).await?;
    }
    match &mut begun {
        Begun::Refusal(answer) => headers::refuse_misdirected(&answer.head)?,
        Begun::List(_, piece) => {
            if let Some(rest) = &mut piece.rest {
                rest.used = began.elapsed();
            }
        }
    }
    Ok(begun)
}

/// Signs a request for a node, sends it, and reads the beginning of the answer.
async fn send(
    cluster: &Cluster,
    node: &Node,
    ask: &Ask<'_>,
    head: RequestHeader,
    sizes: Sizes,
) -> pingora::Result<(Begun, Asking)> {
    let (peer, head) = signed(cluster, node, ask, head).await?;
    let asking = Asking::now();
    let (head, arriving) = cluster.client.begin(peer, head).await?;
    if head.status != StatusCode::OK {
        let whole = cluster.client.more(arriving, usize::MAX, REFUSAL);
        let (body, _) = whole.await?;
        return Ok((Begun::Refusal(Answer { head, body }), asking));
    }
    let first = cluster.client.more(arriving, sizes.piece, sizes.most);
    let (bytes, rest) = first.await?;
    let rest = rest.map(|arriving| Rest {
        arriving: Box::new(arriving),
        used: Duration::ZERO,
    });
    Ok((Begun::List(head, Piece { bytes, rest }), asking))
}
