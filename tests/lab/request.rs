//! Single requests, signed by `skep sign` and sent by curl, for details that the docker CLI does not show: headers,
//! status codes, exact bodies.

use serde_json::Value;

use super::cluster::Lab;
use super::command::{Task, task};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Lab {
    /// The header lines that make a request to the agent of `entry` valid.
    #[track_caller]
    pub(crate) fn signed(
        &self,
        entry: usize,
        method: &str,
        path: &str,
        target: Option<&str>,
    ) -> Vec<String> {
        let url = format!("{}{path}", self.url(entry));
        let mut sign = self.skep("sign").arg(method).arg(url);
        if let Some(target) = target {
            sign = sign.arg("--target").arg(target);
        }
        sign.ok().lines().map(str::to_owned).collect()
    }

    /// One request to the agent of `entry` with these headers.
    #[track_caller]
    pub(crate) fn send(
        &self,
        entry: usize,
        method: &str,
        path: &str,
        headers: &[String],
    ) -> Answer {
        let curl = task("curl", "--cacert").arg(self.ca());
        answer(curl, method, &format!("{}{path}", self.url(entry)), headers)
    }

    /// A signed `GET`.
    #[track_caller]
    pub(crate) fn get(&self, entry: usize, path: &str) -> Answer {
        let headers = self.signed(entry, "GET", path, None);
        self.send(entry, "GET", path, &headers)
    }

    /// A list of the containers by the agent of `entry`, with its head.
    pub(crate) fn list_head(&self, entry: usize) -> Task {
        let path = "/containers/json";
        let curl = task("curl", "--cacert").arg(self.ca()).arg("-sSi");
        let headers = self.signed(entry, "GET", path, None).into_iter();
        let curl = headers.fold(curl, |curl, header| curl.arg("-H").arg(header));
        curl.arg(format!("{}{path}", self.url(entry)))
    }

    /// A `GET` through `skep connect`, which signs all headers.
    #[track_caller]
    pub(crate) fn get_through(&self, socket: &str, path: &str, headers: &[&str]) -> Answer {
        let headers: Vec<_> = headers.iter().map(|&h| h.to_owned()).collect();
        let curl = task("curl", "--unix-socket").arg(socket);
        answer(curl, "GET", &format!("http://docker{path}"), &headers)
    }
}

/// The answer that `curl` gets for this request.
#[track_caller]
pub(crate) fn answer(curl: Task, method: &str, url: &str, headers: &[String]) -> Answer {
    let mut curl = curl.arg("-sS").arg("-i").arg("-X").arg(method);
    for header in headers {
        curl = curl.arg("-H").arg(header);
    }
    let output = curl.arg(url).ok();
    let (head, body) = output.split_once("\r\n\r\n").unwrap_or((&output, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.unwrap_or_else(|| panic!("{url} did not answer with HTTP: {output}")),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

impl Answer {
    /// The value of a header, empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The elements of a list.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        match self.json() {
            Value::Array(elements) => elements,
            other => panic!("this is not a list: {other}"),
        }
    }

    /// Docker's `message` of a refusal.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}
