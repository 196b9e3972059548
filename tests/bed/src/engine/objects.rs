//! Lists and inspects of the engine's own objects and, on a manager, the swarm's.
//! Of the filters the fake applies only `before` and `since` of images; the log of
//! requests shows the others.

use std::cmp::{Ordering, Reverse};
use std::io;

use serde_json::{Value, json};

use super::config::Config;
use super::events::decoded;
use super::exchange::{After, Exchange};
use super::{images, rfc3339};
use crate::fixture::{HOST, MADE, NANOS};

// The exact errors of moby's cluster (`errNoManager`).
const NOT_IN_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \
                            \"docker swarm join\" to connect this node to swarm and try again.";
const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or \
                      modify cluster state. Please run this command on a manager node or promote \
                      the current node to a manager.";

/// An error's status and message.
type Refusal = (u16, String);

pub(super) async fn containers(x: &mut Exchange<'_>) -> io::Result<After> {
    let limit = x.param("limit").and_then(|n| n.parse().ok()).unwrap_or(0);
    // A limit includes stopped containers, as `all` does.
    let all = x.flag("all") || limit > 0;
    let mut rows = x.config.rows("containers").to_vec();
    // By nanoseconds, although the rows show seconds.
    rows.sort_by_key(|row| Reverse((row["Created"].as_i64(), row[NANOS].as_u64())));
    rows.retain(|row| all || runs(row));
    if limit > 0 {
        rows.truncate(limit);
    }
    for row in &mut rows {
        if let Some(row) = row.as_object_mut() {
            row.remove(NANOS);
            row.remove(HOST);
            row.remove(MADE);
        }
    }
    x.json(200, &rows.into()).await
}

fn runs(row: &Value) -> bool {
    match row["State"].as_str() {
        None => true,
        Some(state) => matches!(state, "running" | "paused" | "restarting"),
    }
}

/// moby's order: the full id, then the name, then an unambiguous id prefix.
pub(super) fn find<'a>(config: &'a Config, wanted: &str) -> Result<&'a Value, Refusal> {
    let rows = config.rows("containers");
    let id = |row: &Value| row["Id"].as_str().unwrap_or_default().to_owned();
    let named = |row: &&Value| name(row) == wanted.trim_start_matches('/');
    let exact = rows.iter().find(|row| id(row) == wanted);
    if let Some(row) = exact.or_else(|| rows.iter().find(named)) {
        return Ok(row);
    }
    let mut begun = rows.iter().filter(|row| id(row).starts_with(wanted));
    match (begun.next(), begun.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err((404, format!("No such container: {wanted}"))),
        (Some(_), Some(_)) => {
            let message = format!("multiple IDs found with provided prefix: {wanted}");
            Err((400, message))
        }
    }
}

pub(super) fn name(row: &Value) -> &str {
    let name = row["Names"][0].as_str().unwrap_or_default();
    name.trim_start_matches('/')
}

pub(super) async fn container(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    let config = x.config.clone();
    let row = match find(&config, id) {
        Ok(row) => row,
        Err((status, message)) => return x.error(status, &message).await,
    };
    let nanos = row[NANOS].as_u64().and_then(|n| n.try_into().ok());
    let created = rfc3339::write(
        row["Created"].as_i64().unwrap_or(0),
        nanos.unwrap_or_default(),
    );
    let body = json!({
        "Id": row["Id"],
        "Created": created,
        "Name": format!("/{}", name(row)),
        "Image": row["ImageID"],
        "State": { "Status": row["State"], "Running": runs(row) },
        "Config": { "Hostname": config.name, "Tty": true, "Image": row["Image"], "Labels": row["Labels"] },
        "HostConfig": row.get(HOST).unwrap_or(&json!({})),
    });
    x.json(200, &body).await
}

pub(super) async fn exec(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    if !x.config.execs.iter().any(|known| known == id) {
        return x.error(404, &format!("No such exec instance: {id}")).await;
    }
    x.json(200, &json!({ "ID": id, "Running": true, "ExitCode": null }))
        .await
}

pub(super) async fn images(x: &mut Exchange<'_>) -> io::Result<After> {
    let mut rows = x.config.rows("images").to_vec();
    let filters = decoded(x.param("filters").unwrap_or_default());
    let filters: Value = serde_json::from_str(&filters).unwrap_or_default();
    for (filter, order) in [("before", Ordering::Less), ("since", Ordering::Greater)] {
        let Some(name) = one_value(&filters[filter]) else {
            continue;
        };
        let Some(named) = images::find(&x.config, &name) else {
            return x.error(404, &images::missing(&name)).await;
        };
        let than = named["Created"].as_i64();
        rows.retain(|row| row["Created"].as_i64().cmp(&than) == order);
    }
    rows.sort_by_key(|row| Reverse(row["Created"].as_i64()));
    x.json(200, &rows.into()).await
}

pub(super) async fn image(x: &mut Exchange<'_>, name: &str) -> io::Result<After> {
    let Some(mut image) = images::find(&x.config, name).cloned() else {
        return x.error(404, &images::missing(name)).await;
    };
    image["Created"] = rfc3339::write(image["Created"].as_i64().unwrap_or(0), 0).into();
    x.json(200, &image).await
}

/// The value of a filter, in either of its two shapes.
fn one_value(filter: &Value) -> Option<String> {
    let listed = filter[0].as_str().map(str::to_owned);
    listed.or_else(|| filter.as_object()?.keys().next().cloned())
}

pub(super) async fn volumes(x: &mut Exchange<'_>) -> io::Result<After> {
    let rows = x.config.rows("volumes");
    let body = json!({ "Volumes": rows, "Warnings": null });
    x.json(200, &body).await
}

pub(super) async fn volume(x: &mut Exchange<'_>, name: &str) -> io::Result<After> {
    let missing = format!("get {name}: no such volume");
    one(x, "volumes", |row| row["Name"] == name, missing).await
}

pub(super) async fn networks(x: &mut Exchange<'_>) -> io::Result<After> {
    let rows = json!(x.config.rows("networks"));
    x.json(200, &rows).await
}

pub(super) async fn network(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    let missing = format!("network {id} not found");
    let same = |row: &Value| row["Id"] == id || row["Name"] == id;
    one(x, "networks", same, missing).await
}

async fn one(
    x: &mut Exchange<'_>,
    kind: &str,
    same: impl Fn(&Value) -> bool,
    missing: String,
) -> io::Result<After> {
    let row = x.config.rows(kind).iter().find(|row| same(row)).cloned();
    match row {
        Some(row) => x.json(200, &row).await,
        None => x.error(404, &missing).await,
    }
}

pub(super) async fn of_swarm(x: &mut Exchange<'_>, kind: &str) -> io::Result<After> {
    if !x.config.is_manager() {
        let why = if x.config.in_swarm {
            WORKER
        } else {
            NOT_IN_SWARM
        };
        return x.error(503, why).await;
    }
    let rows = json!(x.config.rows(kind));
    x.json(200, &rows).await
}
