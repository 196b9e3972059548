//! Adds headers to every answer: the node, the request's id, and, if configured,
//! those by which other programs recognise an agent.

use http::HeaderValue;
use pingora::http::ResponseHeader;
use skep_filters::auth::profile::SKEP_REQUEST_ID;

/// Names the node that answered: its id and hostname.
pub(crate) const NODE_HEADER: &str = "Skep-Node";

/// The request's id in the logs.
pub(crate) const REQUEST_ID_HEADER: &str = "Skep-Request-Id";

/// The API versions in which engines answered, if they are not the one of the request.
pub(crate) const API_VERSION_HEADER: &str = "Skep-Api-Version";

/// Headers by which other programs recognise the agent.
pub(crate) type AgentHeaders = &'static [(&'static str, HeaderValue)];

/// The headers of this node's answers.
#[derive(Clone, Debug)]
pub(crate) struct ServerHeaders {
    node: HeaderValue,
    agent: AgentHeaders,
    request_id: Option<HeaderValue>,
    api_versions: Option<HeaderValue>,
    is_http_1_0: bool,
}

impl ServerHeaders {
    /// Headers of the node `node`; empty if a header cannot have its name.
    pub(crate) fn new(node: HeaderValue, agent: AgentHeaders) -> Self {
        Self {
            node,
            agent,
            request_id: None,
            api_versions: None,
            is_http_1_0: false,
        }
    }

    /// No headers.
    pub(crate) fn none() -> Self {
        Self::new(HeaderValue::from_static(""), &[])
    }

    /// Adds the id of the request.
    #[must_use]
    pub(crate) fn with_request_id(mut self, id: HeaderValue) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Adds the API versions of the answer; `None` leaves those of another agent.
    #[must_use]
    pub(crate) fn with_api_versions(mut self, versions: Option<HeaderValue>) -> Self {
        self.api_versions = versions;
        self
    }

    /// Leaves out the chunks, which clients of HTTP/1.0 cannot read.
    #[must_use]
    pub(crate) fn for_http_1_0(mut self, is_http_1_0: bool) -> Self {
        self.is_http_1_0 = is_http_1_0;
        self
    }

    /// Removes the node, which unauthenticated clients do not learn.
    #[must_use]
    pub(crate) fn anonymous(mut self) -> Self {
        self.node = HeaderValue::from_static("");
        self
    }

    /// Adds the headers to an answer. The node that another agent has named stays;
    /// all other headers replace those of the answer, so that each occurs once.
    pub(crate) fn apply(&self, head: &mut ResponseHeader) {
        if !self.node.is_empty() && !head.headers.contains_key(NODE_HEADER) {
            // Here and below it cannot fail: name and value are valid.
            let _ = head.insert_header(NODE_HEADER, self.node.clone());
        }
        if let Some(id) = &self.request_id {
            let _ = head.insert_header(REQUEST_ID_HEADER, id.clone());
        }
        if let Some(versions) = &self.api_versions {
            let _ = head.insert_header(API_VERSION_HEADER, versions.clone());
        }
        if self.is_http_1_0 {
            head.remove_header("transfer-encoding");
        }
        for (name, value) in self.agent {
            let _ = head.insert_header(*name, value.clone());
        }
    }

    /// The lines that a head lacks, for a head that is relayed as raw bytes.
    pub(crate) fn lines(&self, head: &ResponseHeader) -> Vec<u8> {
        let lacking = self
            .all()
            .filter(|(name, _)| !head.headers.contains_key(*name));
        lacking
            .flat_map(|(name, value)| line(name, value))
            .collect()
    }

    /// Adds the missing lines to the head `raw`, which is relayed as it came; `head`
    /// is the same, parsed. Only a request id is replaced: by the one of this node's
    /// log.
    pub(crate) fn put_on_raw(&self, raw: &[u8], head: &ResponseHeader) -> Vec<u8> {
        let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
        let Some(id) = &self.request_id else {
            return [raw, &self.lines(head), b"\r\n"].concat();
        };
        let kept = raw
            .split_inclusive(|b| *b == b'\n')
            .filter(|line| !is_request_id(line));
        let mut whole: Vec<u8> = kept.flatten().copied().collect();
        whole.extend(self.lines(head));
        if head.headers.contains_key(SKEP_REQUEST_ID) {
            whole.extend(line(REQUEST_ID_HEADER, id));
        }
        whole.extend(b"\r\n");
        whole
    }

    /// All lines, for a head that has none of them.
    pub(crate) fn all_lines(&self) -> String {
        let lines: Vec<_> = self
            .all()
            .flat_map(|(name, value)| line(name, value))
            .collect();
        String::from_utf8(lines).unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &HeaderValue)> {
        let node = Some((NODE_HEADER, &self.node)).filter(|(_, node)| !node.is_empty());
        let id = self.request_id.as_ref();
        let versions = self.api_versions.as_ref();
        node.into_iter()
            .chain(id.map(|id| (REQUEST_ID_HEADER, id)))
            .chain(versions.map(|versions| (API_VERSION_HEADER, versions)))
            .chain(self.agent.iter().map(|(name, value)| (*name, value)))
    }
}

/// Whether a line of a head has the request's id.
fn is_request_id(line: &[u8]) -> bool {
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    name.trim_ascii()
        .eq_ignore_ascii_case(SKEP_REQUEST_ID.as_str().as_bytes())
}

fn line(name: &str, value: &HeaderValue) -> Vec<u8> {
    [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    static AGENT: [(&str, HeaderValue); 3] = [
        ("Portainer-Agent", HeaderValue::from_static("2.45.0")),
        ("Portainer-Agent-API-Version", HeaderValue::from_static("2")),
        ("Portainer-Agent-Platform", HeaderValue::from_static("1")),
    ];

    fn head(headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn a_header_that_another_agent_sent_occurs_once() {
        let server_headers = ServerHeaders::new(HeaderValue::from_static("id here"), &AGENT);
        let mut answered = head(&[("Skep-Node", "id there"), ("Portainer-Agent", "2.45.0")]);
        let lines = String::from_utf8(server_headers.lines(&answered)).unwrap();
        assert_eq!(
            lines,
            "Portainer-Agent-API-Version: 2\r\nPortainer-Agent-Platform: 1\r\n"
        );
        server_headers.apply(&mut answered);
        let names = [
            "skep-node",
            "portainer-agent",
            "portainer-agent-api-version",
        ];
        for name in names.into_iter().chain(["portainer-agent-platform"]) {
            assert_eq!(answered.headers.get_all(name).iter().count(), 1, "{name}");
        }
        assert_eq!(answered.headers["skep-node"], "id there");
    }

    #[test]
    fn the_id_of_this_node_s_log_replaces_all_others() {
        let none = ServerHeaders::none();
        let server_headers = none
            .clone()
            .with_request_id(HeaderValue::from_static("here"));
        let mut answered = head(&[("Skep-Request-Id", "a"), ("Skep-Request-Id", "b")]);
        let raw =
            b"HTTP/1.1 101 UPGRADED\r\nskep-request-id: a\r\nX: 1\r\nSKEP-Request-Id: b\r\n\r\n";
        let put = server_headers.put_on_raw(raw, &answered);
        let expected = "HTTP/1.1 101 UPGRADED\r\nX: 1\r\nSkep-Request-Id: here\r\n\r\n";
        assert_eq!(String::from_utf8(put).unwrap(), expected);
        assert_eq!(none.put_on_raw(raw, &answered), raw);
        server_headers.apply(&mut answered);
        let all: Vec<_> = answered.headers.get_all("skep-request-id").iter().collect();
        assert_eq!(all, ["here"]);

        let raw = b"HTTP/1.1 101 UPGRADED\r\nX: 1\r\n\r\n";
        let put = server_headers.put_on_raw(raw, &head(&[]));
        assert_eq!(String::from_utf8(put).unwrap(), expected);
    }

    #[test]
    fn without_portainer_only_the_node_is_named() {
        let server_headers = ServerHeaders::new(HeaderValue::from_static("id here"), &[]);
        assert_eq!(server_headers.lines(&head(&[])), b"Skep-Node: id here\r\n");
        let mut bare = head(&[]);
        server_headers.anonymous().apply(&mut bare);
        assert!(bare.headers.is_empty());
    }
}
