//! `GET /events`: the requested past, then published events and the ticks of the
//! engine's own clock. It applies only the filter `scope`; the log of requests
//! shows the others.

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::time::{sleep, sleep_until};

use super::exchange::{After, Exchange};

/// The events that a client requests.
struct Selection {
    /// In nanoseconds since 1970, as engines compare them.
    since: Option<i128>,
    until: Option<i128>,
    scopes: Vec<String>,
}

pub(super) async fn events(x: &mut Exchange<'_>) -> io::Result<After> {
    let wanted = match Selection::of(x) {
        Ok(wanted) => wanted,
        Err(why) => return x.error(400, &why).await,
    };
    x.drain().await?;
    let (config, mut published) = x.shared.listen();
    x.config = config;
    x.start("application/json").await?;
    for event in x.config.rows("events").to_vec() {
        if wanted.past(&event) {
            send(x, &event).await?;
        }
    }
    let left = wanted.until.map(|until| until - now());
    match left.map(u64::try_from) {
        Some(Err(_)) => return x.finish().await,
        Some(Ok(nanos)) => {
            let end = tokio::time::Instant::now() + Duration::from_nanos(nanos);
            tokio::select! {
                gone = live(x, &wanted, &mut published) => return gone,
                () = sleep_until(end) => {}
            }
            x.finish().await
        }
        None => live(x, &wanted, &mut published).await,
    }
}

/// Sends events until the client leaves.
async fn live(
    x: &mut Exchange<'_>,
    wanted: &Selection,
    published: &mut Receiver<Value>,
) -> io::Result<After> {
    let mut ticks = 0;
    loop {
        let event = tokio::select! {
            event = published.recv() => match event {
                Ok(event) => event,
                Err(_) => pending().await,
            },
            () = sleep(x.config.interval) => {
                ticks += 1;
                tick(&x.config.name, ticks - 1)
            }
            () = x.link.ended() => {
                x.ticket.note(|seen| seen.client_closed = true);
                return Ok(After::Close);
            }
        };
        if wanted.scope(&event) {
            send(x, &event).await?;
        }
    }
}

async fn send(x: &mut Exchange<'_>, event: &Value) -> io::Result<()> {
    x.chunk(format!("{event}\n").as_bytes()).await
}

fn tick(node: &str, n: u64) -> Value {
    let actor = json!({ "ID": node, "Attributes": { "n": n.to_string() } });
    let (time, nanos) = (1_700_000_000 + n, (1_700_000_000 + n) * 1_000_000_000);
    json!({
        "Type": "container", "Action": "tick", "Actor": actor,
        "scope": "local", "time": time, "timeNano": nanos,
    })
}

impl Selection {
    fn of(x: &Exchange<'_>) -> Result<Self, String> {
        let time = |name| match x.param(name) {
            None | Some("") => Ok(None),
            Some(text) => nanos(text).map(Some),
        };
        let (since, until) = (time("since")?, time("until")?);
        if until.is_some_and(|until| since.is_some_and(|since| until < since)) {
            return Err("`since` time cannot be after `until` time".to_owned());
        }
        let filters = decoded(x.param("filters").unwrap_or_default());
        Ok(Self {
            since,
            until,
            scopes: scopes(&filters).ok_or("invalid filter")?,
        })
    }

    /// moby sends past events only for a request with a time.
    fn past(&self, event: &Value) -> bool {
        let time = event["timeNano"].as_i64().map_or(0, i128::from);
        (self.since.is_some() || self.until.is_some())
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && self.scope(event)
    }

    fn scope(&self, event: &Value) -> bool {
        let scope = event["scope"].as_str().unwrap_or("local");
        self.scopes.is_empty() || self.scopes.iter().any(|s| s == scope)
    }
}

/// `seconds[.fraction]`, exactly.
fn nanos(text: &str) -> Result<i128, String> {
    let invalid = || format!("failed to parse value as time or duration: {text:?}");
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| invalid())?;
    let fraction: u32 = format!("{fraction:0<9.9}").parse().map_err(|_| invalid())?;
    Ok(i128::from(seconds) * 1_000_000_000 + i128::from(fraction))
}

/// The values of `scope`, in either of the two forms of filters; `None` if the
/// filters are invalid.
fn scopes(filters: &str) -> Option<Vec<String>> {
    if filters.is_empty() {
        return Some(Vec::new());
    }
    let filters: Value = serde_json::from_str(filters).ok()?;
    let values = match filters.as_object()?.get("scope") {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        Some(Value::Object(values)) => values.keys().map(String::as_str).collect(),
        Some(_) => return None,
    };
    Some(values.into_iter().map(str::to_owned).collect())
}

/// A query parameter without its percent encoding.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (rest, bytes) = match (first, byte) {
            (b'%', Some(byte)) => (&tail[2..], [bytes, vec![byte]].concat()),
            (b'+', _) => (tail, [bytes, vec![b' ']].concat()),
            (other, _) => (tail, [bytes, vec![*other]].concat()),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test bed does not know the agent"
)]
fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i128)
}
