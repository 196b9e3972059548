//! A Swarm with three different engines, from three Debian releases, in its own lab.

use std::sync::LazyLock;

use super::cluster::Lab;
use super::command::{Task, task};
use super::faults::BACK;
use super::fixtures::{self, WEBS};
use super::request::{Answer, answer};
use super::wait::eventually;
use super::{lists, nodes};

/// The name of the lab.
pub(crate) const NAME: &str = "mixed";

/// The releases, for nodes 1 to 3. The manager has the oldest.
const SUITES: &str = "bookworm,trixie,forky";

/// The node with the newest engine.
const NEWEST: usize = 3;

/// From this API version on, images have no `VirtualSize`, which shows the version of a request to a node.
const NO_VIRTUAL_SIZE: Api = Api(1, 44);

/// The lab, which the first test that needs it brings up.
static MIXED: LazyLock<Lab> = LazyLock::new(|| {
    let lab = Lab::up_with_engines(NAME, SUITES);
    lab.lab("deploy").within(120).ok();
    lab.all_ready(60);
    fixtures::create(&lab);
    for node in lab.numbers() {
        lab.engine(node)
            .ok(&format!("commit web{node} only:node{node}"));
    }
    lab
});

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Api(u16, u16);

impl Api {
    fn parse(text: &str) -> Self {
        let (major, minor) = text.split_once('.').expect("a version");
        let number = |digits: &str| digits.parse().expect("a number");
        Self(number(major), number(minor))
    }

    /// The path prefix of this version.
    fn prefix(self) -> String {
        format!("/v{self}")
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The minimum and the maximum version that an engine serves.
type Range = (Api, Api);

/// The ranges of nodes 1 to 3, from an agent.
fn ranges(lab: &Lab) -> Vec<Range> {
    let mut nodes = lab.nodes(1);
    nodes.sort_by_key(|node| node.hostname.clone());
    let range = |api: &str| {
        let (min, max) = api.split_once('-').expect("a range");
        (Api::parse(min), Api::parse(max))
    };
    nodes.iter().map(|node| range(&node.api)).collect()
}

/// The largest minimum and the smallest maximum. If the minimum is larger, no version is common to all.
fn common(ranges: &[Range]) -> Range {
    let min = ranges.iter().map(|&(min, _)| min).max();
    let max = ranges.iter().map(|&(_, max)| max).min();
    (min.expect("a node"), max.expect("a node"))
}

/// Versions of a client: none, one that all nodes serve, one that the oldest lacks, and one that only the newest serves.
fn versions(ranges: &[Range]) -> [Option<Api>; 4] {
    let max = |node: usize| ranges[node - 1].1;
    let versions = [common(ranges).1, max(2), max(NEWEST)];
    assert!(versions.is_sorted_by(|a, b| a < b), "{ranges:?}");
    [
        None,
        Some(versions[0]),
        Some(versions[1]),
        Some(versions[2]),
    ]
}

fn get(lab: &Lab, entry: usize, path: &str) -> Answer {
    lab.get_through(&lab.docker(entry).socket(), path, &[])
}

fn head(lab: &Lab, entry: usize, path: &str) -> Answer {
    let curl = task("curl", "--head --unix-socket").arg(lab.docker(entry).socket());
    answer(curl, "HEAD", &format!("http://docker{path}"), &[])
}

/// Asserts that the four lists in this version have the objects of all nodes, and that each node got the nearest version
/// that it serves. Without a version it gets the newest common one, or else its own newest.
fn assert_lists_are_complete(lab: &Lab, entry: usize, ranges: &[Range], version: Option<Api>) {
    let prefix = version.map(Api::prefix).unwrap_or_default();
    let get = |path: &str| {
        let answer = get(lab, entry, &format!("{prefix}{path}"));
        let whole = (answer.status, answer.header("skep-missing"));
        assert_eq!(whole, (200, ""), "node{entry} {prefix}{path}: {answer:?}");
        answer
    };
    let containers = get("/containers/json?all=1").body;
    for web in WEBS {
        let name = format!("\"/{web}\"");
        assert!(containers.contains(&name), "{name}: {containers}");
    }
    let (min, max) = common(ranges);
    let shared = (min <= max).then_some(max);
    let images = get("/images/json").list();
    for (node, &(min, max)) in lab.numbers().zip(ranges) {
        let tag = format!("only:node{node}");
        let image = images.iter().find(|image| image["RepoTags"][0] == *tag);
        let image = image.unwrap_or_else(|| panic!("there is no {tag}: {images:?}"));
        let asked = version.or(shared).map_or(max, |v| v.clamp(min, max));
        // Clients of versions that have it get it from every engine.
        let has_virtual_size = image.get("VirtualSize").is_some();
        assert_eq!(
            has_virtual_size,
            asked.min(version.unwrap_or(asked)) < NO_VIRTUAL_SIZE,
            "node{node}, asked for {version:?}, serves {asked}: {image}"
        );
    }
    let count = |list: &serde_json::Value, name: &str| {
        let list = list.as_array().expect("a list");
        list.iter()
            .filter(|element| element["Name"] == name)
            .count()
    };
    assert_eq!(count(&get("/volumes").json()["Volumes"], "data"), 2);
    let networks = get("/networks").json();
    assert_eq!(
        (count(&networks, "bridge"), count(&networks, "skep_agents")),
        (3, 1)
    );
}

pub(crate) fn every_agent_finds_three_engines_and_their_api_ranges(_: &Lab) {
    let lab = &*MIXED;
    nodes::every_agent_is_healthy(lab);
    nodes::every_agent_finds_all_nodes_with_role_engine_and_api(lab);
    let mut engines: Vec<_> = lab.nodes(1).into_iter().map(|node| node.engine).collect();
    engines.sort();
    engines.dedup();
    assert_eq!(engines.len(), 3, "{engines:?}");
}

pub(crate) fn list_commands_show_all_nodes(_: &Lab) {
    let lab = &*MIXED;
    lists::ps_shows_the_containers_of_all_nodes(lab);
    lists::filters_apply_to_all_nodes(lab);
    lists::an_image_on_all_nodes_is_one_row_that_names_them(lab);
    lists::volumes_with_the_same_name_on_two_nodes_are_two_rows(lab);
    lists::an_overlay_is_one_row_and_a_bridge_one_row_per_node(lab);
}

pub(crate) fn lists_in_any_version_use_the_nearest_version_of_each_node(_: &Lab) {
    let lab = &*MIXED;
    let ranges = ranges(lab);
    for entry in lab.numbers() {
        for version in versions(&ranges) {
            assert_lists_are_complete(lab, entry, &ranges, version);
        }
    }
}

/// An `exec` into the container of each node succeeds with this docker CLI.
fn exec_works(lab: &Lab, docker: impl Fn() -> Task) {
    for node in lab.numbers() {
        let exec = docker().arg_each("exec -i").arg(format!("web{node}"));
        let done = exec
            .arg_each("sh -c")
            .arg("cat; hostname; exit 7")
            .input("in ")
            .run();
        let id = lab
            .engine(node)
            .ok(&format!("ps -q --filter name=web{node}"));
        assert_eq!(
            (done.code, done.text()),
            (7, format!("in {id}\n")),
            "{done}"
        );
    }
}

pub(crate) fn exec_works_on_every_node_through_every_agent(_: &Lab) {
    let lab = &*MIXED;
    for entry in lab.numbers() {
        exec_works(lab, || lab.docker(entry).cmd(""));
    }
}

/// The CLI of the newest engine uses its own version unless it negotiates another.
pub(crate) fn a_new_client_negotiates_a_version_that_every_node_serves(_: &Lab) {
    let lab = &*MIXED;
    let (_, newest) = common(&ranges(lab));
    for entry in lab.numbers() {
        let socket = format!("unix://{}", lab.docker(entry).socket());
        let docker = || {
            lab.lab(&format!("exec {NEWEST} docker --host"))
                .arg(&socket)
        };
        let version = docker().arg_each("version --format {{.Client.APIVersion}}");
        assert_eq!(Api::parse(&version.ok()), newest, "node{entry}");
        exec_works(lab, docker);
    }
}

/// Clients that do not negotiate: the oldest node's CLI in an old version, and the newest node's in its own.
pub(crate) fn clients_of_any_version_work_on_every_node_through_every_agent(_: &Lab) {
    let lab = &*MIXED;
    let newest = ranges(lab)[NEWEST - 1].1;
    for entry in lab.numbers() {
        let socket = format!("unix://{}", lab.docker(entry).socket());
        for (client, version) in [(1, Api(1, 30)), (NEWEST, newest)] {
            let docker = || {
                let docker = lab.lab(&format!("exec {client} env DOCKER_API_VERSION={version}"));
                docker.arg_each("docker --host").arg(&socket)
            };
            exec_works(lab, docker);
            let ps = docker().arg_each("ps --format {{.Names}}").ok();
            for node in lab.numbers() {
                let web = format!("web{node}");
                assert!(
                    ps.lines().any(|name| name == web),
                    "node{entry} {version}: {ps}"
                );
                let inspect = docker()
                    .arg_each("inspect --format {{.Name}}")
                    .arg(&web)
                    .ok();
                assert_eq!(inspect, format!("/{web}"), "node{entry} {version}");
                docker().arg_each("logs").arg(&web).ok();
            }
            for list in [
                "node ls -q",
                "service ls -q",
                "images -q",
                "volume ls -q",
                "network ls -q",
            ] {
                let listed = docker().arg_each(list).ok();
                assert!(!listed.is_empty(), "node{entry} {version}: {list}");
            }
        }
    }
}

pub(crate) fn ping_and_version_announce_the_versions_that_every_node_serves(_: &Lab) {
    let lab = &*MIXED;
    let (min, max) = common(&ranges(lab));
    for entry in lab.numbers() {
        for prefix in [String::new(), max.prefix()] {
            let ping = format!("{prefix}/_ping");
            let announced = |answer: &Answer| {
                let found = (answer.status, answer.header("api-version").to_owned());
                assert_eq!(found, (200, max.to_string()), "node{entry}: {answer:?}");
            };
            let answer = get(lab, entry, &ping);
            announced(&answer);
            assert_eq!(answer.body, "OK");
            announced(&head(lab, entry, &ping));

            let answer = get(lab, entry, &format!("{prefix}/version"));
            announced(&answer);
            let version = answer.json();
            let components = version["Components"].as_array().expect("a list");
            let engine = components.iter().find(|part| part["Name"] == "Engine");
            for place in [&version, &engine.expect("an engine")["Details"]] {
                let range = (&place["MinAPIVersion"], &place["ApiVersion"]);
                let expected = (&*min.to_string(), &*max.to_string());
                assert_eq!(range, (&expected.0.into(), &expected.1.into()), "{place}");
            }
            // The rest comes from the engine.
            let own = lab.engine(entry).ok("version --format {{.Server.Version}}");
            assert_eq!(version["Version"], own.as_str());
        }
    }
}

/// As between 20.10, which serves up to 1.41, and 29.0, which serves nothing below 1.44. The engine keeps this range,
/// because this is the last test.
pub(crate) fn lists_are_complete_even_without_a_common_version(_: &Lab) {
    let lab = &*MIXED;
    let floor = NO_VIRTUAL_SIZE;
    // Otherwise the engine waits 10 s for it to exit.
    let web = format!("web{NEWEST}");
    lab.engine(NEWEST).ok(&format!("kill {web}"));
    lab.lab(&format!("fault {NEWEST} restart"))
        .env("DOCKER_MIN_API_VERSION", floor.to_string())
        .ok();
    lab.all_ready(BACK);
    eventually(20, "every agent knows the new range", || {
        let api = |entry| lab.node(entry, &format!("node{NEWEST}")).api;
        let knows = |entry| api(entry).starts_with(&format!("{floor}-"));
        let all = lab.numbers().all(knows);
        all.then_some(())
            .ok_or_else(|| format!("{:?}", lab.nodes(1)))
    });
    let ranges = ranges(lab);
    let (min, max) = common(&ranges);
    assert!(min > max, "{ranges:?}");
    for entry in lab.numbers() {
        for version in versions(&ranges) {
            assert_lists_are_complete(lab, entry, &ranges, version);
        }
        // A call for one node is answered in the nearest version that it serves.
        let newest = ranges[NEWEST - 1].1;
        for (node, asked, sent) in [
            (NEWEST, max, floor.to_string()),
            (1, newest, ranges[0].1.to_string()),
            (NEWEST, floor, String::new()),
            (1, max, String::new()),
        ] {
            let path = format!("{}/containers/web{node}/json", asked.prefix());
            let found = get(lab, entry, &path);
            let answer = (found.status, found.header("skep-api-version"));
            assert_eq!(answer, (200, &*sent), "{path}: {found:?}");
        }
    }
}
