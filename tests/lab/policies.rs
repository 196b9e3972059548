//! Policies in a Swarm of engines of three ages, in their own lab: docker/stack.yml deploys the agents with a
//! configuration that has policies, and callers with these policies use the stock CLI.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use super::cluster::{Docker, Lab, repository, skep, without_newest_engine};
use super::command::{Running, task};
use super::wait::eventually;

/// The name of the lab.
pub(crate) const NAME: &str = "policies";

/// The releases that have the engines of nodes 1 to 3. The manager has the newest.
fn suites() -> &'static str {
    match without_newest_engine() {
        None => "newest,trixie,bookworm",
        Some(_) => "forky,trixie,bookworm",
    }
}

/// A worker.
const ENTRY: usize = 2;

const CONFIG: &str = "
cluster: { secret_file: /run/secrets/skep_secret }
auth:
  keys:
    - { id: reader, secret_file: /run/secrets/key, policy: read-only }
    - { id: dev, secret_file: /run/secrets/key, policy: dev }
    - { id: ai, secret_file: /run/secrets/key, policy: ai }
    - { id: all, secret_file: /run/secrets/key, policy: portainer, unsigned_streams: true }
    - { id: deploy, secret_file: /run/secrets/key, policy: deploy }
  certificates: { identities: [ { name: carol, policy: runner } ] }
policies:
  dev:
    rules: [ { allow: ['containers.*', exec, attach], node: { labels: { zone: dev } } } ]
    allow: [ping, 'GET /info']
  ai: { preset: ai-agent, labels: { owner: ai }, must: { images: [busybox] } }
  deploy:
    allow: [ping, 'GET /info', 'services.*', tasks.read, secrets.read, configs.read, registry]
    may: { secrets: [granted] }
  runner: { preset: ci-runner, must: { images: [busybox] } }
audit: { file: /dev/stdout }
";

/// The lab, which the first test that needs it brings up.
pub(crate) static DEPLOYED: LazyLock<Lab> = LazyLock::new(|| {
    let lab = Lab::up_with_engines(NAME, suites());
    lab.engine(1).ok("node update --label-add zone=dev node3");
    let (config, key, stack) = (
        lab.file("skep.yaml"),
        lab.file("key"),
        lab.file("stack.yml"),
    );
    fs::write(&config, CONFIG).expect("a file of the test");
    fs::write(&key, task(skep(), "secret").ok()).expect("a file of the test");
    let stock = fs::read_to_string(repository().join("docker/stack.yml"));
    let yaml = stock
        .expect("a file of the repository")
        .replace("../conf/swarm.yaml", &config.display().to_string())
        .replace("secrets: [skep_secret]", "secrets: [skep_secret, key]");
    let yaml = format!("{yaml}  key: {{ file: {} }}\n", key.display());
    fs::write(&stack, yaml).expect("a file of the test");
    let deploy = lab.lab("deploy").arg(stack.display().to_string());
    deploy.within(120).ok();
    lab.all_ready(60);
    for node in lab.numbers() {
        let run = "run --detach --env PASSWORD=hunter2 --label owner=ops";
        let run = format!("{run} --name web{node} busybox sleep 86400");
        lab.engine(node).ok(&run);
    }
    lab
});

/// The docker CLI of the holder of a key, through the worker.
struct Holder {
    docker: Docker,
    _connection: Running,
}

fn holder(lab: &Lab, id: &str) -> Holder {
    let socket = lab.file(&format!("{id}.sock"));
    let connect = task(skep(), "connect --to")
        .arg(lab.url(ENTRY))
        .arg("--listen")
        .arg(format!("unix://{}", socket.display()))
        .arg_each(&format!("--key-id {id} --key-file"))
        .arg(lab.file("key").display().to_string())
        .arg("--ca")
        .arg(lab.ca());
    let connection = connect.within(120).background();
    connection.line_with("to use it", Duration::from_secs(10));
    let docker = lab.docker_at(socket);
    Holder {
        docker,
        _connection: connection,
    }
}

fn names(docker: &Docker) -> Vec<String> {
    let list = docker.ok("ps -a --format {{.Names}}");
    let mut names: Vec<_> = list.lines().map(str::to_owned).collect();
    names.retain(|name| !name.starts_with("skep_agent"));
    names.sort();
    names
}

pub(crate) fn a_reader_sees_all_nodes_without_secrets_and_changes_none(_: &Lab) {
    let lab = &*DEPLOYED;
    let reader = holder(lab, "reader");
    let docker = &reader.docker;
    assert_eq!(names(docker), ["web1", "web2", "web3"]);
    let inspect = docker.ok("inspect web3");
    assert!(inspect.contains("PASSWORD=[redacted]"), "{inspect}");
    assert!(!inspect.contains("hunter2"), "{inspect}");
    for words in [
        "rm -f web1",
        "rm -f web3",
        "exec web3 true",
        "run busybox true",
        "volume create mine",
        "node update --availability drain node1",
        "swarm join-token worker",
    ] {
        let refusal = docker.cmd(words).run().refused();
        assert!(
            refusal.contains("policy \"read-only\""),
            "{words}: {refusal}"
        );
    }
    assert_eq!(names(docker), ["web1", "web2", "web3"]);
}

pub(crate) fn a_developer_sees_only_the_node_with_the_label(_: &Lab) {
    let lab = &*DEPLOYED;
    let dev = holder(lab, "dev");
    let known = || {
        let found = names(&dev.docker);
        (found == ["web3"])
            .then_some(())
            .ok_or(format!("{found:?}"))
    };
    // Agents get the labels from a manager in their next round.
    eventually(20, "only node3's container is listed", known);
    assert_eq!(dev.docker.ok("exec web3 echo hello").trim(), "hello");
    dev.docker.cmd("exec web1 true").run().refused();
    let gone = dev.docker.cmd("rm -f web2").run();
    assert!(gone.to_string().contains("No such container"), "{gone}");
    assert_eq!(names(&lab.docker(1)).len(), 3);
}

pub(crate) fn an_assistant_sees_only_its_own_containers(_: &Lab) {
    let lab = &*DEPLOYED;
    let ai = holder(lab, "ai");
    let docker = &ai.docker;
    assert!(names(docker).is_empty());
    docker.ok("run --detach --name mine --memory 64m --cpus 0.1 --security-opt no-new-privileges busybox sleep 86400");
    assert_eq!(names(docker), ["mine"]);
    assert_eq!(docker.ok("exec mine echo hello").trim(), "hello");
    let gone = docker.cmd("rm -f web1").run();
    assert!(gone.to_string().contains("No such container"), "{gone}");
    for words in [
        "exec web1 true",
        "run --memory 64m --cpus 0.1 --security-opt no-new-privileges --volume /:/host busybox true",
        "run --memory 64m --cpus 0.1 --security-opt no-new-privileges --volumes-from web1 busybox true",
    ] {
        docker.cmd(words).run().refused();
    }
    docker.ok("rm -f mine");
    assert_eq!(names(&lab.docker(1)), ["web1", "web2", "web3"]);
}

pub(crate) fn a_certificate_gives_the_docker_cli_the_rights_of_its_name(_: &Lab) {
    let lab = &*DEPLOYED;
    let folder = lab.file("carol");
    let issue = lab
        .skep("cert issue --name carol --out")
        .arg(folder.display().to_string());
    issue.ok();
    let docker = |words: &str| {
        let file = |name: &str| folder.join(name).display().to_string();
        // The certificate has the node's name, not its address in the lab's network.
        task("/usr/bin/docker", "--tlsverify --tlscacert")
            .arg(file("ca.pem"))
            .arg("--tlscert")
            .arg(file("cert.pem"))
            .arg("--tlskey")
            .arg(file("key.pem"))
            .arg("-H")
            .arg(format!("tcp://{}:9001", lab.address(ENTRY)))
            .arg_each(words)
            .within(60)
    };
    let hello = docker("run --rm busybox echo hello").ok();
    assert_eq!(hello.trim(), "hello");
    let refusal = docker("run --rm --privileged busybox true").run().refused();
    assert!(refusal.contains("may.privileged"), "{refusal}");
    let refusal = docker("service ls").run().refused();
    assert!(refusal.contains("cert:carol"), "{refusal}");
}

pub(crate) fn only_an_admin_reaches_an_agent(_: &Lab) {
    let lab = &*DEPLOYED;
    let all = holder(lab, "all");
    let docker = &all.docker;
    let agent = |node: usize| lab.agent(node).container;
    let secret = docker.ok("secret ls --format {{.ID}} --filter name=skep_secret");
    let secret = secret.lines().next().expect("the secret is listed");
    for node in lab.numbers() {
        let container = agent(node);
        let known = || {
            let exec = docker
                .cmd("exec")
                .arg(&container)
                .arg_each("/skep secret")
                .run();
            let text = exec.to_string();
            (text.contains("No such container"))
                .then_some(())
                .ok_or(text)
        };
        eventually(20, "every agent is out of reach through every agent", known);
        for words in [
            format!("cp {container}:/run/secrets/skep_secret -"),
            format!("export {container}"),
            format!("commit {container} stolen"),
            format!("stop {container}"),
            format!("rm {container}"),
            format!("rename {container} other"),
            format!("update --restart no {container}"),
            format!("run --rm --volumes-from {container} busybox true"),
            format!("run --rm --pid container:{container} busybox true"),
            format!("run --rm --network container:{container} busybox true"),
        ] {
            docker.cmd(&words).run().refused();
        }
        assert_eq!(
            docker
                .ok(&format!(
                    "inspect --format {{{{.State.Running}}}} {container}"
                ))
                .trim(),
            "true"
        );
    }
    for words in [
        "service rm skep_agent".to_owned(),
        "service update --args version skep_agent".to_owned(),
        "service create --detach --name thief --secret skep_secret busybox true".to_owned(),
        format!(
            "service create --detach --name thief --secret source={secret},target=x busybox true"
        ),
        "service create --detach --name thief --network skep_agents busybox true".to_owned(),
        "secret rm skep_secret".to_owned(),
        "network rm skep_agents".to_owned(),
        "run --rm --volume /:/x:ro busybox true".to_owned(),
    ] {
        docker.cmd(&words).run().refused();
    }
    assert!(!docker.ok("service ls --format {{.Name}}").contains("thief"));
    let operator = lab.docker(ENTRY);
    let sign = "/skep sign GET https://localhost/info --secret-file /run/secrets/skep_secret";
    let sign = operator.cmd("exec").arg(agent(3)).arg_each(sign);
    let refusal = sign.run().refused();
    assert!(refusal.contains("agent's own container"), "{refusal}");
    let version = operator
        .cmd("exec")
        .arg(agent(3))
        .arg_each("/skep --version");
    version.run().ok();
}

pub(crate) fn a_loaded_image_does_not_take_the_name_of_the_agents(_: &Lab) {
    let lab = &*DEPLOYED;
    let engine = lab.engine(ENTRY);
    let agent = lab.agent(ENTRY).container;
    let name = engine.ok(&format!("inspect --format {{{{.Config.Image}}}} {agent}"));
    let name = name.trim();
    let id = || engine.ok(&format!("image inspect --format {{{{.Id}}}} {name}"));
    let before = id();
    // The archive of another image, with the name of the agent's.
    let folder = lab.file("thief");
    fs::create_dir(&folder).expect("a folder of the test");
    let archive = folder.join("thief.tar").display().to_string();
    engine
        .cmd("save --output")
        .arg(&archive)
        .arg("busybox:latest")
        .run()
        .ok();
    let script = r#"
        cd "$1" && mkdir image && tar --extract --file thief.tar --directory image && rm thief.tar && cd image
        rm -f index.json repositories && sed -i "s,busybox:latest,$2," manifest.json
        grep -q "$2" manifest.json && tar --create --file ../thief.tar *"#;
    task("sh", "-c")
        .arg(script)
        .arg("sh")
        .arg(folder.display().to_string())
        .arg(name)
        .ok();
    let all = holder(lab, "all");
    let loaded = all.docker.cmd("load --input").arg(&archive).run().ok();
    assert!(loaded.contains(name), "{loaded}");
    eventually(10, "the agent's image has its name again", || {
        let now = id();
        (now == before).then_some(()).ok_or(now)
    });
}

pub(crate) fn a_service_gets_only_the_granted_secrets(_: &Lab) {
    let lab = &*DEPLOYED;
    let manager = lab.engine(1);
    let content = lab.file("key").display().to_string();
    for name in ["granted", "other"] {
        manager
            .cmd("secret create")
            .arg(name)
            .arg(&content)
            .run()
            .ok();
    }
    let deploy = holder(lab, "deploy");
    let create = |secret: &str| {
        let create = "service create --detach --no-resolve-image --name shop --secret";
        deploy
            .docker
            .cmd(create)
            .arg(secret)
            .arg_each("busybox sleep 86400")
            .run()
    };
    let refusal = create("other").refused();
    assert!(refusal.contains("may.secrets"), "{refusal}");
    create("granted").ok();
    let update = "service update --detach --secret-add other shop";
    let refusal = deploy.docker.cmd(update).run().refused();
    assert!(refusal.contains("may.secrets"), "{refusal}");
    manager.ok("service rm shop");
}

pub(crate) fn the_audit_log_records_who_was_denied_and_why(_: &Lab) {
    let lab = &*DEPLOYED;
    let reader = holder(lab, "reader");
    reader.docker.cmd("volume create audited").run().refused();
    let agent = lab.agent(ENTRY).container;
    let audited = || {
        let log = lab.engine(ENTRY).cmd("logs").arg(&agent).run().text();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let line = lines.rfind(|line: &serde_json::Value| line["what"] == "VolumeCreate");
        line.ok_or("no such line".to_owned())
    };
    let (_, line) = eventually(10, "the denial is in the audit log", audited);
    assert_eq!(line["who"], "key:reader", "{line}");
    assert_eq!(line["verdict"], "deny", "{line}");
    assert_eq!(line["policy"], "read-only", "{line}");
    assert_eq!(line["status"], 403, "{line}");
}
