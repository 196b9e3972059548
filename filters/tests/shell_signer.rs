//! The signer in `docs/sign.sh` makes signatures that the verifier takes.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Request;
use skep_filters::auth::{Audience, BodyBinding, Key, Verifier, Window, digest, trim_secret};

struct Case {
    name: &'static str,
    key_file: Vec<u8>,
    method: &'static str,
    url: &'static str,
    body: Option<&'static str>,
    target: &'static str,
}

/// Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256`.
const CA: &str = "\
    -----BEGIN CERTIFICATE-----\n\
    MIIBhTCCASugAwIBAgIUGwFF3FcukRsE03vQxgCL8vk4XC8wCgYIKoZIzj0EAwIw\n\
    FzEVMBMGA1UEAwwMc2tlcCBjbHVzdGVyMCAXDTI2MTEyODIxNDMxNVoYDzIxMjYx\n\
    MTA0MjE0MzE1WjAXMRUwEwYDVQQDDAxza2VwIGNsdXN0ZXIwWTATBgcqhkjOPQIB\n\
    BggqhkjOPQMBBwNCAAQL3DkUoiF/O9Db14ukAlV76rV9y+8Zm+vNs1qy9GPOALzQ\n\
    HOeR6XouhY36iISShah+6hH6jq7qeA/0/HBxBBNNo1MwUTAdBgNVHQ4EFgQUB1oM\n\
    LIb5x8jy+M01rV05ndmpd/MwHwYDVR0jBBgwFoAUB1oMLIb5x8jy+M01rV05ndmp\n\
    d/MwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA0Xlz1dc6leLt\n\
    LnF7I1gk3BH9tfZ2qXupR/2udUCwoL0CIBqeJkyg8I7rfj3bU2oeNvYivswQNlc9\n\
    JVwfCv78/XdI\n\
    -----END CERTIFICATE-----\n\
    ";

/// `openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` of [`CA`].
const AUDIENCE: &str = "e1c5e42f92a897cac21d4f8e65f35e32d3d5d39807ed46a096b18a69239b1c6f";

fn cases() -> Vec<Case> {
    // All octets from 1 to 100: longer than a block of SHA-256, and with `%` and `\`.
    let long: Vec<u8> = (1..=100).collect();
    // With zeros and octets above 127, and two line breaks that do not count.
    let mut binary: Vec<u8> = (0..=255).step_by(5).collect();
    binary.extend(b"\r\n\n");
    let short = b"0123456789abcdef0123456789abcdef".to_vec();
    vec![
        Case {
            name: "query",
            key_file: short.clone(),
            method: "GET",
            url: "https://node-1:9001/v1.47/containers/json?all=1&filters=%7B%22a%22%3A%5B%22b%3F%22%5D%7D#x",
            body: None,
            target: "",
        },
        Case {
            name: "no-path",
            key_file: short,
            method: "HEAD",
            url: "https://node-1:9001",
            body: None,
            target: "",
        },
        Case {
            name: "body",
            key_file: long,
            method: "POST",
            url: "https://node-1:9001/v1.47/containers/create",
            body: Some("{\"Image\":\"busybox\",\"Cmd\":[\"printf\",\"100%\\n\"]}\n"),
            target: "node-2",
        },
        Case {
            name: "empty-body",
            key_file: binary,
            method: "POST",
            url: "https://[::1]:9001/v1.47/containers/a%2Fb/start?",
            body: Some(""),
            target: "node-2",
        },
    ]
}

#[test]
fn its_signatures_verify() {
    if Command::new("openssl").arg("version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: openssl is not installed");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sign.sh");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shell_signer");
    std::fs::create_dir_all(&folder).unwrap();

    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, CA).unwrap();
    let audience = Audience::parse(AUDIENCE).unwrap();

    for case in cases() {
        let name = case.name;
        let key_file = folder.join(format!("{name}.key"));
        std::fs::write(&key_file, &case.key_file).unwrap();
        let mut command = Command::new("sh");
        command
            .args([&script, Path::new("ci"), &key_file])
            .args([case.method, case.url])
            .env("SKEP_TARGET", case.target)
            .env("SKEP_CA", &ca_file)
            .env_remove("SKEP_AUDIENCE")
            .env_remove("CONTENT_TYPE");
        if let Some(body) = case.body {
            let body_file = folder.join(format!("{name}.body"));
            std::fs::write(&body_file, body).unwrap();
            command.arg(body_file);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");

        let printed = String::from_utf8(output.stdout).unwrap();
        let mut request = Request::builder().method(case.method).uri(case.url);
        for line in printed.lines() {
            let (header, value) = line.split_once(": ").unwrap();
            request = request.header(header, value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let target = parts
            .headers
            .get("skep-target")
            .map(|value| value.to_str().unwrap());
        assert_eq!(target.unwrap_or_default(), case.target, "{name}");

        let key = Key::hmac("ci", trim_secret(&case.key_file)).unwrap();
        let verifier =
            Verifier::new([key], audience.clone(), Window::default(), Arc::default()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "as the script does")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let signed = verifier.verify(&parts, now.as_secs());
        let bound = match case.body {
            None => BodyBinding::Empty,
            Some(body) => BodyBinding::Digest(digest::sha256(body.as_bytes())),
        };
        assert_eq!(signed.map(|signed| signed.body), Ok(bound), "{name}");
    }
}

#[test]
fn it_signs_for_no_cluster_that_it_is_not_told() {
    if Command::new("openssl").arg("version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: openssl is not installed");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sign.sh");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shell_signer_audience");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = write("key", "0123456789abcdef0123456789abcdef");
    let sign = |ca: &Path, audience: &str| {
        Command::new("sh")
            .args([&script, Path::new("ci"), &key])
            .args(["GET", "https://node-1:9001/info"])
            .env("SKEP_CA", ca)
            .env("SKEP_AUDIENCE", audience)
            .env_remove("SKEP_TARGET")
            .output()
            .unwrap()
    };
    for (name, text) in [
        ("two", &*format!("{CA}{CA}")),
        ("none", ""),
        (
            "other",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ] {
        let ca = write(name, text);
        let output = sign(&ca, "");
        assert!(!output.status.success(), "{name}");
        assert!(output.stdout.is_empty(), "{name}: {output:?}");
        let named = sign(&ca, AUDIENCE);
        let printed = String::from_utf8(named.stdout).unwrap();
        assert!(
            printed.contains(&format!("skep-audience: {AUDIENCE}\n")),
            "{name}"
        );
    }
    let unset = sign(Path::new(""), "");
    assert!(!unset.status.success() && unset.stdout.is_empty());
}
