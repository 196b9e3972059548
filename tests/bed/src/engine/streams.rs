//! Answers that last until the client closes: logs and stats; and `wait`, whose
//! head comes long before its body.

use std::io;

use serde_json::json;

use super::exchange::{After, Exchange};
use super::objects::{find, name};

pub(super) async fn logs(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    let container = match find(&x.config, id) {
        Ok(row) => name(row).to_owned(),
        Err((status, message)) => return x.error(status, &message).await,
    };
    let line = |n: u64| format!("{container} line {n}");
    x.drain().await?;
    x.start("application/vnd.docker.raw-stream").await?;
    if x.flag("follow") {
        return lines(x, line).await;
    }
    for n in 0..3 {
        x.chunk(format!("{}\n", line(n)).as_bytes()).await?;
    }
    x.finish().await
}

pub(super) async fn stats(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    let container = match find(&x.config, id) {
        Ok(row) => row["Id"].clone(),
        Err((status, message)) => return x.error(status, &message).await,
    };
    let line = |n: u64| json!({ "id": container, "num_procs": n }).to_string();
    // `stream` is the only flag in moby that is on by default.
    if x.param("stream").is_some() && !x.flag("stream") {
        return x.json(200, &json!({ "id": container })).await;
    }
    x.drain().await?;
    x.start("application/json").await?;
    lines(x, line).await
}

pub(super) async fn wait(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    if let Err((status, message)) = find(&x.config, id) {
        return x.error(status, &message).await;
    }
    x.drain().await?;
    x.start("application/json").await?;
    if x.pause(x.config.wait).await {
        return Ok(After::Close);
    }
    x.chunk(b"{\"StatusCode\":0}\n").await?;
    x.finish().await
}

/// A line after every interval until the client closes.
async fn lines(x: &mut Exchange<'_>, line: impl Fn(u64) -> String) -> io::Result<After> {
    for n in 0.. {
        if x.pause(x.config.interval).await {
            break;
        }
        x.chunk(format!("{}\n", line(n)).as_bytes()).await?;
    }
    Ok(After::Close)
}
