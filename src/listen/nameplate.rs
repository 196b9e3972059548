//! What every answer says of who gave it: the node, and, where Portainer
//! servers are let in, the three headers by which they know an agent.

use http::HeaderValue;
use pingora::http::ResponseHeader;

/// The version that Portainer shows for this agent. Its UI calls an agent
/// outdated that is older than the server, and compares nothing else: so it is
/// that of the newest server this was made for.
pub const VERSION: &str = "2.45.0";

/// Says which node gave an answer: its id and hostname.
pub const NODE_HEADER: &str = "Skep-Node";

/// Servers take who sends the first for an agent; by the second a UI uses the
/// `/v2` routes; the third is Docker, with or without a Swarm.
static PORTAINER: [(&str, HeaderValue); 3] = [
    ("Portainer-Agent", HeaderValue::from_static(VERSION)),
    ("Portainer-Agent-API-Version", HeaderValue::from_static("2")),
    ("Portainer-Agent-Platform", HeaderValue::from_static("1")),
];

/// The headers of this node's answers.
#[derive(Clone, Debug)]
pub struct Nameplate {
    node: HeaderValue,
    portainer: bool,
}

impl Nameplate {
    /// For the node that is called `node`; empty if it has no name that a
    /// header can carry.
    pub fn new(node: HeaderValue, portainer: bool) -> Self {
        Self { node, portainer }
    }

    /// Says nothing.
    pub fn none() -> Self {
        Self::new(HeaderValue::from_static(""), false)
    }

    /// Without the node: strangers are not told which it is.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.node = HeaderValue::from_static("");
        self
    }

    /// Says who gave an answer, unless another agent has said it already. Each
    /// header is there once, also if another agent of this kind answered.
    pub fn put_on(&self, head: &mut ResponseHeader) {
        if !self.node.is_empty() && !head.headers.contains_key(NODE_HEADER) {
            // Cannot fail, here and below: names and values are headers already.
            let _ = head.insert_header(NODE_HEADER, self.node.clone());
        }
        if self.portainer {
            for (name, value) in &PORTAINER {
                let _ = head.insert_header(*name, value.clone());
            }
        }
    }

    /// The lines that a head lacks which is passed on as the bytes it was.
    pub fn lines(&self, head: &ResponseHeader) -> Vec<u8> {
        let lacking = self
            .all()
            .filter(|(name, _)| !head.headers.contains_key(*name));
        lacking
            .flat_map(|(name, value)| line(name, value))
            .collect()
    }

    /// Its lines in a head that has none of them.
    pub fn all_lines(&self) -> String {
        let lines: Vec<_> = self
            .all()
            .flat_map(|(name, value)| line(name, value))
            .collect();
        String::from_utf8(lines).unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &HeaderValue)> {
        let node = Some((NODE_HEADER, &self.node)).filter(|(_, node)| !node.is_empty());
        let portainer = PORTAINER.iter().filter(|_| self.portainer);
        node.into_iter()
            .chain(portainer.map(|(name, value)| (*name, value)))
    }
}

fn line(name: &str, value: &HeaderValue) -> Vec<u8> {
    [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn what_another_agent_said_is_there_once() {
        let plate = Nameplate::new(HeaderValue::from_static("id here"), true);
        let mut answered = head(&[("Skep-Node", "id there"), ("Portainer-Agent", "2.45.0")]);
        let lines = String::from_utf8(plate.lines(&answered)).unwrap();
        assert_eq!(
            lines,
            "Portainer-Agent-API-Version: 2\r\nPortainer-Agent-Platform: 1\r\n"
        );
        plate.put_on(&mut answered);
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
    fn without_portainer_only_the_node_is_named() {
        let plate = Nameplate::new(HeaderValue::from_static("id here"), false);
        assert_eq!(plate.lines(&head(&[])), b"Skep-Node: id here\r\n");
        let mut bare = head(&[]);
        plate.anonymous().put_on(&mut bare);
        assert!(bare.headers.is_empty());
    }
}
