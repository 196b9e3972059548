//! Every form of the browse paths: of Portainer's UI, of its older versions, and
//! with the engine's version before the agent's.

use super::{file_first, on_both_nodes, path_first, put, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_the_path_puts_reads_renames_and_deletes_a_file() {
    on_both_nodes(async |v| {
        let name = v.name;
        let forms: [&dyn Fn(&str) -> String; 5] = [
            &|action| format!("/v2/browse/{action}?volumeID={name}"),
            &|action| format!("/browse/{action}?volumeID={name}"),
            &|action| format!("/v1/browse/{name}/{action}?"),
            &|action| format!("/v1.41/v2/browse/{action}?volumeID={name}"),
            &|action| format!("/v1.41/browse/{action}?volumeID={name}"),
        ];
        for form in forms {
            for body in [
                file_first("/d", "f", "12345"),
                path_first("/d", "f", "12345"),
            ] {
                let target = form("put");
                let stored = put(&v.operator, &target, &body).await;
                assert_eq!(stored.status, 204, "{target}: {}", text(&stored));
                assert_eq!(v.names("d"), ["f"], "{target}");

                let target = format!("{}&path=/d/f", form("get"));
                let got = v.operator.get(&target).await.unwrap();
                assert_eq!((got.status, &*text(&got)), (200, "12345"), "{target}");

                let target = form("rename");
                let json = [("Content-Type", "application/json")];
                let body = br#"{"CurrentFilePath":"/d/f","NewFilePath":"/d/g"}"#;
                let renamed = v.operator.ask("PUT", &target, &json, body).await.unwrap();
                assert_eq!(renamed.status, 204, "{target}: {}", text(&renamed));
                assert_eq!(v.names("d"), ["g"], "{target}");

                for path in ["/d/g", "/d"] {
                    let target = format!("{}&path={path}", form("delete"));
                    let gone = v.operator.ask("DELETE", &target, &[], b"").await.unwrap();
                    assert_eq!(gone.status, 204, "{target}: {}", text(&gone));
                }
                assert!(v.names("").is_empty(), "{target}");
            }
        }
    })
    .await;
}
