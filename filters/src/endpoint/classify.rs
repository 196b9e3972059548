//! Finds the table row of a request.
//!
//! It runs for every request, so rows are bucketed by first segment and the
//! only allocation is the object's name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::path::RequestPath;
use super::{Endpoint, EndpointId, all, pattern};

/// The row of a request, and the object that its path names.
#[derive(Clone, Debug)]
pub struct Match {
    /// The row.
    pub endpoint: &'static Endpoint,
    /// The part of the path at the pattern's first `{id}` or `{name}`, decoded,
    /// perhaps with slashes; `None` if there is no such part or it is empty
    /// (`DELETE /containers/` reaches the engine's handler without a name).
    pub object: Option<String>,
}

/// Rows by the first segment of their pattern, narrow patterns first.
static BUCKETS: LazyLock<HashMap<&'static str, Vec<&'static Endpoint>>> = LazyLock::new(|| {
    let mut buckets: HashMap<_, Vec<_>> = HashMap::new();
    for endpoint in all() {
        for segment in pattern::first_segments(endpoint.pattern) {
            buckets.entry(segment).or_default().push(endpoint);
        }
    }
    // OPTIONS and the HTTP/2 preface have no first segment.
    buckets.remove("");
    for bucket in buckets.values_mut() {
        bucket.sort_by_key(|endpoint| pattern::breadth(endpoint.pattern));
    }
    buckets
});

/// The endpoint that the engine would serve this request with.
///
/// `None` means that no engine of a known version routes it: the engine would
/// answer 404. An engine newer than the table may have the endpoint, so only a
/// caller without any restriction may send such a request.
pub fn classify(method: &str, path: &RequestPath<'_>) -> Option<Match> {
    if method == "OPTIONS" {
        return Some(Match {
            endpoint: EndpointId::Options.endpoint(),
            object: None,
        });
    }
    let bucket = BUCKETS.get(path.segments().next()?)?;
    bucket
        .iter()
        .filter(|endpoint| endpoint.method.covers(method))
        .find_map(|endpoint| {
            let name = pattern::capture(endpoint.pattern, path.path())?;
            Some(Match {
                endpoint,
                object: (!name.is_empty()).then(|| name.to_owned()),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::super::{ApiVersion, Method};
    use super::EndpointId::*;
    use super::*;
    use proptest::prelude::*;

    fn found(method: &str, raw: &str) -> Option<(EndpointId, Option<String>)> {
        let path = RequestPath::parse(raw).unwrap();
        classify(method, &path).map(|m| (m.endpoint.id, m.object))
    }

    /// A method and the path that fills an endpoint's pattern with these names.
    fn example(endpoint: &Endpoint, single: &str, greedy: &str) -> (&'static str, String) {
        let method = match endpoint.method {
            Method::Any => "GET",
            method => method.as_str(),
        };
        let pattern = match endpoint.pattern.split_once("{/") {
            Some((before, rest)) => [before, rest.split_once('}').unwrap().1].concat(),
            None => endpoint.pattern.to_owned(),
        };
        let filled = ["name", "id", "anyroute"]
            .iter()
            .fold(pattern, |path, variable| {
                path.replace(&format!("{{{variable}}}"), single)
                    .replace(&format!("{{{variable}:.*}}"), greedy)
                    .replace(&format!("{{{variable}:.+}}"), greedy)
            })
            .replace("{checkpoint}", "point");
        (method, filled)
    }

    fn with_a_path() -> impl Iterator<Item = &'static Endpoint> {
        all().iter().filter(|e| e.id != Http2Preface)
    }

    #[test]
    fn every_row_is_found_by_its_own_pattern() {
        for endpoint in with_a_path() {
            for (single, greedy) in [
                ("web", "web"),
                ("0a1b", "reg:5000/a/b@sha256:0a"),
                ("json", "a/json"),
            ] {
                let (method, path) = example(endpoint, single, greedy);
                let names = endpoint.pattern.contains("{id") || endpoint.pattern.contains("{name");
                let caught = match pattern::breadth(endpoint.pattern) {
                    _ if !names => None,
                    1 => Some(single.to_owned()),
                    _ => Some(greedy.to_owned()),
                };
                for path in [
                    path.clone(),
                    format!("/v1.41{path}"),
                    format!("/v1.56{path}"),
                ] {
                    assert_eq!(
                        found(method, &path),
                        Some((endpoint.id, caught.clone())),
                        "{method} {path}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_agents_own_rows_match_under_each_prefix() {
        let volume = || Some("vol".to_owned());
        for (request, id, object) in [
            ("GET /ping", PortainerPing, None),
            ("GET /v2/ping", PortainerPing, None),
            ("GET /v1.41/ping", PortainerPing, None),
            ("GET /v1.41/v2/ping", PortainerPing, None),
            ("GET /agents", PortainerAgents, None),
            ("GET /v1/agents", PortainerAgents, None),
            ("GET /v2/agents", PortainerAgents, None),
            ("GET /v1.44/v2/agents", PortainerAgents, None),
            ("GET /v2/host/info", HostInfo, None),
            ("GET /browse/ls", BrowseList, None),
            ("PUT /v2/browse/rename", BrowseRename, None),
            ("POST /v1/browse/vol/put", BrowseVolumePut, volume()),
            ("POST /v1.41/v2/dockerhub", HubLimits, None),
            ("GET /v1/websocket/exec", ConsoleExec, None),
            ("GET /websocket/attach", ConsoleAttach, None),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(found(method, path), Some((id, object)), "{request}");
        }
    }

    /// `/v1/…` and `/v2/…` are the agent's only where no engine could take the
    /// prefix for a version and route what follows.
    #[test]
    fn no_engine_routes_a_path_after_the_agents_prefixes() {
        let (own, engines): (Vec<_>, Vec<_>) = all().iter().partition(|e| e.is_own());
        for segment in super::super::path::PREFIXED {
            let begins = |e: &&&Endpoint| e.pattern.starts_with(&format!("/{segment}"));
            assert_eq!(engines.iter().find(begins).map(|e| e.id), None, "{segment}");
            let after = |e: &&Endpoint| e.pattern.contains(&format!("/{segment}"));
            assert!(own.iter().any(after), "{segment}");
        }
    }

    #[test]
    fn of_two_matching_rows_the_engines_choice_wins() {
        for (request, id, object) in [
            ("GET /images/json", ImageList, None),
            ("GET /images/json/json", ImageInspect, Some("json")),
            ("GET /images/a/b/json", ImageInspect, Some("a/b")),
            ("GET /images/get", ImageGetAll, None),
            ("GET /images/get/get", ImageGet, Some("get")),
            ("GET /images/a/get", ImageGet, Some("a")),
            (
                "GET /images/a/history/attestations",
                ImageAttestations,
                Some("a/history"),
            ),
            (
                "POST /images/reg:5000/a/b/push",
                ImagePush,
                Some("reg:5000/a/b"),
            ),
            ("POST /images/create/tag", ImageTag, Some("create")),
            ("DELETE /images/a/b", ImageDelete, Some("a/b")),
            ("DELETE /images/a/json", ImageDelete, Some("a/json")),
            ("GET /containers/json", ContainerList, None),
            (
                "GET /containers/x/attach/ws",
                ContainerAttachWebsocket,
                Some("x"),
            ),
            (
                "GET /containers/node1/web/json",
                ContainerInspect,
                Some("node1/web"),
            ),
            ("POST /containers/x/exec", ContainerExec, Some("x")),
            (
                "POST /containers/create/start",
                ContainerStart,
                Some("create"),
            ),
            (
                "DELETE /containers/x/checkpoints/c",
                CheckpointDelete,
                Some("x"),
            ),
            (
                "DELETE /containers/a/x/checkpoints/c",
                ContainerDelete,
                Some("a/x/checkpoints/c"),
            ),
            (
                "DELETE /containers/x/checkpoints",
                ContainerDelete,
                Some("x/checkpoints"),
            ),
            ("GET /networks", NetworkList, None),
            ("GET /networks/", NetworkList, None),
            ("GET /networks/create", NetworkInspect, Some("create")),
            ("POST /networks/create", NetworkCreate, None),
            ("POST /networks/a/connect", NetworkConnect, Some("a")),
            ("GET /volumes", VolumeList, None),
            ("GET /volumes/create", VolumeInspect, Some("create")),
            ("GET /plugins/privileges", GetPluginPrivileges, None),
            (
                "GET /plugins/privileges/json",
                PluginInspect,
                Some("privileges"),
            ),
            ("GET /services/create", ServiceInspect, Some("create")),
            ("GET /swarm/unlockkey", SwarmUnlockkey, None),
            ("GET /debug/pprof/", DebugPprofIndex, None),
            ("GET /debug/pprof/trace", DebugPprofTrace, None),
            ("GET /debug/pprof/heap", DebugPprofNamed, Some("heap")),
            ("POST /debug/pprof/profile", DebugPprofProfile, None),
            ("OPTIONS /debug/vars", Options, None),
            ("OPTIONS /containers/json", Options, None),
            ("OPTIONS /nowhere/at/all", Options, None),
            ("OPTIONS /", Options, None),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(
                found(method, path),
                Some((id, object.map(str::to_owned))),
                "{request}"
            );
        }
    }

    #[test]
    fn a_trailing_slash_belongs_to_a_greedy_name_as_in_the_engine() {
        for (request, id, object) in [
            ("DELETE /containers/x/", ContainerDelete, Some("x/")),
            ("DELETE /containers/", ContainerDelete, None),
            ("DELETE /images/a/b/", ImageDelete, Some("a/b/")),
            ("GET /volumes/", VolumeInspect, None),
            ("GET /networks/a/", NetworkInspect, Some("a/")),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(
                found(method, path),
                Some((id, object.map(str::to_owned))),
                "{request}"
            );
        }
    }

    #[test]
    fn a_path_that_the_engine_does_not_route_is_not_found() {
        for request in [
            "GET /",
            "GET /v1.41",
            "GET /containers",
            "GET /containers/",
            "GET /containers/json/",
            "GET /containers/x",
            "HEAD /containers/json",
            "get /containers/json",
            "GET /Containers/json",
            "GET /v1.41/v1.41/info",
            "POST /containers/json",
            "PUT /containers/x/json",
            "PATCH /volumes/x",
            "POST /info",
            "HEAD /version",
            "GET /nodes/",
            "GET /nodes/a/b",
            "GET /services/a/b/logs",
            "POST /secrets/a/b/update",
            "GET /debug/pprof",
            "GET /debug/pprof/a/b",
            "GET /skep/v1/other",
            "GET /v1/ping",
            "GET /dockerhub",
            "POST /dockerhub",
            "POST /ping",
            "POST /browse/ls",
            "GET /browse",
            "GET /v1/browse/ls",
            "GET /v1/browse/a/b/ls",
            "GET /v2/browse/a/ls",
            "PRI /*",
            "POST /containers/x/copy",
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(found(method, path), None, "{request}");
        }
    }

    #[test]
    fn head_is_served_only_where_the_engine_registers_it() {
        let served: Vec<_> = with_a_path()
            .filter(|e| found("HEAD", &example(e, "a", "a").1).is_some())
            .filter(|e| e.method != Method::Any)
            .map(|e| e.pattern)
            .collect();
        let archive = "/containers/{name:.*}/archive";
        assert_eq!(served, [archive, archive, archive, "/_ping", "/_ping"]);
    }

    /// `text` with the letters escaped whose bit in `mask` is set.
    fn escape_letters(text: &str, mask: u64) -> String {
        let escape = |(at, c): (usize, char)| {
            let chosen = c.is_ascii_alphabetic() && mask >> (at % 64) & 1 == 1;
            if chosen {
                format!("%{:02x}", u32::from(c))
            } else {
                c.to_string()
            }
        };
        text.chars().enumerate().map(escape).collect()
    }

    fn any_example() -> impl Strategy<Value = (&'static str, String)> {
        let endpoints: Vec<_> = with_a_path().collect();
        let names = (
            "[a-z0-9_.-]{0,3}[a-z0-9]",
            "[a-z0-9]{1,4}(/[a-z0-9:@_-]{1,6}){0,3}",
        );
        (prop::sample::select(endpoints), names.0, names.1)
            .prop_map(|(endpoint, single, greedy)| example(endpoint, &single, &greedy))
            // The row of any path has those that begin like a version, too.
            .prop_filter("a version", |(_, path)| {
                RequestPath::parse(path).is_ok_and(|path| path.version().is_none())
            })
    }

    proptest! {
        #[test]
        fn a_version_does_not_change_the_endpoint((method, path) in any_example(), minor in 24_u16..100) {
            let versioned = format!("/v{}{path}", ApiVersion::new(1, minor));
            prop_assert!(found(method, &path).is_some());
            prop_assert_eq!(found(method, &versioned), found(method, &path));
        }

        #[test]
        fn an_encoded_spelling_is_the_same_endpoint((method, path) in any_example(), mask in any::<u64>()) {
            prop_assert_eq!(found(method, &escape_letters(&path, mask)), found(method, &path));
        }

        #[test]
        fn classifying_never_panics(method in "[A-Z]{0,8}", raw in "/\\PC*") {
            if let Ok(path) = RequestPath::parse(&raw) {
                let _ = classify(&method, &path);
            }
        }
    }

    #[test]
    fn the_first_letter_encoded_is_still_the_container_list() {
        assert_eq!(
            found("GET", "/%63ontainers/json"),
            Some((ContainerList, None))
        );
        assert_eq!(
            found("GET", "/containers/a/%65xport"),
            Some((ContainerExport, Some("a".into())))
        );
        assert_eq!(
            found("GET", "/images/a%2Fb%2Fget"),
            Some((ImageGet, Some("a/b".into())))
        );
    }
}
