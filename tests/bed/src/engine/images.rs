//! Actions on images: pull, tag, remove.

use std::io;

use serde_json::{Value, json};

use super::config::Config;
use super::events::decoded;
use super::exchange::{After, Exchange};
use super::fault::Behaviour;
use crate::fixture;

/// The error of an engine that fails midway.
pub(super) const FAILURE: &str = "this engine is set to fail";

/// Finds an image by id, by name and tag, or by name with the implied tag `latest`.
pub(super) fn find<'a>(config: &'a Config, name: &str) -> Option<&'a Value> {
    let latest = format!("{name}:latest");
    let is_tag = |tag: &Value| tag == name || *tag == *latest;
    let tagged = |row: &Value| {
        row["RepoTags"]
            .as_array()
            .is_some_and(|t| t.iter().any(is_tag))
    };
    let rows = config.rows("images").iter();
    rows.into_iter()
        .find(|row| row["Id"] == name || tagged(row))
}

/// Three lines of progress; then the engine has the image.
pub(super) async fn pull(x: &mut Exchange<'_>) -> io::Result<After> {
    let name = decoded(x.param("fromImage").unwrap_or_default());
    let tag = x.param("tag").unwrap_or("latest").to_owned();
    x.drain().await?;
    x.start("application/json").await?;
    let detail = json!({ "current": 1, "total": 2 });
    line(
        x,
        json!({ "status": format!("Pulling from {name}"), "id": tag }),
    )
    .await?;
    line(
        x,
        json!({ "status": "Downloading", "progressDetail": detail, "id": "0a1b2c" }),
    )
    .await?;
    if failed(x).await? {
        return x.finish().await;
    }
    let tagged = match name.contains(':') {
        true => name,
        false => format!("{name}:{tag}"),
    };
    let done = format!("Status: Downloaded newer image for {tagged}");
    line(x, json!({ "status": done })).await?;
    x.shared.change(|config| {
        let mut rows = config.rows("images").to_vec();
        rows.push(fixture::image(&format!("sha256:{tagged}"), &[&tagged], 1));
        config.put("images", rows);
    });
    x.finish().await
}

/// Reports a failure in the stream, if the engine is set to fail midway.
pub(super) async fn failed(x: &mut Exchange<'_>) -> io::Result<bool> {
    let fails = x.config.behaviour_of(&x.path) == Behaviour::FailMidway;
    if fails {
        let error = json!({ "errorDetail": { "message": FAILURE }, "error": FAILURE });
        line(x, error).await?;
    }
    Ok(fails)
}

async fn line(x: &mut Exchange<'_>, line: Value) -> io::Result<()> {
    x.chunk(format!("{line}\r\n").as_bytes()).await
}

pub(super) async fn tag(x: &mut Exchange<'_>, name: &str) -> io::Result<After> {
    match find(&x.config, name) {
        Some(_) => x.reply(201, "text/plain", b"").await,
        None => x.error(404, &missing(name)).await,
    }
}

pub(super) async fn remove(x: &mut Exchange<'_>, name: &str) -> io::Result<After> {
    match find(&x.config, name) {
        Some(_) => x.json(200, &json!([{ "Untagged": name }])).await,
        None => x.error(404, &missing(name)).await,
    }
}

pub(super) fn missing(name: &str) -> String {
    format!("No such image: {name}")
}
