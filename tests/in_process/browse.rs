//! Browsing the files of volumes: found on the node that has them, streamed in
//! both directions, and never a file outside the volume.

mod forms;
mod host;
mod isolated;
mod mounts;
mod uploads;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::{Caller, ClusterBuilder, TestCluster, manager, worker};
use skep::config::{Grant, Hidden, Portainer, SecretSource};
use skep_bed::{Response, Streaming, chunk, fixture};
use tempfile::TempDir;

/// The content of a file outside every volume.
const SECRET: &str = "from elsewhere";

const BOUNDARY: &str = "----WebKitFormBoundaryABC";
const FORM: (&str, &str) = (
    "Content-Type",
    "multipart/form-data; boundary=----WebKitFormBoundaryABC",
);

/// A volume of one node, browsed through that node's agent or another.
struct Volume<'a> {
    name: &'a str,
    folder: &'a Path,
    outside: &'a Path,
    operator: Caller,
}

impl Volume<'_> {
    fn target(&self, action: &str, path: &str) -> String {
        format!("/v2/browse/{action}?volumeID={}&path={path}", self.name)
    }

    async fn ask(&self, method: &str, action: &str, path: &str) -> Response {
        let target = self.target(action, path);
        let answer = self.operator.ask(method, &target, &[], b"").await;
        answer.expect("an answer")
    }

    async fn get(&self, path: &str) -> Response {
        self.ask("GET", "get", path).await
    }

    async fn begin(&self, first: &str) -> Streaming {
        let target = format!("/v2/browse/put?volumeID={}", self.name);
        let first = chunk(first.as_bytes());
        let upload = self.operator.upload(&target, &[FORM], &first);
        upload.await.expect("an answer")
    }

    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.folder.join(folder))
    }
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

/// An upload's form, with its fields in the order of Portainer's UI.
fn file_first(path: &str, name: &str, content: &str) -> String {
    let file = part(&format!("name=\"file\"; filename=\"{name}\""), content);
    format!("{file}{}--{BOUNDARY}--\r\n", part("name=\"Path\"", path))
}

/// The same form in the other order.
fn path_first(path: &str, name: &str, content: &str) -> String {
    let file = part(&format!("name=\"file\"; filename=\"{name}\""), content);
    format!("{}{file}--{BOUNDARY}--\r\n", part("name=\"Path\"", path))
}

/// Sends a form of any length.
async fn put(operator: &Caller, target: &str, form: &str) -> Response {
    let signed = operator.sign_stream("POST", target, &[FORM]);
    let client = operator.client();
    let fields = signed.fields();
    let put = client.request("POST", target, &fields, form.as_bytes());
    put.await.expect("an answer")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a directory");
    let name = |e: std::io::Result<fs::DirEntry>| e.expect("an entry").file_name();
    let names = entries.map(|e| name(e).to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn part(name: &str, body: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\n{body}\r\n")
}

/// Runs a test against a volume of the entry node, and against one of another
/// node.
async fn on_both_nodes(test: impl AsyncFn(&Volume<'_>)) {
    let (near, far, outside) = (folder(), folder(), folder());
    fs::write(outside.path().join("secret"), SECRET).expect("it is written");
    let volume = |name: &str, at: &TempDir| {
        let mut row = fixture::volume(name);
        row["Mountpoint"] = at.path().to_str().expect("text").into();
        vec![row]
    };
    let nodes = [
        manager("n1").engine(|e| e.volumes(volume("near", &near))),
        worker("n2").engine(|e| e.volumes(volume("far", &far))),
    ];
    let cluster = ClusterBuilder::of(nodes)
        .configure(|_, _, config| config.auth.portainer = Some(portainer()));
    let over = async |bed: &mut TestCluster| {
        let bed: &TestCluster = bed;
        for (name, folder) in [("near", &near), ("far", &far)] {
            test(&Volume {
                name,
                folder: folder.path(),
                outside: outside.path(),
                operator: bed.operator("n1"),
            })
            .await;
        }
    };
    cluster.run(over).await;
}

/// The setting that enables Portainer's endpoints; the operator calls them.
fn portainer() -> Portainer {
    Portainer {
        secret: Some(SecretSource::Given(Hidden::new(vec![b'x'; 40]))),
        public_key_file: None,
        first_use: false,
        grant: Grant::admin(),
    }
}

fn folder() -> TempDir {
    let made = tempfile::Builder::new().prefix("skep-volume-").tempdir();
    made.expect("a folder")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_the_path_lists_a_volume() {
    on_both_nodes(async |v| {
        fs::write(v.folder.join("b.txt"), "12345").unwrap();
        fs::create_dir(v.folder.join("a dir")).unwrap();
        let name = v.name;
        for target in [
            v.target("ls", "/"),
            v.target("ls", "%2F"),
            format!("/browse/ls?path=/&volumeID={name}"),
            format!("/v1/browse/{name}/ls?path=/"),
        ] {
            let listed = v.operator.get(&target).await.unwrap();
            assert_eq!(listed.status, 200, "{target}: {}", text(&listed));
            assert_eq!(listed.header("Content-Type"), Some("application/json"));
            let rows: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
            assert_eq!(rows[0]["Name"], "a dir", "{target}");
            assert_eq!(rows[0]["Dir"], true);
            assert_eq!(rows[1]["Name"], "b.txt");
            assert_eq!(rows[1]["Size"], 5);
            assert_eq!(rows[1]["Dir"], false);
            assert!(rows[1]["ModTime"].as_i64().unwrap() > 1_600_000_000);
            assert_eq!(rows.as_array().unwrap().len(), 2);
        }
        assert_eq!(text(&v.ask("GET", "ls", "a%20dir").await), "[]");
        assert_eq!(v.ask("GET", "ls", "none").await.status, 404);
        assert_eq!(v.ask("GET", "ls", "b.txt").await.status, 409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_can_be_read_whole_or_by_range() {
    on_both_nodes(async |v| {
        fs::write(v.folder.join("f"), "0123456789").unwrap();
        let whole = v.get("/f").await;
        assert_eq!((whole.status, text(&whole).as_str()), (200, "0123456789"));
        assert_eq!(whole.header("Content-Length"), Some("10"));
        let modified = whole.header("Last-Modified").expect("a time").to_owned();
        let target = v.target("get", "/f");
        let with = async |headers: &[(&str, &str)]| {
            let answer = v.operator.ask("GET", &target, headers, b"").await;
            answer.expect("an answer")
        };
        let part = with(&[("Range", "bytes=2-4")]).await;
        assert_eq!((part.status, text(&part).as_str()), (206, "234"));
        assert_eq!(part.header("Content-Range"), Some("bytes 2-4/10"));
        let beyond = with(&[("Range", "bytes=10-")]).await;
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.header("Content-Range"), Some("bytes */10"));
        let same = with(&[("If-Modified-Since", &modified)]).await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        fs::write(v.folder.join("empty"), "").unwrap();
        let empty = v.get("/empty").await;
        assert_eq!((empty.status, empty.body.len()), (200, 0));
        assert_eq!(v.get("/none").await.status, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_name_that_is_not_utf_8_works_as_listed() {
    on_both_nodes(async |v| {
        let name = skep::platform::os_string_from_bytes(b"a\xff%.txt".to_vec()).unwrap();
        fs::write(v.folder.join(name), "x").unwrap();
        let rows = text(&v.ask("GET", "ls", "/").await);
        assert!(rows.contains(r#""Name":"a%FF%25.txt""#), "{rows}");
        assert_eq!(text(&v.get("a%25FF%2525.txt").await), "x");
        let gone = v.ask("DELETE", "delete", "a%25FF%2525.txt").await;
        assert_eq!(gone.status, 204);
        assert!(v.names("").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_can_be_renamed_and_removed() {
    on_both_nodes(async |v| {
        fs::create_dir_all(v.folder.join("full/of")).unwrap();
        fs::write(v.folder.join("f"), "x").unwrap();
        let rename = async |body: &str| {
            let target = format!("/v2/browse/rename?volumeID={}", v.name);
            let json = [("Content-Type", "application/json")];
            let answer = v.operator.ask("PUT", &target, &json, body.as_bytes()).await;
            answer.expect("an answer").status
        };
        let body = r#"{"CurrentFilePath":"/f","NewFilePath":"/full/g"}"#;
        assert_eq!(rename(body).await, 204);
        assert_eq!(rename(body).await, 404);
        assert_eq!(rename("not JSON").await, 400);
        let up = r#"{"CurrentFilePath":"/full/g","NewFilePath":"/../g"}"#;
        assert_eq!(rename(up).await, 400);
        let delete = async |path| v.ask("DELETE", "delete", path).await.status;
        assert_eq!(delete("/full").await, 409);
        assert_eq!(delete("/full/g").await, 204);
        assert_eq!(delete("/full/of").await, 204);
        assert_eq!(delete("/full").await, 204);
        assert_eq!(delete("/").await, 400);
        assert!(v.names("").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_the_volume_can_be_reached() {
    on_both_nodes(async |v| {
        symlink("/", v.folder.join("root")).unwrap();
        symlink(v.outside, v.folder.join("out")).unwrap();
        symlink("../..", v.folder.join("up")).unwrap();
        let outside = v.outside.to_str().unwrap();
        let paths = [
            "..".to_owned(),
            "/..".to_owned(),
            "%2e%2e".to_owned(),
            "a/../..".to_owned(),
            "..%2f..%2fetc%2fpasswd".to_owned(),
            "%252e%252e".to_owned(),
            "root/etc/passwd".to_owned(),
            format!("root{outside}/secret"),
            "out/secret".to_owned(),
            "out".to_owned(),
            "up/etc".to_owned(),
            "%25FF%252F..%252F..%252Fetc".to_owned(),
            "a%00b".to_owned(),
        ];
        for path in &paths {
            for (method, action) in [("GET", "ls"), ("GET", "get"), ("DELETE", "delete")] {
                if (action, path.as_str()) == ("delete", "out") {
                    continue;
                }
                let answer = v.ask(method, action, path).await;
                let refused = matches!(answer.status, 400 | 403 | 404);
                assert!(refused, "{action} {path}: {}", answer.status);
                assert!(!text(&answer).contains(SECRET), "{action} {path}");
            }
        }
        assert!(v.outside.join("secret").exists());
        for volume in [
            "..",
            "../near",
            "..%2Fnear",
            "near/..",
            "near%2F..%2F..",
            ".",
            "%2e%2e",
            "near%00",
            "none",
        ] {
            let target = format!("/v2/browse/ls?volumeID={volume}&path=/");
            let answer = v.operator.get(&target).await.unwrap();
            let refused = matches!(answer.status, 400 | 404);
            assert!(refused, "{volume}: {} {}", answer.status, text(&answer));
        }
        let host = v.operator.get("/v2/browse/ls?path=/etc").await.unwrap();
        assert_eq!(host.status, 403, "the host's files are off by default");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symlink_swapped_in_during_a_request_does_not_leave_the_volume() {
    on_both_nodes(async |v| {
        let (real, link, shown) = (
            v.folder.join("real"),
            v.folder.join("link"),
            v.folder.join("shown"),
        );
        fs::create_dir(&real).unwrap();
        fs::write(real.join("secret"), "inside").unwrap();
        symlink(v.outside, &link).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(order) {
                    for other in [&real, &link] {
                        let _ = fs::rename(other, &shown);
                        let _ = fs::rename(&shown, other);
                    }
                }
            });
            let asked = async {
                let (mut asked, mut inside) = (0, 0);
                // Until the test has seen the real directory, and for a while longer.
                while asked < 60 || inside < 5 && asked < 3000 {
                    let body = text(&v.get("shown/secret").await);
                    assert!(!body.contains(SECRET), "{body}");
                    inside += usize::from(body == "inside");
                    asked += 1;
                }
                assert!(inside > 0, "the file was never found in {asked} tries");
            };
            tokio::task::block_in_place(|| {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    tokio::runtime::Handle::current().block_on(asked)
                }));
                stop.store(true, order);
                ended.expect("nothing from outside");
            });
        });
    })
    .await;
}

/// The resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .expect("a number");
    let kilobytes: u64 = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number");
    kilobytes * 1024
}

/// `SKEP_TEST_FILE` sets another size in bytes, such as 3221225472.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_does_not_fill_memory_in_either_direction() {
    // The memory of other tests would count.
    if !isolated::in_own_process("a_large_file_does_not_fill_memory_in_either_direction") {
        return;
    }
    let size = std::env::var("SKEP_TEST_FILE").ok();
    let size: u64 = size.map_or(96 << 20, |size| size.parse().unwrap());
    on_both_nodes(async |v| {
        let file = fs::File::create(v.folder.join("sparse")).unwrap();
        file.set_len(size).unwrap();
        let before = resident();
        let mut most = before;
        let target = v.target("get", "/sparse");
        let mut down = v.operator.stream("GET", &target, &[]).await.unwrap();
        let mut got = 0;
        while let Some(bytes) = down.next_chunk().await.unwrap() {
            got += bytes.len() as u64;
            most = most.max(resident());
        }
        assert_eq!(got, size);

        let head = format!(
            "{}--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"up\"\r\n\r\n",
            part("name=\"Path\"", "/")
        );
        let target = format!("/v2/browse/put?volumeID={}", v.name);
        let mut connection = v.operator.client().connect().await.unwrap();
        let signed = v.operator.sign_stream("POST", &target, &[FORM]);
        let signed = signed.and("Transfer-Encoding", "chunked");
        let first = chunk(head.as_bytes());
        connection.ask("POST", &target, &signed.fields(), &first).await.unwrap();
        let zeros = chunk(&vec![0; 1 << 20]);
        for _ in 0..size >> 20 {
            connection.send(&zeros).await.unwrap();
            most = most.max(resident());
        }
        let end = chunk(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        connection.send(&end).await.unwrap();
        connection.send(b"0\r\n\r\n").await.unwrap();
        let answer = connection.response("POST").await.unwrap();
        assert_eq!(answer.status, 204, "{}", text(&answer));
        assert_eq!(fs::metadata(v.folder.join("up")).unwrap().len(), size >> 20 << 20);
        fs::remove_file(v.folder.join("up")).unwrap();
        let grown = most.saturating_sub(before);
        assert!(grown < 48 << 20, "{grown} bytes more than before");
    })
    .await;
}
