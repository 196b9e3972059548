//! Browsing the host's own files, where the configuration allows it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{file_first, folder, names, path_first, portainer, put, text};
use crate::common::{Caller, ClusterBuilder, TestCluster, manager};

/// Runs a test against an agent that finds the host's files in this folder.
pub(super) async fn browsing(at: &Path, test: impl AsyncFn(&Caller, &TestCluster)) {
    let cluster = ClusterBuilder::of([manager("n1")]).configure(|_, _, config| {
        config.auth.portainer = Some(portainer());
        config.browse.host = Some(at.to_owned());
    });
    let over = async |bed: &mut TestCluster| test(&bed.operator("n1"), bed).await;
    cluster.run(over).await;
}

/// Whether the agent's state folder holds no part of an upload.
pub(super) fn holds_nothing(bed: &TestCluster) -> bool {
    let state = bed.folder().join("state");
    !state.exists() || !names(&state).iter().any(|n| n.starts_with(".skep-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_files_can_be_browsed_when_enabled() {
    let host = folder();
    fs::create_dir(host.path().join("etc")).unwrap();
    fs::write(host.path().join("etc/f"), "on the host").unwrap();
    symlink("/etc", host.path().join("link")).unwrap();
    browsing(host.path(), async |operator, _| {
        let at = host.path().to_str().unwrap();
        for (path, status) in [
            (format!("{at}/etc/f"), 200),
            (format!("{at}/etc/g"), 404),
            (format!("{at}/link/passwd"), 403),
            (format!("{at}/../etc/passwd"), 400),
            ("/etc/passwd".to_owned(), 403),
            ("etc/f".to_owned(), 403),
        ] {
            let target = format!("/v2/browse/get?path={path}");
            let answer = operator.get(&target).await.unwrap();
            assert_eq!(answer.status, status, "{path}: {}", text(&answer));
        }
        let target = format!("/browse/ls?volumeID=&path={at}");
        let listed = text(&operator.get(&target).await.unwrap());
        assert!(listed.contains(r#""Name":"etc""#), "{listed}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_files_can_be_put_renamed_and_deleted() {
    let host = folder();
    let outside = folder();
    symlink(outside.path(), host.path().join("out")).unwrap();
    browsing(host.path(), async |operator, bed| {
        let at = host.path().to_str().unwrap();
        // More than the agent keeps of an upload in memory.
        let large = "x".repeat(3 << 20);
        for (form, content) in [
            (file_first(&format!("{at}/new"), "f", "small"), "small"),
            (file_first(&format!("{at}/new"), "f", &large), &large),
            (path_first(&format!("{at}/new"), "f", "small"), "small"),
            (path_first(&format!("{at}/new"), "f", &large), &large),
        ] {
            let stored = put(operator, "/v2/browse/put", &form).await;
            assert_eq!(stored.status, 204, "{}", text(&stored));
            let stored = fs::read(host.path().join("new/f")).unwrap();
            assert_eq!(stored, content.as_bytes());
            assert_eq!(names(&host.path().join("new")), ["f"]);
            assert_eq!(names(host.path()), ["new", "out"]);
        }
        let rename = async |from: &str, to: &str| {
            let body = serde_json::json!({ "CurrentFilePath": from, "NewFilePath": to });
            let (json, body) = ([("Content-Type", "application/json")], body.to_string());
            let target = "/v2/browse/rename";
            let answer = operator.ask("PUT", target, &json, body.as_bytes()).await;
            answer.unwrap().status
        };
        assert_eq!(
            rename(&format!("{at}/new/f"), &format!("{at}/g")).await,
            204
        );
        assert_eq!(
            rename(&format!("{at}/new/f"), &format!("{at}/g")).await,
            404
        );
        assert_eq!(rename(&format!("{at}/g"), "/etc/g").await, 403);
        assert_eq!(rename("/etc/hostname", &format!("{at}/h")).await, 403);
        assert_eq!(
            rename(&format!("{at}/g"), &format!("{at}/out/g")).await,
            403
        );
        assert_eq!(names(host.path()), ["g", "new", "out"]);
        let delete = async |path: &str| {
            let target = format!("/v2/browse/delete?path={path}");
            let answer = operator.ask("DELETE", &target, &[], b"").await;
            answer.unwrap().status
        };
        assert_eq!(delete(&format!("{at}/g")).await, 204);
        assert_eq!(delete(&format!("{at}/g")).await, 404);
        assert_eq!(delete(&format!("{at}/new")).await, 204);
        assert_eq!(delete("/etc/hostname").await, 403);
        assert_eq!(delete(at).await, 400);
        assert_eq!(names(host.path()), ["out"]);
        for path in ["/etc", &format!("{at}/out"), &format!("{at}/out/new")] {
            for form in [file_first(path, "f", &large), path_first(path, "f", "x")] {
                let refused = put(operator, "/v2/browse/put", &form).await;
                assert_eq!(refused.status, 403, "{path}: {}", text(&refused));
            }
        }
        assert_eq!(names(host.path()), ["out"]);
        assert!(names(outside.path()).is_empty());
        assert!(holds_nothing(bed));
    })
    .await;
}
