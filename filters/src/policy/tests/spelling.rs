//! Tests that a denied request stays denied in every spelling.

use super::*;
use crate::endpoint::all;
use crate::fuzz::{body, request, rewrite};
use proptest::collection::vec;
use proptest::prelude::*;

/// Requests denied by a policy that allows the rest.
const PATHS: &[&str] = &[
    "GET /containers/web/export",
    "GET /containers/web/archive",
    "POST /containers/web/exec",
    "POST /exec/abc/start",
    "GET /images/a/b/get",
    "GET /images/get",
    "GET /secrets",
    "POST /secrets/create",
    "GET /swarm/unlockkey",
    "POST /images/create",
    "DELETE /volumes/data",
];

fn guarded() -> RuleSet {
    RuleSet::new(&Spec {
        deny: [
            "GET /containers/*/export",
            "containers.archive",
            "POST /containers/*/exec",
            "POST /exec/*/start",
            "GET /images/*/get",
            "GET /images/get",
            "* /secrets/**",
            "swarm.tokens",
            "images.pull",
            "images.write",
            "DELETE /volumes/*",
        ]
        .map(str::to_owned)
        .into(),
        ..Spec::allowing(["*"])
    })
    .unwrap()
}

/// Bodies of a create that are denied, with nothing else in them.
const BODIES: &[&[&str]] = &[
    &["HostConfig", "Privileged", "true"],
    &["HostConfig", "PidMode", "\"host\""],
    &["HostConfig", "NetworkMode", "\"host\""],
    &["HostConfig", "Binds", "[\"/etc:/x\"]"],
    &["HostConfig", "CapAdd", "[\"SYS_ADMIN\"]"],
    &["HostConfig", "Devices", "[{\"PathOnHost\":\"/dev/sda\"}]"],
    &["HostConfig", "SecurityOpt", "[\"seccomp=unconfined\"]"],
    &[
        "HostConfig",
        "Mounts",
        "[{\"Type\":\"bind\",\"Source\":\"/\"}]",
    ],
    &["HostConfig", "Sysctls", "{\"kernel.x\":\"1\"}"],
    &["HostConfig", "MaskedPaths", "[]"],
    &["Privileged", "true"],
];

/// The spelling of a character of a name or a path.
fn spelled(char: char, how: u8, json: bool) -> String {
    match (how % 4, json) {
        (1, _) if json => char.to_ascii_uppercase().to_string(),
        (2, _) if json => char.to_ascii_lowercase().to_string(),
        (3, true) => format!("\\u{:04x}", u32::from(char)),
        (3, false) => format!("%{:02X}", u32::from(char)),
        (2, false) => format!("%{:02x}", u32::from(char)),
        _ => char.to_string(),
    }
}

fn respelled(text: &str, how: &[u8], json: bool) -> String {
    let how = how.iter().copied().chain(std::iter::repeat(0));
    text.chars()
        .zip(how)
        .map(|(c, how)| spelled(c, how, json))
        .collect()
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_denied_path_is_denied_in_every_spelling(
        which in 0..PATHS.len(),
        how in vec(any::<u8>(), 0..40),
        version in "(/v1\\.[2-5][0-9]|/v1\\.41\\.0|/v1\\.41\\.|/V1\\.41|/v01\\.041|)",
        slash in proptest::option::of(0_usize..6),
        tail in "(/|\\?|\\?x=%2F|\\?tag=1;x|)",
        method in 0..3,
    ) {
        let (verb, path) = PATHS[which].split_once(' ').unwrap();
        let mut target = respelled(path, &how, false);
        if let Some(nth) = slash
            && let Some((at, _)) = target.match_indices('/').nth(nth)
        {
            target.insert(at, '/');
        }
        let verb = match method {
            1 => verb.to_ascii_lowercase(),
            _ => verb.to_owned(),
        };
        let request = format!("{verb} {version}{target}{tail}");
        // One more slash makes another name or no route. The policy may allow the
        // result only if the engine takes it for another endpoint.
        let outcome = judged(&guarded(), &request, "");
        prop_assert!(outcome.is_err(), "{request}: {outcome:?}");
    }

    #[test]
    fn a_denied_body_is_denied_in_every_spelling(
        which in 0..BODIES.len(),
        how in vec(any::<u8>(), 0..24),
        spaces in vec(space(), 4),
        before in "(|\"Image\":\"a\",|\"HostConfig\":null,|\"hostconfig\":\\{\\},|\"X\":\\{\"y\":\\[\\]\\},)",
        after in "(|,\"HostConfig\":null|,\"privileged\":false|,\"HOSTCONFIG\":\\{\\}|,\"z\":1)",
        twice in "(|,\"Privileged\":false|,\"BINDS\":null|,\"a\":0)",
    ) {
        let mut body = match BODIES[which] {
            [outer, name, value] => {
                let name = respelled(name, &how, true);
                let outer = respelled(outer, how.get(3..).unwrap_or_default(), true);
                format!("\"{outer}\"{}:{{\"{name}\":{}{value}{twice}}}", spaces[0], spaces[1])
            }
            [name, value] => format!("\"{}\":{}{value}", respelled(name, &how, true), spaces[0]),
            _ => unreachable!(),
        };
        body = format!("{}{{{before}{body}{after}}}{}", spaces[2], spaces[3]);
        let outcome = judged(&plain(), CREATE, &body);
        prop_assert!(outcome.is_err(), "{body}");
    }

    #[test]
    fn a_path_of_the_host_is_denied_in_every_spelling(
        parts in vec("(\\.|\\.\\.|etc|srv|srvx|)", 0..6),
        options in "(|:ro|:rw|:z)",
    ) {
        let rules = with(May { binds: vec!["/srv/data".into()], ..May::default() }, Must::default());
        let path = format!("/{}", parts.join("/"));
        let binds = host(&format!(r#""Binds":["{path}:/x{options}"]"#));
        prop_assert!(judged(&rules, CREATE, &binds).is_err(), "{path}");
        let mounts = host(&format!(r#""Mounts":[{{"Type":"bind","Source":"{path}"}}]"#));
        prop_assert!(judged(&rules, CREATE, &mounts).is_err(), "{path}");
    }

    #[test]
    fn no_bytes_cause_a_panic(data in vec(any::<u8>(), 0..200)) {
        request::run(&data);
        body::run(&data);
        rewrite::run(&data);
    }

    #[test]
    fn no_plausible_request_causes_a_panic(
        method in "(GET|POST|PUT|DELETE|HEAD|OPTIONS|PRI)",
        target in "(/v1.41)?(/(containers|images|exec|create|json|%2F|a|networks|connect|build|\\*)){0,5}/?(\\?[a-zA-Z=&%,\\[\\]\"]{0,20})?",
        endpoint in 0..all().len(),
        json in "[{}\\[\\]\",:a-zA-Z0-9 ]{0,60}",
    ) {
        request::run(format!("{method} {target}").as_bytes());
        body::run(format!("{}\n{json}", all()[endpoint]).as_bytes());
        rewrite::run(json.as_bytes());
    }
}
