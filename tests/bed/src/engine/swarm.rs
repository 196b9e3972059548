//! New secrets, configs, overlay networks and services of the swarm, and their removal.
//! A service gets a running task on every node at once.

use std::io;

use serde_json::{Value, json};

use super::config::Config;
use super::exchange::{After, Exchange};
use crate::fixture;
use crate::payload::sum;

/// How the creation of an object fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is refused with a 500.
    Refused,
    /// It is carried out, and the connection breaks before the answer.
    Lost,
}

/// The kinds that are made here, as in their paths.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    ["secrets", "configs", "networks", "services"]
        .into_iter()
        .find(|kind| *kind == name)
}

fn name<'a>(kind: &str, row: &'a Value) -> &'a Value {
    match kind {
        "networks" => &row["Name"],
        _ => &row["Spec"]["Name"],
    }
}

fn id<'a>(kind: &str, row: &'a Value) -> &'a Value {
    match kind {
        "networks" => &row["Id"],
        _ => &row["ID"],
    }
}

pub(super) async fn create(x: &mut Exchange<'_>, kind: &'static str) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    let mut outcome = Err((500, "this engine is set to fail".to_owned()));
    let mut fault = None;
    x.shared.change(|config| {
        config.creations += 1;
        fault = config
            .failing
            .filter(|(at, _)| *at == config.creations)
            .map(|(_, how)| how);
        if fault != Some(Creation::Refused) {
            outcome = add(config, kind, &body);
        }
    });
    match (fault, outcome) {
        (Some(Creation::Lost), _) => Ok(After::Close),
        (_, Ok(id)) if kind == "networks" => x.json(201, &json!({ "Id": id })).await,
        (_, Ok(id)) => x.json(201, &json!({ "ID": id })).await,
        (_, Err((status, message))) => x.error(status, &message).await,
    }
}

/// Swarmkit refuses a name that exists (`store.ErrNameConflict`).
fn add(config: &mut Config, kind: &'static str, body: &Value) -> Result<String, (u16, String)> {
    let mut rows = config.rows(kind).to_vec();
    if rows.iter().any(|row| name(kind, row) == &body["Name"]) {
        return Err((
            409,
            format!("rpc error: name conflicts with an existing object: {kind}"),
        ));
    }
    config.made += 1;
    let number = format!("{} {kind} {}", config.id, config.made);
    let new = format!("{:016x}000000000", sum(number.as_bytes()));
    rows.push(match kind {
        "networks" => {
            let named = body["Name"].as_str().unwrap_or_default();
            let mut row = fixture::network(&new, named, "swarm");
            row["Labels"] = body["Labels"].clone();
            row
        }
        // An engine never shows a secret's data.
        "secrets" => json!({
            "ID": new,
            "Version": { "Index": 1 },
            "Spec": { "Name": body["Name"], "Labels": body["Labels"] },
        }),
        _ => json!({ "ID": new, "Version": { "Index": 1 }, "Spec": body }),
    });
    config.put(kind, rows);
    if kind == "services" {
        add_tasks(config, &new, body);
    }
    Ok(new)
}

fn add_tasks(config: &mut Config, service: &str, spec: &Value) {
    let nodes: Vec<Value> = config
        .rows("nodes")
        .iter()
        .map(|n| n["ID"].clone())
        .collect();
    let mut rows = config.rows("tasks").to_vec();
    let refusal = config.task_error.clone();
    for node in nodes {
        // A failed task is tried again.
        let tries = if refusal.is_some() { 3 } else { 1 };
        for n in 0..tries {
            config.made += 1;
            let (state, desired) = match refusal {
                Some(_) => ("rejected", "shutdown"),
                None => ("running", "running"),
            };
            rows.push(json!({
                "ID": format!("task{}", config.made),
                "Version": { "Index": config.made + n },
                "NodeID": node,
                "ServiceID": service,
                "DesiredState": desired,
                "Spec": spec["TaskTemplate"],
                "Status": { "State": state, "Err": refusal.clone().unwrap_or_default() },
            }));
        }
    }
    config.put("tasks", rows);
}

pub(super) async fn inspect(x: &mut Exchange<'_>, kind: &str, of: &str) -> io::Result<After> {
    let mut rows = x.config.rows(kind).iter();
    match rows
        .find(|row| id(kind, row) == of || name(kind, row) == of)
        .cloned()
    {
        Some(row) => x.json(200, &row).await,
        None => x.error(404, &format!("{kind} {of} not found")).await,
    }
}

pub(super) async fn update(x: &mut Exchange<'_>, of: &str) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    let asked = x.param("version").and_then(|text| text.parse().ok());
    let mut outcome = Err((404, format!("service {of} not found")));
    x.shared.change(|config| {
        let mut rows = config.rows("services").to_vec();
        let Some(row) = rows.iter_mut().find(|row| row["ID"] == of) else {
            return;
        };
        let version = row["Version"]["Index"].as_u64();
        if asked != version {
            outcome = Err((500, "rpc error: update out of sequence".to_owned()));
            return;
        }
        row["Spec"] = body.clone();
        row["Version"]["Index"] = json!(version.unwrap_or_default() + 1);
        row["UpdateStatus"] = json!({ "State": "completed", "Message": "update completed" });
        config.put("services", rows);
        let mut tasks = config.rows("tasks").to_vec();
        tasks.retain(|task| task["ServiceID"] != of);
        config.put("tasks", tasks);
        add_tasks(config, of, &body);
        outcome = Ok(());
    });
    match outcome {
        Ok(()) => x.json(200, &json!({ "Warnings": null })).await,
        Err((status, message)) => x.error(status, &message).await,
    }
}

pub(super) async fn remove(
    x: &mut Exchange<'_>,
    kind: &'static str,
    of: &str,
) -> io::Result<After> {
    let mut outcome = Err((404, format!("{kind} {of} not found")));
    x.shared.change(|config| {
        let mut rows = config.rows(kind).to_vec();
        let before = rows.len();
        // What a service uses stays.
        let users = config.rows("services").iter().map(Value::to_string);
        let used = users
            .filter(|_| kind != "services")
            .any(|spec| spec.contains(of));
        if used {
            outcome = Err((400, format!("{kind} {of} is in use by a service")));
            return;
        }
        rows.retain(|row| id(kind, row) != of && name(kind, row) != of);
        if rows.len() < before {
            outcome = Ok(());
        }
        config.put(kind, rows);
        if kind == "services" {
            let mut tasks = config.rows("tasks").to_vec();
            tasks.retain(|task| task["ServiceID"] != of);
            config.put("tasks", tasks);
        }
    });
    match outcome {
        Ok(()) => x.reply(204, "", b"").await,
        Err((status, message)) => x.error(status, &message).await,
    }
}
