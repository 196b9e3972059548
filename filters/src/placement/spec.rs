//! Parses the notations of a create body: `container:x`, `vol:/data:ro`,
//! `web:alias`.

use super::read::Create;
use super::{MAX_NAMES, Placement};

pub(super) fn names(create: &Create) -> Placement {
    let host = &create.host;
    let modes = [
        &host.network_mode,
        &host.ipc_mode,
        &host.pid_mode,
        &host.uts_mode,
    ];
    let joined = modes
        .into_iter()
        .filter_map(|mode| mode.strip_prefix("container:"));
    let taken_from = host.volumes_from.iter().chain(&host.links);
    let containers = joined.chain(taken_from.map(|spec| before_colon(spec)));

    let networks = std::iter::once(&host.network_mode).chain(&create.endpoints);
    let binds = host.binds.iter().filter_map(|bind| volume_of_bind(bind));
    let mounts = host.mounts.iter().filter(|mount| mount.kind == "volume");

    Placement {
        containers: distinct(containers.map(|name| name.strip_prefix('/').unwrap_or(name))),
        networks: distinct(networks.map(String::as_str).filter(|name| is_placing(name))),
        volumes: distinct(binds.chain(mounts.map(|mount| mount.source.as_str()))),
        image: Some(create.image.clone()).filter(|image| !image.is_empty()),
    }
}

/// Whether a mode names a network that some nodes lack. `container:x` names none,
/// and `nat` is the bridge of Windows.
fn is_placing(mode: &str) -> bool {
    let everywhere = ["default", "bridge", "host", "none", "nat"];
    !everywhere.contains(&mode) && !mode.starts_with("container:")
}

/// The volume of `vol:/data` or `vol:/data:ro`; `None` for a path of the host, for
/// a volume without a name (`/data`), and for a bind that the engine refuses.
fn volume_of_bind(bind: &str) -> Option<&str> {
    let (source, _) = bind.split_once(':')?;
    let is_path = source.starts_with(['/', '\\', '.', '~']);
    // Names of volumes have two characters at least, so `C:\data` has none.
    (!is_path && source.len() > 1).then_some(source)
}

fn before_colon(spec: &str) -> &str {
    spec.split_once(':').map_or(spec, |(name, _)| name)
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        if kept.len() == MAX_NAMES {
            break;
        }
        if !kept.iter().any(|known| known == name) {
            kept.push(name.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `containers | networks | volumes | image`, each separated by spaces.
    fn placed(body: &str) -> String {
        let placement = Placement::of_create(body.as_bytes());
        let image = placement.image.unwrap_or_default();
        let lists = [placement.containers, placement.networks, placement.volumes];
        format!(
            "{} | {image}",
            lists.map(|names| names.join(" ")).join(" | ")
        )
    }

    #[test]
    fn names_are_found_in_every_field_that_has_them() {
        for (body, expected) in [
            (r#"{"Image":"alpine:3"}"#, " |  |  | alpine:3"),
            (
                r#"{"HostConfig":{"NetworkMode":"container:/a"}}"#,
                "a |  |  | ",
            ),
            (
                r#"{"HostConfig":{"IpcMode":"container:i","PidMode":"container:p","UTSMode":"container:u"}}"#,
                "i p u |  |  | ",
            ),
            (
                r#"{"HostConfig":{"IpcMode":"shareable","PidMode":"host","UTSMode":"","NetworkMode":"container:"}}"#,
                " |  |  | ",
            ),
            (
                r#"{"HostConfig":{"VolumesFrom":["a:ro","b"],"Links":["/c:alias","a:x"]}}"#,
                "a b c |  |  | ",
            ),
            (r#"{"HostConfig":{"NetworkMode":"app"}}"#, " | app |  | "),
            (
                r#"{"NetworkingConfig":{"EndpointsConfig":{"app":{},"bridge":null,"App":null}},"HostConfig":{"NetworkMode":"app"}}"#,
                " | app App |  | ",
            ),
            (
                r#"{"HostConfig":{"Binds":["vol:/a:ro","/b:/b","/c","./d:/d","~:/d","C:\\e:C:\\f","\\\\.\\pipe\\x:\\\\.\\pipe\\x",":/g","vol:/h","v2:/i"]}}"#,
                " |  | vol v2 | ",
            ),
            (
                r#"{"HostConfig":{"Mounts":[{"Type":"volume","Source":"m"},{"Type":"volume","Source":""},{"Type":"bind","Source":"/x"},{"Source":"y"},null]}}"#,
                " |  | m | ",
            ),
        ] {
            assert_eq!(placed(body), expected, "{body}");
        }
    }

    #[test]
    fn networks_of_every_node_place_nothing() {
        for mode in ["", "default", "bridge", "host", "none", "nat"] {
            let body = format!(
                r#"{{"HostConfig":{{"NetworkMode":"{mode}"}},"NetworkingConfig":{{"EndpointsConfig":{{"{mode}":{{}}}}}}}}"#
            );
            assert_eq!(placed(&body), " |  |  | ", "{mode}");
        }
    }

    #[test]
    fn fields_are_read_as_the_engine_reads_them() {
        for (body, expected) in [
            (
                r#"{"image":"a","IMAGE":"b","hostCONFIG":{"networkmode":"n"}}"#,
                " | n |  | b",
            ),
            (r#"{"Image":"a","Image":null}"#, " |  |  | a"),
            (r#"{"IMAGE":"a","Image":"b"}"#, " |  |  | b"),
            (
                r#"{"HostConfig":{"NETWORKMODE":"a","NetworkMode":"b"}}"#,
                " | b |  | ",
            ),
            (
                r#"{"HostConfig":{"Links":["a"],"NetworkMode":"n"},"hostconfig":{"links":["b"]}}"#,
                "b | n |  | ",
            ),
            (
                r#"{"HostConfig":{"Links":["a"],"links":null,"NetworkMode":"n"},"HostConfig":null}"#,
                " |  |  | ",
            ),
            (
                r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{}},"endpointsconfig":{"b":{}}}}"#,
                " | a b |  | ",
            ),
            (r#"{"Ho\u017ftConfig":{"Lin\u212as":["a"]}}"#, "a |  |  | "),
        ] {
            assert_eq!(placed(body), expected, "{body}");
        }
    }

    #[test]
    fn a_body_that_the_engine_refuses_places_nothing() {
        for body in [
            "",
            "null",
            "[]",
            "{",
            r#"{"Image":"a"} x"#,
            r#"{"Image":5}"#,
            r#"{"Image":"a","HostConfig":[]}"#,
            r#"{"Image":"a","HostConfig":{"Links":"b"}}"#,
            r#"{"Image":"a","HostConfig":{"Mounts":[5]}}"#,
            r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":[]}}"#,
        ] {
            assert_eq!(
                Placement::of_create(body.as_bytes()),
                Placement::default(),
                "{body}"
            );
        }
    }

    #[test]
    fn names_are_bounded_in_number() {
        let links: Vec<String> = (0..1000).map(|i| format!("\"c{i}:x\"")).collect();
        let body = format!(r#"{{"HostConfig":{{"Links":[{}]}}}}"#, links.join(","));
        let placement = Placement::of_create(body.as_bytes());
        assert_eq!(placement.containers.len(), MAX_NAMES);
        assert_eq!(placement.containers[MAX_NAMES - 1], "c63");
    }

    proptest! {
        #[test]
        fn any_body_is_read(body: Vec<u8>, text in "[{}\\[\\]\",:HostConfigLinks ]{0,40}") {
            let _ = Placement::of_create(&body);
            let _ = Placement::of_create(text.as_bytes());
        }

        #[test]
        fn any_host_config_is_read(value in "[{}\\[\\]\",:a1/ ]{0,12}", key in "(Binds|Links|Mounts|NetworkMode)") {
            let body = format!(r#"{{"Image":"i","HostConfig":{{"{key}":{value}}}}}"#);
            let placement = Placement::of_create(body.as_bytes());
            let names = [&placement.containers, &placement.networks, &placement.volumes];
            prop_assert!(names.into_iter().flatten().all(|name| !name.is_empty()));
        }
    }
}
