//! File systems that are full or read-only, files without permission, and moves
//! between file systems. The file systems are real, in a private mount namespace.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::host::{browsing, holds_nothing};
use super::isolated;
use super::{file_first, folder, names, on_both_nodes, path_first, put, text};

/// Mounts a file system of this size in memory.
fn mount(at: &Path, size: &str) {
    let size = format!("size={size}");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
        .arg(at));
}

fn mount_read_only(at: &Path) {
    run(Command::new("mount").args(["-o", "remount,ro"]).arg(at));
}

fn run(command: &mut Command) {
    let done = command.output().expect("the program exists");
    assert!(done.status.success(), "{command:?}: {done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_sent_before_its_path_can_go_to_another_file_system() {
    if !isolated::with_mounts("mounts::a_file_sent_before_its_path_can_go_to_another_file_system") {
        return;
    }
    let host = folder();
    let home = host.path().join("home");
    fs::create_dir(&home).unwrap();
    mount(&home, "64m");
    browsing(host.path(), async |operator, bed| {
        let path = format!("{}/new", home.display());
        for content in ["small".to_owned(), "large".repeat(1 << 20)] {
            let stored = put(
                operator,
                "/v2/browse/put",
                &file_first(&path, "f", &content),
            )
            .await;
            assert_eq!(stored.status, 204, "{}", text(&stored));
            assert_eq!(names(&home.join("new")), ["f"]);
            assert!(fs::read_to_string(home.join("new/f")).unwrap() == content);
            assert_eq!(names(host.path()), ["home"]);
        }
        // A copy keeps the file mode, as a rename does.
        fs::set_permissions(home.join("new/f"), Permissions::from_mode(0o600)).unwrap();
        let form = file_first(&path, "f", &"large".repeat(1 << 20));
        assert_eq!(put(operator, "/v2/browse/put", &form).await.status, 204);
        let mode = home.join("new/f").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(holds_nothing(bed));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_sent_before_its_path_needs_no_space_on_the_root_file_system() {
    if !isolated::with_mounts(
        "mounts::a_file_sent_before_its_path_needs_no_space_on_the_root_file_system",
    ) {
        return;
    }
    let content = "large".repeat(1 << 20);
    for read_only in [true, false] {
        let host = folder();
        mount(host.path(), "4m");
        let home = host.path().join("home");
        fs::create_dir(&home).unwrap();
        mount(&home, "64m");
        if read_only {
            mount_read_only(host.path());
        }
        browsing(host.path(), async |operator, bed| {
            let home = home.to_str().unwrap();
            let form = file_first(home, "f", &content);
            let stored = put(operator, "/v2/browse/put", &form).await;
            assert_eq!(stored.status, 204, "{}", text(&stored));
            assert!(fs::read_to_string(format!("{home}/f")).unwrap() == content);
            assert_eq!(names(home.as_ref()), ["f"]);
            // A file on the root file system itself fails.
            let at = host.path().to_str().unwrap();
            let form = file_first(at, "f", &content);
            let refused = put(operator, "/v2/browse/put", &form).await;
            let status = if read_only { 403 } else { 507 };
            assert_eq!(refused.status, status, "{}", text(&refused));
            assert_eq!(names(host.path()), ["home"]);
            assert!(holds_nothing(bed));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fills_its_file_system_gets_a_507_and_leaves_no_file() {
    if !isolated::with_mounts(
        "mounts::an_upload_that_fills_its_file_system_gets_a_507_and_leaves_no_file",
    ) {
        return;
    }
    on_both_nodes(async |v| {
        mount(v.folder, "1m");
        let target = format!("/v2/browse/put?volumeID={}", v.name);
        let content = "x".repeat(8 << 20);
        for form in [file_first, path_first] {
            let refused = put(&v.operator, &target, &form("/new", "f", &content)).await;
            assert_eq!(refused.status, 507, "{}", text(&refused));
            let message = refused.message().unwrap_or_default();
            assert!(message.contains("No space left on device"), "{message}");
            assert!(v.names("").is_empty(), "{:?}", v.names(""));
            // The space is free again.
            let stored = put(&v.operator, &target, &form("/", "f", "x")).await;
            assert_eq!(stored.status, 204, "{}", text(&stored));
            fs::remove_file(v.folder.join("f")).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_without_permission_get_a_403() {
    if !isolated::with_mounts("mounts::writes_without_permission_get_a_403") {
        return;
    }
    on_both_nodes(async |v| {
        mount(v.folder, "16m");
        fs::create_dir(v.folder.join("d")).unwrap();
        fs::write(v.folder.join("d/f"), "old").unwrap();
        let refused = async |said: &str| {
            let target = format!("/v2/browse/put?volumeID={}", v.name);
            let large = "x".repeat(3 << 20);
            let json = [("Content-Type", "application/json")];
            let body = br#"{"CurrentFilePath":"/d/f","NewFilePath":"/d/g"}"#;
            let rename = format!("/v2/browse/rename?volumeID={}", v.name);
            for answer in [
                put(&v.operator, &target, &file_first("/d", "f", "new")).await,
                put(&v.operator, &target, &file_first("/d", "f", &large)).await,
                put(&v.operator, &target, &path_first("/d", "f", "new")).await,
                put(&v.operator, &target, &path_first("/d/new", "f", "new")).await,
                v.operator.ask("PUT", &rename, &json, body).await.unwrap(),
                v.ask("DELETE", "delete", "/d/f").await,
            ] {
                assert_eq!(answer.status, 403, "{}", text(&answer));
                let message = answer.message().unwrap_or_default();
                assert!(message.contains(said), "{message}");
            }
            assert_eq!(v.names("d"), ["f"]);
            assert_eq!(v.names(""), ["d"]);
            assert_eq!(text(&v.get("/d/f").await), "old");
        };
        fs::set_permissions(v.folder.join("d"), Permissions::from_mode(0o555)).unwrap();
        refused("Permission denied").await;
        fs::set_permissions(v.folder.join("d/f"), Permissions::from_mode(0o200)).unwrap();
        assert_eq!(v.get("/d/f").await.status, 403);
        fs::set_permissions(v.folder.join("d/f"), Permissions::from_mode(0o600)).unwrap();
        mount_read_only(v.folder);
        refused("Read-only file system").await;
    })
    .await;
}
