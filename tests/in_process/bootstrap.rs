//! `skep bootstrap`, the real program, against the fake engine of a manager. The agents
//! run already, with the secret that the program is given.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use skep::config::Config;
use skep_bed::{Behaviour, Client, Creation, EngineBuilder, FakeEngine, eventually, fixture};

use crate::common::{ClusterBuilder, TestCluster, manager, worker};

/// The default secret of clusters.
const SECRET: &str = "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

const KINDS: [&str; 4] = ["secrets", "configs", "networks", "services"];

/// One operator's machine.
struct Machine {
    home: PathBuf,
}

/// What a run has said, and whether it succeeded.
struct Said {
    text: String,
    is_done: bool,
}

fn two_nodes() -> ClusterBuilder<'static> {
    let has_image = |e: EngineBuilder| {
        let names = ["skep:latest", "skep:2", "r.io/skep:1"];
        e.images(vec![fixture::image("sha256:aa", &names, 1)])
    };
    ClusterBuilder::of([manager("n1").engine(has_image), worker("n2")]).configure(
        |_, _, config: &mut Config| {
            let address = config.listen[0].address;
            let text = format!(
                "listen: [ {{ address: \"{address}\", tls: {{ names: [\"{}\"] }} }} ]\n\
                 auth: {{ certificates: {{ identities: [ {{ name: operator, policy: admin }} ] }} }}",
                address.ip()
            );
            let read = Config::parse("test", &text).expect("a configuration");
            config.listen = read.listen;
            config.auth.certificates = read.auth.certificates;
        },
    )
}

impl Machine {
    fn new(bed: &TestCluster, name: &str) -> Self {
        let home = bed.folder().join(name);
        std::fs::create_dir_all(&home).expect("a folder");
        Self { home }
    }

    fn command(&self, host: Option<&Path>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        for name in [
            "DOCKER_HOST",
            "DOCKER_CONTEXT",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
        ] {
            command.env_remove(name);
        }
        command
            .arg("bootstrap")
            .env("HOME", &self.home)
            .env("DOCKER_CONFIG", self.home.join("docker"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(socket) = host {
            command.args(["--host", &format!("unix://{}", socket.display())]);
        }
        command
    }

    /// The program for this cluster, with the secret of its agents.
    fn for_cluster(&self, bed: &TestCluster) -> Command {
        let node = bed.node("n1");
        let mut command = self.command(Some(&node.engine.socket()));
        command
            .args(["--address", &node.address.ip().to_string()])
            .args(["--port", &node.address.port().to_string()])
            .args(["--timeout", "20"])
            .arg("--secret-file")
            .arg(bed.folder().join("secret"));
        command
    }

    async fn run(&self, bed: &TestCluster, arguments: &[&str]) -> Said {
        let mut command = self.for_cluster(bed);
        command.args(arguments);
        run(command).await
    }

    /// All files, by their paths.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.home.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        let bytes = std::fs::read(&path).expect("a file");
                        all.insert(path, bytes);
                    }
                }
            }
        }
        all
    }
}

async fn run(mut command: Command) -> Said {
    let run = move || command.output().expect("skep bootstrap runs");
    let output = tokio::task::spawn_blocking(run).await;
    Said::of(&output.expect("an output"))
}

impl Said {
    fn of(output: &Output) -> Self {
        let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        Self {
            text: texts.concat(),
            is_done: output.status.success(),
        }
    }

    #[track_caller]
    fn done(self) -> String {
        assert!(self.is_done, "{}", self.text);
        assert!(!self.text.contains(SECRET), "{}", self.text);
        self.text
    }

    #[track_caller]
    fn failed(self, parts: &[&str]) {
        assert!(!self.is_done, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part}: {}", self.text);
        }
    }
}

fn names(engine: &FakeEngine, kind: &str) -> Vec<String> {
    let rows = engine.objects(kind);
    let name = |row: &Value| {
        row["Name"]
            .as_str()
            .or(row["Spec"]["Name"].as_str())
            .map(str::to_owned)
    };
    rows.iter().filter_map(name).collect()
}

#[track_caller]
fn assert_nothing_is_left(bed: &TestCluster, machine: &Machine) {
    for kind in KINDS {
        assert_eq!(names(&bed.node("n1").engine, kind), [""; 0], "{kind}");
    }
    let files: Vec<_> = machine.files().into_keys().collect();
    assert!(files.is_empty(), "{files:?}");
}

/// The requests that change something.
fn changes(engine: &FakeEngine) -> usize {
    let seen = engine.requests();
    seen.iter()
        .filter(|request| request.method != "GET")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_swarm_gets_all_of_it_and_a_second_run_changes_nothing() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let engine = &bed.node("n1").engine;
            let said = machine.run(bed, &[]).await.done();
            for part in [
                "1/8 the operator's key",
                "8/8 a list",
                "docker --context skep ps",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert_eq!(names(engine, "secrets"), ["skep_secret"]);
            assert_eq!(
                names(engine, "configs"),
                ["skep_config_1", "skep_operator.pub"]
            );
            assert_eq!(names(engine, "networks"), ["skep_agents"]);
            assert_eq!(names(engine, "services"), ["skep_agent"]);
            let files = machine.files();
            let ends: Vec<_> = files.keys().filter_map(|path| path.file_name()).collect();
            for name in ["operator.pem", "ca.pem", "meta.json", "cert.pem", "key.pem"] {
                assert!(ends.iter().any(|end| *end == name), "{name}: {ends:?}");
            }
            let before = changes(engine);
            let again = machine.run(bed, &[]).await.done();
            assert!(
                again.contains("nothing in the Swarm was changed"),
                "{again}"
            );
            assert_eq!(changes(engine), before);
            assert_eq!(machine.files(), files);
            let check = machine.run(bed, &["--check"]).await.done();
            assert!(!check.contains("differs"), "{check}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_shown_or_kept_where_others_read() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let said = machine.run(bed, &[]).await.done();
            let engine = &bed.node("n1").engine;
            let key = machine
                .files()
                .into_iter()
                .find(|(path, _)| path.ends_with("operator.pem"));
            let key = String::from_utf8(key.expect("a key").1).expect("PEM");
            let line = key.lines().nth(1).expect("its base64").to_owned();
            let private = engine
                .objects("configs")
                .iter()
                .chain(&engine.objects("services"))
                .map(Value::to_string)
                .collect::<String>();
            for secret in [SECRET, &line] {
                assert!(!private.contains(secret) && !said.contains(secret));
            }
            let labels = engine.objects("secrets")[0]["Spec"]["Labels"].to_string();
            assert!(!labels.contains(SECRET), "{labels}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_that_fails_takes_back_what_was_made() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let engine = &bed.node("n1").engine;
            let steps = [
                "skep_secret",
                "skep_config_1",
                "skep_operator.pub",
                "skep_agents",
                "skep_agent",
            ];
            for (n, name) in steps.iter().enumerate() {
                for how in [Creation::Refused, Creation::Lost] {
                    engine.set_failing_creation(n + 1, how);
                    machine
                        .run(bed, &[])
                        .await
                        .failed(&["failed", name, "is gone again"]);
                    assert_nothing_is_left(bed, &machine);
                }
            }
            engine.unset_failing_creation();
            engine.set_task_error(Some("No such image: skep:latest"));
            let refused = machine.run(bed, &[]).await;
            refused.failed(&["step 6 of 8", "No such image", "load the image there"]);
            assert_nothing_is_left(bed, &machine);
            engine.set_task_error(None);
            // Nothing listens there.
            let mut lost = machine.command(Some(&engine.socket()));
            lost.args(["--address", "127.0.0.1", "--port", "1", "--timeout", "1"]);
            let lost = run(lost).await;
            lost.failed(&["step 8 of 8", "does not answer", "is gone again"]);
            assert_nothing_is_left(bed, &machine);
            machine.run(bed, &[]).await.done();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_interrupted_takes_back_what_it_made() {
    const CREATE: &str = "/services/create";
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let engine = &bed.node("n1").engine;
            engine.set_behaviour_of(CREATE, Behaviour::Hang);
            let child: Child = machine
                .for_cluster(bed)
                .spawn()
                .expect("skep bootstrap starts");
            assert!(eventually(|| !engine.requests_to(CREATE).is_empty()).await);
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
            let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
            let output = ended.await.expect("a thread").expect("an output");
            Said::of(&output).failed(&["SIGINT has interrupted it", "is gone again"]);
            assert_nothing_is_left(bed, &machine);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_operators_at_once_one_sets_it_up_and_the_other_takes_nothing_away() {
    two_nodes()
        .run(async |bed| {
            let [one, other] = ["one", "other"].map(|name| Machine::new(bed, name));
            let (first, second) = tokio::join!(one.run(bed, &[]), other.run(bed, &[]));
            let done = [&first, &second].map(|said| said.is_done);
            assert!(done.contains(&true), "{}\n{}", first.text, second.text);
            let engine = &bed.node("n1").engine;
            assert_eq!(names(engine, "services"), ["skep_agent"]);
            assert_eq!(names(engine, "configs").len(), 2);
            let winner = if done[0] { one } else { other };
            winner.run(bed, &["--check"]).await.done();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_prints_the_plan_and_the_files_and_makes_nothing() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let before = changes(&bed.node("n1").engine);
            let said = machine
                .run(bed, &["--dry-run", "--name", "mine"])
                .await
                .done();
            for part in [
                "n2  worker",
                "mine_agent",
                "# stack.yml",
                "services:",
                "# skep.yaml",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert_eq!(changes(&bed.node("n1").engine), before);
            assert_nothing_is_left(bed, &machine);
        })
        .await;
}

async fn post(engine: &FakeEngine, path: &str, body: &Value) -> u16 {
    let json = [("Content-Type", "application/json")];
    let client = Client::unix(engine.socket());
    let body = body.to_string();
    let answer = client.request("POST", path, &json, body.as_bytes()).await;
    answer.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_made_is_in_the_way_and_stays() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let engine = &bed.node("n1").engine;
            let foreign = json!({ "Name": "skep_config_1", "Labels": {}, "Data": "" });
            assert_eq!(post(engine, "/configs/create", &foreign).await, 201);
            let refused = machine.run(bed, &[]).await;
            refused.failed(&["in the way", "skep_config_1", "nothing was made"]);
            machine.run(bed, &["--remove"]).await.done();
            assert_eq!(names(engine, "configs"), ["skep_config_1"]);
            assert_eq!(names(engine, "secrets"), [""; 0]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_what_differs() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            machine.run(bed, &[]).await.done();
            let engine = &bed.node("n1").engine;
            let service = engine.objects("services").remove(0);
            let mut spec = service["Spec"].clone();
            let container = &mut spec["TaskTemplate"]["ContainerSpec"];
            container["CapabilityAdd"] = json!(["DAC_OVERRIDE"]);
            container["ReadOnly"] = json!(false);
            let id = service["ID"].as_str().expect("an id");
            let path = format!("/services/{id}/update?version=1");
            assert_eq!(post(engine, &path, &spec).await, 200);
            let check = machine.run(bed, &["--check"]).await;
            check.failed(&[
                "differs  the settings of the service",
                "CapabilityAdd",
                "ReadOnly is not set",
            ]);
            let again = machine.run(bed, &[]).await;
            again.failed(&["differs from what this makes; nothing was changed"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_changes_the_image_alone() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            machine.run(bed, &[]).await.done();
            let engine = &bed.node("n1").engine;
            let spec = || engine.objects("services")[0]["Spec"].clone();
            let mut before = spec();
            machine
                .run(bed, &["--upgrade", "nowhere:1"])
                .await
                .failed(&["docker push"]);
            assert_eq!(spec(), before);
            let said = machine.run(bed, &["--upgrade", "skep:2"]).await.done();
            assert!(said.contains("all agents run skep:2"), "{said}");
            before["TaskTemplate"]["ContainerSpec"]["Image"] = json!("skep:2");
            before["Labels"]["com.docker.stack.image"] = json!("skep:2");
            assert_eq!(spec(), before);
            machine.run(bed, &["--check"]).await.done();
            let same = machine.run(bed, &["--upgrade", "skep:2"]).await.done();
            assert!(same.contains("nothing was changed"), "{same}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_takes_all_of_it_away_and_nothing_else() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            machine.run(bed, &[]).await.done();
            let engine = &bed.node("n1").engine;
            let state =
                json!({ "Name": "skep-people-1", "Labels": { "skep.people": "1" }, "Data": "" });
            assert_eq!(post(engine, "/configs/create", &state).await, 201);
            let labels = json!({ "com.docker.stack.namespace": "skep" });
            let other = json!({ "Name": "other", "Labels": labels, "Data": "" });
            assert_eq!(post(engine, "/secrets/create", &other).await, 201);
            machine
                .run(bed, &["--remove", "--name", "another"])
                .await
                .done();
            assert_eq!(names(engine, "services"), ["skep_agent"]);
            machine.run(bed, &["--remove"]).await.done();
            assert_eq!(names(engine, "secrets"), ["other"]);
            for kind in ["configs", "networks", "services"] {
                assert_eq!(names(engine, kind), [""; 0], "{kind}");
            }
            assert!(machine.files().is_empty());
            let again = machine.run(bed, &["--remove"]).await.done();
            assert!(again.contains("there is nothing"), "{again}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_no_manager_is_refused_with_the_way_on() {
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let alone = FakeEngine::node("alone").in_swarm(false).start().await;
            let alone = alone.expect("a fake engine");
            for (socket, part) in [
                (bed.node("n2").engine.socket(), "is a worker"),
                (alone.socket(), "docker swarm init"),
                (bed.folder().join("nowhere.sock"), "does not answer"),
            ] {
                run(machine.command(Some(&socket))).await.failed(&[part]);
            }
            // The context that this makes leads to the agents.
            machine.run(bed, &[]).await.done();
            let mut through = machine.command(None);
            through.args(["--context", "skep", "--remove"]);
            run(through).await.failed(&["is an agent of skep"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_get_the_operators_credentials_only_where_that_is_meant() {
    const AUTH: &str = "X-Registry-Auth";
    two_nodes()
        .run(async |bed| {
            let machine = Machine::new(bed, "home");
            let engine = &bed.node("n1").engine;
            let image = ["--image", "r.io/skep:1"];
            machine.run(bed, &image).await.done();
            machine.run(bed, &["--remove"]).await.done();
            let sent = |path: &str| {
                let seen = engine.requests_to(path);
                let last = seen.last().expect("a request");
                last.header(AUTH).map(str::to_owned)
            };
            assert_eq!(sent("/services/create"), None);
            let with = [&image[..], &["--with-registry-auth"]].concat();
            machine.run(bed, &with).await.failed(&["docker login"]);
            let config = r#"{"auths":{"r.io":{"auth":"dXNlcjpwYXNz"}}}"#;
            std::fs::write(machine.home.join("docker/config.json"), config).expect("a file");
            let said = machine.run(bed, &with).await.done();
            assert!(
                !said.contains("pass") && !said.contains("dXNlcjpwYXNz"),
                "{said}"
            );
            let sent = [
                sent("/services/create"),
                sent("/distribution/r.io/skep:1/json"),
            ];
            assert!(sent.iter().all(Option::is_some), "{sent:?}");
            let elsewhere = engine.requests();
            let mut elsewhere = elsewhere
                .iter()
                .filter(|request| request.header(AUTH).is_some());
            assert!(elsewhere.all(|request| {
                ["/services/", "/distribution/"]
                    .iter()
                    .any(|part| request.path.starts_with(part))
            }));
        })
        .await;
}
