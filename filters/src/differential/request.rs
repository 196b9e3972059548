//! Compares method, path, query, form and media type.

use std::collections::BTreeMap;

use http::{Method, Uri};
use serde_json::{Value, json};

use super::generate::{Dice, bend, shown};
use super::reader::{Question, bytes, text};
use super::{Outcome, differ};
use crate::endpoint::media::{self, ContentType};
use crate::endpoint::{self, ApiVersion, Endpoint, Match, RequestPath, all, classify, query};

/// The head and the body of a request as it is forwarded.
struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    content_type: Option<Vec<u8>>,
    body: Vec<u8>,
}

const PATHS: [&str; 26] = [
    "/containers/json",
    "/containers/create",
    "/containers/prune",
    "/containers/a/export",
    "/containers/a/b/json",
    "/containers/a/exec",
    "/containers/a/start",
    "/images/create",
    "/images/a/b/json",
    "/images/a/get",
    "/images/get",
    "/images/json/tag",
    "/images/prune",
    "/build",
    "/build/prune",
    "/commit",
    "/exec/a/start",
    "/networks",
    "/networks/",
    "/networks/a/connect",
    "/volumes/create",
    "/services/a/update",
    "/swarm/unlockkey",
    "/plugins/privileges/json",
    "/debug/pprof/heap",
    "/_ping",
];

const VERSIONS: [&str; 14] = [
    "",
    "",
    "",
    "/v1.24",
    "/v1.41",
    "/v1.41",
    "/v1.44",
    "/v1.53",
    "/v1.41.0",
    "/v1.",
    "/v01.041",
    "/V1.41",
    "/v.",
    "/v1.41/v1.41",
];

const METHODS: [&str; 9] = [
    "GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "post",
];

const PAIRS: [&str; 26] = [
    "fromImage=alpine",
    "fromSrc=-",
    "tag=3",
    "remote=http%3A%2F%2Fa%2F",
    "networkmode=host",
    "all=1",
    "filters=%7B%22label%22%3A%5B%22a%22%5D%7D",
    "name=a+b",
    "name=a%20b",
    "name=a%2Bb",
    "q",
    "q=",
    "=1",
    "",
    "dangling=false;all=1",
    "a=%zz&b=1",
    "%66romImage=b",
    "fromImage=%00",
    "tag=%ff",
    "Tag=4",
    "tag=a=b",
    "fromſrc=a",
    "version=2",
    "%76ersion=2",
    "x=%C5%BF",
    "t=%E2%84%AA",
];

const TYPES: [&str; 20] = [
    "application/json",
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/x-tar",
    "application/octet-stream",
    "text/plain",
    "",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-8",
    "Application/X-WWW-Form-Urlencoded",
    "application/x-www-form-urlencoded;;",
    "application/x-www-form-urlencoded ;a",
    "\u{a0}application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded\u{a0}",
    "\u{3000}application/x-www-form-urlencoded",
    "application/json, application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data; boundary=\"x\"",
    "Multipart/Form-Data;boundary=x",
];

const CONTENTS: [&str; 4] = [
    "{}",
    "fromImage=evil&all=true&networkmode=host&remote=x&x=1",
    "--x\r\nContent-Disposition: form-data; name=\"networkmode\"\r\n\r\nhost\r\n--x--\r\n",
    "",
];

fn requests(dice: &mut Dice) -> Request {
    let mut path = format!("{}{}", dice.pick(&VERSIONS), dice.pick(&PATHS)).into_bytes();
    if dice.once_in(2) {
        bend(dice, &mut path, true);
    }
    let mut target = path;
    if !dice.once_in(4) {
        let mut query = dice.list(&PAIRS, 4, "&").into_bytes();
        if dice.once_in(2) {
            bend(dice, &mut query, true);
        }
        target.push(b'?');
        target.extend(query);
    }
    let content_type = (!dice.once_in(4)).then(|| {
        let mut content_type = dice.pick(&TYPES).as_bytes().to_vec();
        if dice.once_in(2) {
            bend(dice, &mut content_type, false);
        }
        content_type
    });
    Request {
        method: dice.pick(&METHODS).as_bytes().to_vec(),
        target,
        content_type,
        body: dice.pick(&CONTENTS).as_bytes().to_vec(),
    }
}

impl Request {
    /// The parts that the agent has read and sends on; `None` if it refuses them.
    fn forwarded(&self) -> Option<(Method, Uri)> {
        let method = Method::from_bytes(&self.method).ok()?;
        let uri = Uri::try_from(self.target.as_slice()).ok()?;
        // Header values have no controls.
        let is_value = |value: &Vec<u8>| http::HeaderValue::from_bytes(value).is_ok();
        let valid = self.content_type.as_ref().is_none_or(is_value);
        valid.then_some((method, uri))
    }

    /// The bytes that the engine gets.
    fn bytes(&self) -> Vec<u8> {
        let target = match self.forwarded() {
            Some((_, uri)) => uri
                .path_and_query()
                .map_or("/", |target| target.as_str())
                .to_owned(),
            None => "/".to_owned(),
        };
        let mut bytes = self.method.clone();
        bytes.extend(format!(" {target} HTTP/1.1\r\nHost: a\r\n").bytes());
        if let Some(content_type) = &self.content_type {
            bytes.extend(b"Content-Type: ");
            bytes.extend(content_type);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes());
        bytes.extend(&self.body);
        bytes
    }
}

/// The routes of engines: a row and one of its patterns.
fn routes() -> Vec<(&'static Endpoint, String)> {
    let mut routes = Vec::new();
    for row in all() {
        if row.is_own() || row.method == endpoint::Method::Preface {
            continue;
        }
        match row.pattern.split_once("{/}") {
            None => routes.push((row, row.pattern.to_owned())),
            Some((before, after)) => {
                routes.push((row, format!("{before}{after}")));
                routes.push((row, format!("{before}/{after}")));
            }
        }
    }
    routes
}

#[test]
fn a_request_is_read_alike() {
    let routes = routes();
    let table: Vec<_> = routes
        .iter()
        .map(|(row, pattern)| [row.method.as_str(), pattern])
        .collect();
    let setup = Question(json!({"Kind": "routes", "Routes": table}));
    let ask = |request: &Request| Question::text("request", &request.bytes());
    differ("requests", Some(setup), requests, ask, |request, go| {
        compare(request, go, &routes)
    });
}

fn compare(request: &Request, go: &Value, routes: &[(&Endpoint, String)]) -> Outcome {
    let Some((method, uri)) = request.forwarded() else {
        return Outcome::Refused;
    };
    let Ok(path) = RequestPath::parse(uri.path()) else {
        return Outcome::Refused;
    };
    if go["Refused"] != "" {
        return Outcome::RefusedByGo;
    }
    let case = shown(&request.bytes());
    let found = classify(method.as_str(), &path);
    let pairs = parameters(uri.query().unwrap_or_default());
    let same = |what: &str, own: Value, other: Value| match Outcome::of(what, &case, &own, &other) {
        Outcome::Differs(how) => Some(how),
        _ => None,
    };
    let go_path = text(&go["Path"]);
    let differs = same("the method", json!(method.as_str()), go["Method"].clone())
        .or_else(|| same("the redirect", json!(false), go["Redirect"].clone()))
        .or_else(|| {
            same(
                "the version and path",
                json!(versioned(&path)),
                json!(split(&go_path)),
            )
        })
        .or_else(|| same("the query", json!(pairs), json!(values(&go["Query"]))))
        .or_else(|| route(&path, found.as_ref(), go, routes).map(|how| format!("{how} of {case}")))
        .or_else(|| match sent(found.as_ref(), request) {
            // No policy judges parameters in a body.
            Sent::Kept(media) => same("the form", json!(pairs), json!(values(&go["Form"])))
                .or_else(|| same("the media type", json!(media), json!(text(&go["Media"])))),
            Sent::Dropped | Sent::Refused => None,
        });
    differs.map_or(Outcome::Alike, Outcome::Differs)
}

/// All values of each parameter.
fn parameters(query: &str) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in query.split('&').filter_map(query::pair) {
        all.entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    for (name, values) in &all {
        assert_eq!(
            &query::all(query, name).collect::<Vec<_>>(),
            values,
            "{query}"
        );
    }
    all
}

fn values(pairs: &Value) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for pair in pairs.as_array().into_iter().flatten() {
        let values = pair["Values"].as_array().into_iter().flatten().map(text);
        all.entry(text(&pair["Name"])).or_default().extend(values);
    }
    all
}

fn versioned(path: &RequestPath<'_>) -> (Option<String>, String) {
    let version = path.version().map(|version| version.to_string());
    (version, path.path().to_owned())
}

/// The version of a path and the rest, as moby's router takes them apart.
fn split(path: &str) -> (Option<String>, String) {
    let rest = path.strip_prefix("/v").unwrap_or_default();
    let (version, rest) = rest
        .split_once('/')
        .map_or((rest, ""), |(version, rest)| (version, rest));
    let is_version =
        !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match version.parse::<ApiVersion>() {
        Ok(version) if is_version => (Some(version.to_string()), format!("/{rest}")),
        _ => (None, path.to_owned()),
    }
}

/// A difference in the route.
fn route(
    path: &RequestPath<'_>,
    found: Option<&Match>,
    go: &Value,
    routes: &[(&Endpoint, String)],
) -> Option<String> {
    // The agent answers these itself.
    if found.is_some_and(|found| found.endpoint.is_own()) {
        return None;
    }
    let own = found.map(|found| (found.endpoint.id, found.object.clone().unwrap_or_default()));
    let matches = go["Matches"].as_array()?;
    let others = matches.iter().map(|found| {
        let row = found["Route"].as_u64().unwrap() as usize;
        let version = found["Version"].as_str().unwrap_or_default();
        let object = String::from_utf8_lossy(&bytes(&found["Object"])).into_owned();
        (routes[row].0.id, object, version.parse::<ApiVersion>().ok())
    });
    let others: Vec<_> = others.collect();
    let alike = match &own {
        None => others.is_empty(),
        Some(_) if found.is_some_and(|f| f.endpoint.method == endpoint::Method::Options) => true,
        Some((id, object)) => others.iter().any(|other| {
            *id == other.0 && (*object == other.1 || !names(found)) && path.version() == other.2
        }),
    };
    (!alike).then(|| format!("the route {own:?}, to Go one of {others:?},"))
}

/// Whether the row's first variable is the name of an object.
fn names(found: Option<&Match>) -> bool {
    found.is_some_and(|found| {
        let pattern = found.endpoint.pattern;
        pattern.contains("{id") || pattern.contains("{name")
    })
}

/// What the agent sends to the engine of a `Content-Type`.
enum Sent {
    /// The request is refused.
    Refused,
    /// Nothing.
    Dropped,
    /// The header, which it reads as this media type; empty if there is none.
    Kept(String),
}

fn sent(found: Option<&Match>, request: &Request) -> Sent {
    let body = found.map(|found| found.endpoint.body);
    let header = request.content_type.as_deref();
    match media::judge(body, !request.body.is_empty(), header.into_iter()) {
        Err(_) => Sent::Refused,
        Ok(ContentType::Drop) => Sent::Dropped,
        Ok(ContentType::KeepFirst) => {
            let media = header.and_then(media::read).unwrap_or_default();
            Sent::Kept(media.to_ascii_lowercase())
        }
    }
}
