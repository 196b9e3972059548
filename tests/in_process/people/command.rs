//! The commands for people, with the real program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use skep::config::Operator;
use skep_bed::SwarmStore;

use super::{LIST, own_state, three, until};
use crate::common::{ClusterBuilder, TestCluster, generation, manager, secret_file, worker};

/// Runs a command with the operator's secret; `FOLDER` is the cluster's folder.
async fn skep(bed: &TestCluster, words: &str) -> Output {
    let to: Vec<_> = bed
        .nodes
        .iter()
        .map(|n| format!("https://{}", n.address))
        .collect();
    let folder = bed.folder();
    let words = words.replace("FOLDER", &folder.display().to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.args(words.split_whitespace());
    command
        .env("SKEP_TO", to.join(","))
        .env("SKEP_SECRET_FILE", folder.join("secret"));
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("a thread").expect("skep runs")
}

async fn said(bed: &TestCluster, words: &str) -> String {
    let output = skep(bed, words).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {text}{error}");
    text
}

async fn refused(bed: &TestCluster, words: &str) -> String {
    let output = skep(bed, words).await;
    assert!(!output.status.success(), "{words}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn invitation_in(text: &str) -> String {
    let mut words = text.split_whitespace();
    words
        .find(|word| word.starts_with("skep1."))
        .expect("an invitation")
        .to_owned()
}

/// What the files in a folder open at a node.
async fn status(bed: &TestCluster, node: &str, folder: &Path) -> u16 {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    assert_eq!(read("ca.pem"), generation().ca_pem());
    let person = super::Person {
        key: read("key.pem"),
        request: String::new(),
    };
    let client = person.client(bed, node, &read("cert.pem"));
    client
        .get(LIST, &[])
        .await
        .map_or(0, |answer| answer.status)
}

fn write(bed: &TestCluster, name: &str, text: &str) -> PathBuf {
    let path = bed.folder().join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_added_joins_renews_and_is_disabled_with_one_command_each() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            let added = said(bed, "user add alice --policy read-only").await;
            assert!(added.contains("version 1 is in force"), "{added}");
            assert!(added.contains("curl") && !added.contains(" -k "), "{added}");
            let invitation = invitation_in(&added);
            let twice = refused(bed, "user add alice --policy admin").await;
            assert!(twice.contains("skep user invite alice"), "{twice}");
            let joined = said(bed, &format!("join {invitation} --out FOLDER/alice")).await;
            assert!(joined.contains("joined as alice until"), "{joined}");
            let folder = bed.folder().join("alice");
            for node in ["n1", "n3"] {
                until("alice may read", async || {
                    status(bed, node, &folder).await == 200
                })
                .await;
            }
            let again = refused(bed, &format!("join {invitation} --out FOLDER/other")).await;
            assert!(again.contains("used already"), "{again}");
            assert!(!bed.folder().join("other").join("key.pem").exists());
            let before = std::fs::read(folder.join("cert.pem")).unwrap();
            let renewed = said(bed, "join --renew --out FOLDER/alice").await;
            assert!(renewed.contains("renewed until"), "{renewed}");
            assert_ne!(std::fs::read(folder.join("cert.pem")).unwrap(), before);
            assert_eq!(status(bed, "n2", &folder).await, 200);
            let shown = said(bed, "user list").await;
            let line = shown
                .lines()
                .find(|line| line.starts_with("alice"))
                .unwrap();
            assert!(
                line.contains("enabled") && line.contains("read-only"),
                "{shown}"
            );
            // Another agent has seen her than the one that is asked.
            assert!(line.contains("127."), "{shown}");
            let serial = said(bed, "user show alice").await;
            assert!(serial.contains("joined:"), "{serial}");
            said(bed, "user disable alice").await;
            until("alice is refused", async || {
                status(bed, "n3", &folder).await == 403
            })
            .await;
            let renewed = refused(bed, "join --renew --out FOLDER/alice").await;
            assert!(renewed.contains("disabled"), "{renewed}");
            assert_eq!(said(bed, "user disable alice").await, "nothing changes\n");
            said(bed, "user enable alice").await;
            until("alice is back", async || {
                status(bed, "n3", &folder).await == 200
            })
            .await;
            said(bed, "user revoke alice").await;
            until("old certificates are dead", async || {
                status(bed, "n3", &folder).await == 403
            })
            .await;
            said(bed, "user remove alice").await;
            let none = refused(bed, "user show alice").await;
            assert!(none.contains("no user \"alice\""), "{none}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_set_shown_compared_and_brought_back() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            write(
                bed,
                "one.yaml",
                "policies:\n  team: { allow: [containers.read] }\n",
            );
            write(
                bed,
                "two.yaml",
                "policies:\n  team: { allow: [images.read] }\n",
            );
            write(
                bed,
                "bad.yaml",
                "policies:\n  team: { allow: [images.red] }\n",
            );
            said(bed, "policy set -f FOLDER/one.yaml").await;
            said(bed, "user add alice --policy team").await;
            assert_eq!(said(bed, "policy list").await, "team: alice\n");
            let diff = said(bed, "policy diff -f FOLDER/two.yaml").await;
            assert!(
                diff.contains("-   team: { allow: [containers.read] }"),
                "{diff}"
            );
            let bad = refused(bed, "policy set -f FOLDER/bad.yaml").await;
            assert!(
                bad.contains("bad.yaml:2:") && bad.contains("images.red"),
                "{bad}"
            );
            said(bed, "policy set -f FOLDER/two.yaml").await;
            let shown = said(bed, "policy show team").await;
            assert!(shown.contains("images.read"), "{shown}");
            let back = said(bed, "policy rollback").await;
            assert!(
                back.contains("+   team: { allow: [containers.read] }"),
                "{back}"
            );
            let shown = said(bed, "policy show").await;
            assert!(shown.contains("containers.read"), "{shown}");
            // A policy that somebody has cannot go.
            write(bed, "none.yaml", "policies: {}\n");
            let used = refused(bed, "policy set -f FOLDER/none.yaml").await;
            assert!(used.contains("user alice"), "{used}");
            let unknown = refused(bed, "user set alice --policy nothing").await;
            assert!(
                unknown.contains("there is no policy `nothing`"),
                "{unknown}"
            );
            // Presets are printed as before, without any agent.
            assert!(said(bed, "policy traefik").await.contains("my-traefik"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_exported_imported_and_not_signed_again_for_an_agent_that_altered_it() {
    let store = SwarmStore::default();
    three(&store)
        .run(async |bed| {
            said(bed, "user add alice --policy admin").await;
            let exported = said(bed, "state export").await;
            assert!(!exported.contains("skep1."), "{exported}");
            write(bed, "people.json", &exported);
            said(bed, "user remove alice").await;
            let imported = said(bed, "state import FOLDER/people.json").await;
            assert!(imported.contains("add user alice"), "{imported}");
            assert!(imported.contains("version 3"), "{imported}");
            write(bed, "wrong.json", "{\"version\":1}");
            let wrong = refused(bed, "state import FOLDER/wrong.json").await;
            assert!(wrong.contains("wrong.json"), "{wrong}");
            // Another key has signed what is in force: it is changed by nobody unseen.
            secret_file(bed.folder(), "other", "Zq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG");
            let other = "user disable alice --secret-file FOLDER/other --ca FOLDER/ca.pem";
            write(bed, "ca.pem", &generation().ca_pem());
            let other = refused(bed, other).await;
            assert!(!other.is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_key_of_its_own_signs_the_list_and_the_secret_does_not() {
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(|hostname, folder, config| {
            own_state(hostname, folder, config);
            let public = secret_file(folder, "operator.pub", PUBLIC);
            config.cluster.operator = Operator::Key(public);
        })
        .run(async |bed| {
            write(bed, "operator.pem", PRIVATE);
            write(bed, "ca.pem", &generation().ca_pem());
            let key = "--key-id operator-key --key-file FOLDER/operator.pem --ca FOLDER/ca.pem";
            let added = said(bed, &format!("user add alice --policy admin {key}")).await;
            let invitation = invitation_in(&added);
            said(bed, &format!("join {invitation} --out FOLDER/alice")).await;
            let folder = bed.folder().join("alice");
            until("alice may", async || {
                status(bed, "n2", &folder).await == 200
            })
            .await;
            // Every node has the secret, and so cannot make people.
            let refused = refused(bed, "user add mallory --policy admin").await;
            assert!(refused.contains("operator-key"), "{refused}");
        })
        .await;
}
