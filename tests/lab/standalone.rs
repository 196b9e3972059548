//! One standalone engine in its own lab, with skep in front of it in the two ways of the manual.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use super::cluster::{Lab, repository, skep};
use super::command::{Task, task};
use super::request::{Answer, answer};
use super::wait::eventually;

/// The name of the lab.
pub(crate) const NAME: &str = "alone";

/// The lab, which the first test that needs it brings up.
pub(crate) static STANDALONE: LazyLock<Lab> = LazyLock::new(|| Lab::up(NAME, "--standalone"));

/// Without a file, a secret or an argument, the commands that the agent prints must work verbatim.
pub(crate) fn serve_without_a_file_prints_a_command_that_works(_: &Lab) {
    let lab = &*STANDALONE;
    lab.engine(1)
        .ok("run --detach --name lonely busybox sleep 86400");
    // Its own home, and /var/lib as on a machine without skep.
    let home = lab.file("home");
    let bin = home.join("bin");
    fs::create_dir_all(&bin).expect("a folder of the test");
    std::os::unix::fs::symlink(skep(), bin.join("skep")).expect("a link of the test");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
    let at_home = |task: Task| {
        task.arg_each("env -i")
            .arg(format!("HOME={}", home.display()))
            .arg(format!("PATH={path}"))
    };
    let serve = at_home(lab.lab("exec 1").within(60)).arg_each("unshare --mount sh -c");
    let serve = serve
        .arg("mount -n -t tmpfs tmpfs /var/lib && echo pid $$ && exec skep serve")
        .background();
    let soon = Duration::from_secs(10);
    let pid = serve.line_with("pid ", soon).replace("pid ", "");
    let line = serve.line_with("to use it: ", soon);
    let command = line
        .split_once("to use it: ")
        .expect("the hint")
        .1
        .trim()
        .to_owned();
    assert!(command.starts_with("skep connect "), "{line}");
    serve.line_with("listening on", soon);

    let there = |command: &str| {
        let enter = lab
            .lab("exec 1 nsenter --mount --target")
            .within(30)
            .arg(&pid);
        at_home(enter).arg_each("sh -c").arg(command)
    };
    assert_eq!(there("stat -c %a-%u /var/lib/skep/secret").ok(), "600-0");
    let connect = there(&command).background();
    let hint = connect.line_with("to use it: ", soon);
    let docker = hint
        .split_once("to use it: ")
        .expect("the hint")
        .1
        .trim()
        .to_owned();
    assert_eq!(docker, "docker --context skep ps");
    let list = there(&docker).ok();
    assert!(list.contains("lonely"), "{list}");
    drop(connect);
    drop(serve);
    lab.engine(1).ok("rm -f lonely");
}

/// The agent of docker/compose.yml with conf/standalone.yaml, except that it logs JSON.
pub(crate) fn the_compose_agent_accepts_requests_signed_with_sign_sh(_: &Lab) {
    let lab = &*STANDALONE;
    let etc = lab.file("etc");
    fs::create_dir(&etc).expect("a folder of the test");
    let stock = fs::read_to_string(repository().join("conf/standalone.yaml"))
        .expect("a file of the repository");
    let config = stock.replace("log: { format: text", "log: { format: json");
    assert_ne!(stock, config);
    fs::write(etc.join("skep.yaml"), config).expect("a file of the test");
    for name in ["secret", "ci_key"] {
        fs::write(etc.join(name), lab.skep("secret").ok()).expect("a file of the test");
        task("chmod", "600")
            .arg(etc.join(name).display().to_string())
            .ok();
    }
    let socket = "--volume /var/run/docker.sock:/var/run/docker.sock --volume state:/var/lib/skep";
    let run = lab
        .engine(1)
        .cmd("run --detach --name agent --read-only --memory 64m --publish 9001:9001")
        .arg_each(socket);
    let run = run
        .arg("--volume")
        .arg(format!("{}:/etc/skep:ro", etc.display()));
    let agent = run
        .arg_each("skep:latest serve --config /etc/skep/skep.yaml")
        .ok();

    let ca = lab.file("alone-ca.pem");
    let secret = etc.join("secret").display().to_string();
    fs::write(&ca, lab.skep("ca").env("SKEP_SECRET_FILE", secret).ok())
        .expect("a file of the test");
    let url = "https://node1:9001";
    let curl = |method: &str, path: &str, body: Option<&str>| -> Answer {
        let sign = repository().join("docs/sign.sh").display().to_string();
        let key = etc.join("ci_key").display().to_string();
        let mut sign = task(sign, "ci")
            .env("SKEP_CA", ca.display().to_string())
            .arg(key)
            .arg(method)
            .arg(format!("{url}{path}"));
        let mut curl = task("curl", "--resolve").arg(format!("node1:9001:{}", lab.address(1)));
        curl = curl.arg("--cacert").arg(ca.display().to_string());
        if let Some(body) = body {
            let file = lab.file("body.json");
            fs::write(&file, body).expect("a file of the test");
            sign = sign.arg(file.display().to_string());
            curl = curl
                .arg("--data-binary")
                .arg(format!("@{}", file.display()));
        }
        let headers: Vec<_> = sign.ok().lines().map(str::to_owned).collect();
        answer(curl, method, &format!("{url}{path}"), &headers)
    };
    eventually(10, "the agent listens", || {
        let done = lab.engine(1).ok("logs agent");
        let listens = task("curl", "-sk")
            .arg(format!("https://{}:9001/", lab.address(1)))
            .run()
            .code
            == 0;
        listens.then_some(()).ok_or(done)
    });
    let list = curl("GET", "/containers/json?all=1", None);
    assert_eq!(list.status, 200, "{list:?}");
    assert!(list.body.contains(&agent), "{list:?}");
    let made = curl(
        "POST",
        "/v1.41/volumes/create",
        Some(r#"{"Name":"signed"}"#),
    );
    assert_eq!(
        (made.status, made.json()["Name"].as_str()),
        (201, Some("signed")),
        "{made:?}"
    );
    assert_eq!(curl("DELETE", "/volumes/signed", None).status, 204);
    assert_eq!(curl("GET", "/volumes/signed", None).status, 404);

    let log = lab.engine(1).cmd("logs agent").run().err;
    let lines: Vec<Value> = log
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")))
        .collect();
    let lines_of = |message: &str| {
        lines
            .iter()
            .filter(|line| line["message"] == message)
            .collect::<Vec<_>>()
    };
    let [line] = lines_of("POST /v1.41/volumes/create")[..] else {
        panic!("{log}");
    };
    assert_eq!(
        (&line["status"], &line["level"]),
        (&Value::from(201), &Value::from("info")),
        "{line}"
    );
    assert!(line["caller"].to_string().contains("ci"), "{line}");
    lab.engine(1).ok("rm -f agent");
}
