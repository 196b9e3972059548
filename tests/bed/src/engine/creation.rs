//! A new container: created from an existing image, started, never run.

use std::io;

use serde_json::json;

use super::events::decoded;
use super::exchange::{After, Exchange};
use super::{images, objects};
use crate::fixture;
use crate::payload::sum;

/// Creates a container if its image exists. The id is new, and as long as a real one.
pub(super) async fn create(x: &mut Exchange<'_>) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    let image = body["Image"].as_str().unwrap_or_default().to_owned();
    if images::find(&x.config, &image).is_none() {
        return x.error(404, &images::missing(&image)).await;
    }
    let mut id = String::new();
    let named = x.param("name").map(decoded);
    x.shared.change(|config| {
        let mut rows = config.rows("containers").to_vec();
        let of = format!("{} {}", config.id, rows.len());
        id = format!("{:016x}", sum(of.as_bytes())).repeat(4);
        let name = named.unwrap_or_else(|| format!("nameless-{}", rows.len()));
        rows.push(fixture::container(&id, &name, 1, 0));
        config.put("containers", rows);
    });
    x.json(201, &json!({ "Id": id, "Warnings": [] })).await
}

pub(super) async fn start(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    match objects::find(&x.config, id) {
        Ok(_) => x.reply(204, "", b"").await,
        Err((status, message)) => x.error(status, &message).await,
    }
}
