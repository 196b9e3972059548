//! A running gateway of one host: its socket, and a reload of its configuration by a signal.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::cluster::{Lab, skep};
use super::standalone::STANDALONE;
use super::wait::eventually;

/// A user id that does not exist here.
const OWNER: u32 = 12345;

fn configure(folder: &Path, policy: &str) {
    let folder_name = folder.display();
    let yaml = format!(
        "listen:\n  - {{ address: '127.0.0.1:9444' }}\n  \
         - {{ socket: {folder_name}/t.sock, owner: {OWNER}, mode: '0640', policy: {policy} }}\n\
         cluster: {{ mode: off, secret_file: {folder_name}/secret }}\n\
         audit: {{ file: {folder_name}/audit }}\nstate_dir: {folder_name}/state\n"
    );
    fs::write(folder.join("skep.yaml"), yaml).expect("a file of the test");
}

pub(crate) fn a_socket_has_its_owner_and_a_signal_reloads_its_policy(_: &Lab) {
    let lab = &*STANDALONE;
    let folder = lab.file("gateway");
    fs::create_dir(&folder).expect("a folder of the test");
    fs::write(folder.join("secret"), lab.skep("secret").ok()).expect("a file of the test");
    configure(&folder, "traefik");
    let config = folder.join("skep.yaml");
    let serve = format!(
        "echo pid $$; exec {} serve --config {}",
        skep(),
        config.display()
    );
    let serve = lab.lab("exec 1 sh -c").arg(serve).background();
    let soon = Duration::from_secs(10);
    let pid = serve.line_with("pid ", soon).replace("pid ", "");
    serve.line_with("t.sock", soon);

    let socket = folder.join("t.sock");
    let file = fs::metadata(&socket).expect("the socket");
    assert_eq!((file.uid(), file.mode() & 0o777), (OWNER, 0o640));
    let docker = lab.docker_at(socket);
    docker.ok("ps");
    let refusal = docker.cmd("volume create made").run().refused();
    assert!(
        refusal.contains("policy \"traefik\" of local:t"),
        "{refusal}"
    );
    let audit = folder.join("audit");
    let denied = || {
        let log = fs::read_to_string(&audit).unwrap_or_default();
        log.contains("\"verdict\":\"deny\"")
            .then_some(())
            .ok_or(log)
    };
    eventually(5, "the denial is in the audit log", denied);

    fs::rename(&audit, folder.join("audit.old")).expect("a file of the test");
    configure(&folder, "admin");
    lab.lab("exec 1 kill -HUP").arg(&pid).ok();
    let changed = || match docker.cmd("volume create made").run() {
        done if done.code == 0 => Ok(()),
        done => Err(done.to_string()),
    };
    eventually(5, "the new policy takes effect", changed);
    docker.ok("volume rm made");
    let begun = || audit.exists().then_some(()).ok_or("no new file".to_owned());
    eventually(5, "a new audit log exists", begun);

    fs::write(&config, "policies: { x: { allow: [nothing.such] } }").expect("a file of the test");
    lab.lab("exec 1 kill -HUP").arg(&pid).ok();
    serve.line_with("the old configuration stays in force", soon);
    docker.ok("volume ls");
    drop(serve);
}
