//! The signer in `docs/sign.sh` makes signatures that the verifier takes.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Request;
use skep_filters::auth::{BodyBinding, Key, Verifier, Window, digest, trim_secret};

struct Case {
    name: &'static str,
    key_file: Vec<u8>,
    method: &'static str,
    url: &'static str,
    body: Option<&'static str>,
    target: &'static str,
}

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

    for case in cases() {
        let name = case.name;
        let key_file = folder.join(format!("{name}.key"));
        std::fs::write(&key_file, &case.key_file).unwrap();
        let mut command = Command::new("sh");
        command
            .args([&script, Path::new("ci"), &key_file])
            .args([case.method, case.url])
            .env("SKEP_TARGET", case.target)
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
        let verifier = Verifier::new([key], Window::default(), Arc::default()).unwrap();
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
