//! Lists, reads, writes, renames and deletes the files of a volume, through the
//! API of Portainer's volume browser.
//!
//! The kernel resolves every path beneath the volume (`openat2` with
//! `RESOLVE_BENEATH`, through cap-std), so that neither `..` nor a symlink leads
//! out, even if the symlink changes meanwhile. Routing finds the node that has
//! the volume; this module answers for the node it runs on.

mod change;
mod folder;
mod get;
mod list;
mod name;
mod problem;
mod put;
mod range;
mod root;
mod temporary;
mod upload;
mod work;

use std::path::Path;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use skep_filters::endpoint::{Browse, query};
use skep_filters::policy::Guarded;

use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::upstream::error;
pub(crate) use problem::Problem;
use root::Root;

/// One call of the volume browser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) action: Browse,
    /// The volume, from the path or the query; none for the host's own files.
    pub(crate) volume: Option<&'a str>,
    /// The raw query.
    pub(crate) query: &'a str,
    /// Where the host's files are mounted; none if browsing them is off.
    pub(crate) host: Option<&'a Path>,
}

/// Answers a call on this node.
///
/// # Errors
/// As a [`Problem`] with the files.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    call: Call<'_>,
) -> Result<Next, Reject> {
    let volume = call.volume.filter(|volume| !volume.is_empty());
    let root = match (volume, call.host) {
        (Some(volume), _) => root::of_volume(context, volume).await?,
        (None, Some(host)) => {
            let root = Root::of_host(host.to_owned(), &context.config.state_dir).await?;
            root.without(guarded(context, x)?)
        }
        (None, None) => return Err(Problem::HostIsOff.into()),
    };
    let path = query::get(call.query, "path");
    let path = || {
        let path = path.as_deref().filter(|path| !path.is_empty());
        path.ok_or_else(|| Problem::request("the parameter 'path' is missing"))
    };
    match call.action {
        Browse::List => list::run(context, session, x, &root, path()?).await,
        Browse::Get => get::run(context, session, x, &root, path()?).await,
        Browse::Delete => {
            change::delete(&root, path()?).await?;
            done(context, session, x).await
        }
        Browse::Rename => {
            change::rename(session, x, &root).await?;
            done(context, session, x).await
        }
        Browse::Put => put::run(context, session, x, &root).await,
    }
}

/// The objects of agents, if they are out of the caller's reach.
fn guarded(context: &Context, x: &Judged<'_>) -> Result<Option<Arc<Guarded>>, Reject> {
    if !x.permission.called.is_limited() {
        return Ok(None);
    }
    let guarded = context.cluster.guarded();
    guarded.map(Some).ok_or_else(|| Problem::Guarded.into())
}

/// Answers 204: success without a body.
async fn done(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
) -> Result<Next, Reject> {
    begin(
        context,
        session,
        x,
        ResponseHeader::build(204, Some(2)).map_err(internal)?,
        true,
    )
    .await?;
    Ok(Next::Answered)
}

/// Sends the head of an answer; `end` if there is no body.
async fn begin(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    mut head: ResponseHeader,
    end: bool,
) -> Result<(), Reject> {
    x.record().status = Some(head.status);
    if end && head.status != http::StatusCode::NO_CONTENT {
        head.insert_header(CONTENT_LENGTH, "0").map_err(internal)?;
    }
    context.stamp(x.exchange, &mut head);
    let begun = session.write_response_header(Box::new(head), end).await;
    begun.map_err(|e| gone(&e))
}

fn gone(error: &pingora::Error) -> Reject {
    Reject::Client(error::explain(error))
}
