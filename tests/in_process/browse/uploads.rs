//! Uploads: a file appears when it is complete, or not at all.

use std::cell::Cell;
use std::fs;
use std::time::Duration;

use skep_bed::{chunk, eventually};

use super::{BOUNDARY, FORM, file_first, on_both_nodes, part, path_first, put, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_arrives_whole_and_replaces_an_existing_file() {
    on_both_nodes(async |v| {
        let form = format!(
            "{}--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\n",
            part("name=\"Path\"", "/new/dir")
        );
        let target = format!("/v2/browse/put?volumeID={}", v.name);
        // Longer than any body that the agent keeps in memory.
        let megabyte = "x".repeat(1 << 20);
        let body = format!("{form}{}\r\n--{BOUNDARY}--\r\n", megabyte.repeat(6));
        let put = put(&v.operator, &target, &body).await;
        assert_eq!(put.status, 204, "{}", text(&put));
        assert_eq!(v.names("new/dir"), ["f.txt"]);
        let stored = fs::metadata(v.folder.join("new/dir/f.txt")).unwrap();
        assert_eq!(stored.len(), 6 << 20);
        // A shorter upload replaces it without a rest of the old content.
        let body = format!("{form}short\r\n--{BOUNDARY}--\r\n");
        let put = v.operator.ask("POST", &target, &[FORM], body.as_bytes()).await;
        assert_eq!(put.expect("an answer").status, 204);
        let stored = fs::read_to_string(v.folder.join("new/dir/f.txt")).unwrap();
        assert_eq!(stored, "short");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_upload_leaves_no_file() {
    on_both_nodes(async |v| {
        fs::create_dir(v.folder.join("dir")).unwrap();
        let target = format!("/v2/browse/put?volumeID={}", v.name);
        let form = format!(
            "{}--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{}",
            part("name=\"Path\"", "/dir/new"),
            "x".repeat(300_000)
        );
        let mut connection = v.operator.client().connect().await.unwrap();
        let signed = v.operator.sign_stream("POST", &target, &[FORM]);
        let signed = signed.and("Transfer-Encoding", "chunked");
        let (fields, first) = (signed.fields(), chunk(form.as_bytes()));
        let asked = connection.ask("POST", &target, &fields, &first);
        asked.await.unwrap();
        let begun = eventually(|| v.names("dir").iter().any(|n| n.starts_with(".skep-upload-")));
        assert!(begun.await, "{:?}", v.names("dir"));
        drop(connection);
        let gone = eventually(|| v.names("dir").is_empty()).await;
        assert!(gone, "{:?}", v.names("dir"));
    })
    .await;
}

/// On one thread, because the test advances the clock.
#[tokio::test]
async fn a_stalled_upload_gets_an_error_and_leaves_no_file() {
    on_both_nodes(async |v| {
        let target = format!("/v2/browse/put?volumeID={}", v.name);
        let client = v.operator.client().clone();
        let client = client.limit(Duration::from_secs(1_000_000));
        // More than the agent keeps in memory.
        let content = "x".repeat(3 << 20);
        for form in [file_first, path_first] {
            let form = form("/new", "f", &content);
            let begun = chunk(&form.as_bytes()[..2 << 20]);
            let signed = v.operator.sign_stream("POST", &target, &[FORM]);
            let signed = signed.and("Transfer-Encoding", "chunked");
            let mut connection = client.connect().await.unwrap();
            let fields = signed.fields();
            let asked = connection.ask("POST", &target, &fields, &begun);
            asked.await.unwrap();
            let begun = || v.names("").iter().any(|n| n.starts_with(".skep-upload-"));
            assert!(eventually(begun).await, "{:?}", v.names(""));
            // Bytes that are still in flight arrive between two steps of the clock.
            let is_frozen = Cell::new(false);
            let forward = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    tokio::time::pause();
                    is_frozen.set(true);
                    tokio::time::advance(Duration::from_secs(301)).await;
                    tokio::time::resume();
                    is_frozen.set(false);
                }
            };
            let answer = tokio::select! {
                answer = connection.response("POST") => answer.unwrap(),
                () = forward => unreachable!(),
            };
            // The answer may come while the clock takes its step.
            if is_frozen.get() {
                tokio::time::resume();
            }
            assert_eq!(answer.status, 400, "{}", text(&answer));
            let message = answer.message().unwrap_or_default();
            assert!(message.contains("nothing came for 300s"), "{message}");
            assert!(v.names("").is_empty(), "{:?}", v.names(""));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_arrives_while_the_client_is_still_sending() {
    on_both_nodes(async |v| {
        fs::write(v.folder.join("file"), "").unwrap();
        let first = format!(
            "{}--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n",
            part("name=\"Path\"", "/file")
        );
        // Its body never ends.
        let answer = v.begin(&first).await;
        assert_eq!(answer.status, 409);
        assert_eq!(v.names(""), ["file"]);
        let first = part("name=\"Path\"", "/../up");
        let answer = v.begin(&format!("{first}--{BOUNDARY}\r\n")).await;
        assert_eq!(answer.status, 400);
    })
    .await;
}
