//! New containers, networks and volumes, and their removal. A container is created
//! from an existing image, and never runs.

use std::io;

use serde_json::{Value, json};

use super::config::Config;
use super::events::decoded;
use super::exchange::{After, Exchange};
use super::{images, objects, swarm};
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
    let named = x.param("name").map(decoded);
    if let Some(taken) = named.as_deref().and_then(|name| taken(&x.config, name)) {
        return x.error(409, &taken).await;
    }
    let mut id = String::new();
    x.shared.change(|config| {
        let mut rows = config.rows("containers").to_vec();
        config.made += 1;
        id = new_id(config);
        let name = named.unwrap_or_else(|| format!("nameless-{}", config.made));
        let mut row = fixture::container(&id, &name, 1, 0);
        row["Image"] = body["Image"].clone();
        if body["Labels"].is_object() {
            row["Labels"] = body["Labels"].clone();
        }
        row[crate::fixture::HOST] = body["HostConfig"].clone();
        row[crate::fixture::MADE] = true.into();
        rows.push(row);
        config.put("containers", rows);
    });
    x.json(201, &json!({ "Id": id, "Warnings": [] })).await
}

fn new_id(config: &Config) -> String {
    let of = format!("{} {}", config.id, config.made);
    format!("{:016x}", sum(of.as_bytes())).repeat(4)
}

/// moby's refusal of a name that a container has (`daemon/names.go`).
fn taken(config: &Config, name: &str) -> Option<String> {
    let name = name.trim_start_matches('/');
    let mut rows = config.rows("containers").iter();
    let id = rows.find(|row| objects::name(row) == name)?["Id"].as_str()?;
    Some(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You \
         have to remove (or rename) that container to be able to reuse that name."
    ))
}

pub(super) async fn rename(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    let name = x.param("name").map(decoded).unwrap_or_default();
    if let Some(taken) = taken(&x.config, &name) {
        return x.error(409, &taken).await;
    }
    change(x, id, |rows, at| {
        rows[at]["Names"] = json!([format!("/{name}")])
    })
    .await
}

pub(super) async fn remove(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    change(x, id, |rows, at| {
        rows.remove(at);
    })
    .await
}

async fn change(
    x: &mut Exchange<'_>,
    id: &str,
    change: impl FnOnce(&mut Vec<Value>, usize),
) -> io::Result<After> {
    let row = match objects::find(&x.config, id) {
        Ok(row) => row["Id"].clone(),
        Err((status, message)) => return x.error(status, &message).await,
    };
    x.shared.change(|config| {
        let mut rows = config.rows("containers").to_vec();
        if let Some(at) = rows.iter().position(|other| other["Id"] == row) {
            change(&mut rows, at);
        }
        config.put("containers", rows);
    });
    x.reply(204, "", b"").await
}

/// An engine answers with the existing volume of that name.
pub(super) async fn volume(x: &mut Exchange<'_>) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    let mut volume = fixture::volume(body["Name"].as_str().unwrap_or_default());
    volume["Labels"] = body["Labels"].clone();
    x.shared.change(|config| {
        let mut rows = config.rows("volumes").to_vec();
        match rows.iter().find(|row| row["Name"] == volume["Name"]) {
            Some(row) => volume = row.clone(),
            None => rows.push(volume.clone()),
        }
        config.put("volumes", rows);
    });
    x.json(201, &volume).await
}

/// A network of the driver `overlay`, whose name must be free, belongs to the swarm.
pub(super) async fn of_either(x: &mut Exchange<'_>) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    match body["Driver"] == "overlay" && body["CheckDuplicate"] == true {
        true => swarm::create(x, "networks").await,
        false => network(x).await,
    }
}

pub(super) async fn network(x: &mut Exchange<'_>) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    let mut id = String::new();
    x.shared.change(|config| {
        config.made += 1;
        id = new_id(config);
        let mut network = fixture::network(&id, body["Name"].as_str().unwrap_or_default(), "local");
        network["Labels"] = body["Labels"].clone();
        let mut rows = config.rows("networks").to_vec();
        rows.push(network);
        config.put("networks", rows);
    });
    x.json(201, &json!({ "Id": id, "Warning": "" })).await
}

pub(super) async fn remove_network(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    let is = |row: &Value| row["Id"] == id || row["Name"] == id;
    let mut rows = x.config.rows("networks").iter();
    if rows.any(|row| is(row) && row["Scope"] == "swarm") {
        return swarm::remove(x, "networks", id).await;
    }
    let found = x.config.rows("networks").iter().any(is);
    x.shared.change(|config| {
        let mut rows = config.rows("networks").to_vec();
        rows.retain(|row| !is(row));
        config.put("networks", rows);
    });
    match found {
        true => x.reply(204, "", b"").await,
        false => x.error(404, &format!("network {id} not found")).await,
    }
}

pub(super) async fn start(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    match objects::find(&x.config, id) {
        Ok(_) => x.reply(204, "", b"").await,
        Err((status, message)) => x.error(status, &message).await,
    }
}
