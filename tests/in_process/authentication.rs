//! Authentication by signature: without it, no byte reaches an engine.

use std::path::Path;

use crate::common::{
    Caller, ClusterBuilder, Signed, TestCluster, is_private, manager, secret_file, warnings_of,
    with_cluster, worker,
};
use serde_json::Value;
use skep::config::{Config, Grant, KeyFile, KeyMaterial};
use skep::platform::clock;
use skep_bed::{Response, fixture};
use skep_filters::auth::{BodyBinding, SigningKey};

/// A path that agents never request for themselves.
const LIST: &str = "/containers/json";

const CI: &[u8] = b"the secret of the build server, 40 bytes";
const OTHER: &[u8] = b"some other secret that is not configured";

fn key(id: &str, material: KeyMaterial) -> KeyFile {
    KeyFile {
        id: id.to_owned(),
        material,
        grant: Grant::admin(),
        unsigned_streams: false,
    }
}

/// One node that knows the key `ci` besides the operator's.
fn one_node() -> ClusterBuilder<'static> {
    let with_ci = |_: &str, folder: &Path, config: &mut Config| {
        let secret = std::str::from_utf8(CI).unwrap_or_default();
        let secret = secret_file(folder, "ci", secret);
        config.auth.keys = vec![key("ci", KeyMaterial::Secret(secret))];
    };
    ClusterBuilder::of([manager("n1")]).configure(with_ci)
}

fn ci(bed: &TestCluster) -> Caller {
    let key = SigningKey::hmac("ci", CI).expect("a key");
    bed.operator("n1").with_key(key)
}

/// A refusal in Docker's format, with the reason and the agent's time.
fn assert_unauthorised(answer: &Response, reason: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 401, "{text}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let body: Value = answer.json().expect("JSON");
    assert_eq!(body["reason"], reason, "{text}");
    assert!(!body["message"].as_str().unwrap_or_default().is_empty());
    let now = clock::now().as_secs();
    let time = body["time"].as_u64().unwrap_or_default();
    assert!(now.abs_diff(time) < 60, "{time} is not the current time");
}

fn assert_untouched(bed: &TestCluster) {
    for node in &bed.nodes {
        let asked = node.asked();
        assert!(
            asked.is_empty(),
            "the engine of {} saw {asked:?}",
            node.hostname
        );
    }
}

async fn send(caller: &Caller, method: &str, target: &str, signed: &Signed) -> Response {
    let client = caller.client();
    client
        .request(method, target, &signed.fields(), b"")
        .await
        .expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_requests_are_refused() {
    one_node()
        .run(async |bed| {
            let client = bed.operator("n1");
            for (method, target) in [
                ("GET", LIST),
                ("GET", "/_ping"),
                ("GET", "/no/such/path"),
                ("OPTIONS", "/containers/json"),
                ("DELETE", "/containers/web"),
                ("POST", "/exec/echo/start"),
                ("GET", "/skep/v1/health"),
            ] {
                let answer = client
                    .client()
                    .request(method, target, &[], b"")
                    .await
                    .unwrap();
                assert_unauthorised(&answer, "missing");
            }
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_valid_only_with_a_known_key_and_a_current_time() {
    one_node()
        .run(async |bed| {
            let ci = ci(bed);
            let now = clock::now().as_secs();
            let sign =
                |caller: &Caller, at| caller.sign_at(at, "GET", LIST, &[], BodyBinding::Empty);
            let forged = ci.with_key(SigningKey::hmac("ci", OTHER).unwrap());
            let unknown = ci.with_key(SigningKey::hmac("nobody", OTHER).unwrap());
            // The client cannot distinguish an unknown key from a wrong secret.
            for (signed, reason) in [
                (sign(&forged, now), "bad-signature"),
                (sign(&unknown, now), "bad-signature"),
                (sign(&ci, now - 60), "timestamp-skew"),
                (sign(&ci, now + 60), "timestamp-skew"),
            ] {
                assert_unauthorised(&send(&ci, "GET", LIST, &signed).await, reason);
            }
            let (forged, unknown) = (sign(&forged, now), sign(&unknown, now));
            let forged = send(&ci, "GET", LIST, &forged).await.message().unwrap();
            let unknown = send(&ci, "GET", LIST, &unknown).await.message().unwrap();
            assert_eq!(forged, unknown);
            assert_untouched(bed);

            let answer = send(&ci, "GET", LIST, &sign(&ci, now)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_and_altered_requests_are_refused() {
    one_node()
        .run(async |bed| {
            let ci = ci(bed);
            let signed = ci.sign("DELETE", "/containers/web", &[], b"");
            let altered = [
                ("DELETE", "/containers/db", signed.clone()),
                ("GET", "/containers/web", signed.clone()),
                ("DELETE", "/containers/web?force=1", signed.clone()),
            ];
            for (method, target, signed) in altered {
                assert_unauthorised(&send(&ci, method, target, &signed).await, "bad-signature");
            }
            assert_untouched(bed);
            // The engine's own 404: the request reached it, once.
            assert_eq!(
                send(&ci, "DELETE", "/containers/web", &signed).await.status,
                404
            );
            assert_unauthorised(
                &send(&ci, "DELETE", "/containers/web", &signed).await,
                "replay",
            );
            assert_eq!(bed.node("n1").asked().len(), 1);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_change_the_meaning_cannot_be_added_or_repeated() {
    with_cluster([manager("n1"), worker("n2")], async |bed| {
        let operator = bed.operator("n1");
        for (name, value) in [
            ("Skep-Target", "n2"),
            ("X-PortainerAgent-Target", "n2"),
            ("X-PortainerAgent-ManagerOperation", "1"),
            ("Skep-On-Behalf-Of", "key:ci"),
            ("X-Registry-Auth", "e30="),
            ("Content-Type", "application/json"),
            ("Upgrade", "tcp"),
        ] {
            let added = operator.sign("GET", LIST, &[], b"").and(name, value);
            assert_unauthorised(&send(&operator, "GET", LIST, &added).await, "not-covered");
            let doubled = operator
                .sign("GET", LIST, &[(name, value)], b"")
                .and(name, value);
            let answer = send(&operator, "GET", LIST, &doubled).await;
            assert_eq!(answer.status, 400, "{name}: {}", answer.text());
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            assert!(answer.message().is_some());
        }
        let dropped = operator.sign("GET", LIST, &[("Skep-Target", "n2")], b"");
        let dropped = dropped.and("Connection", "Skep-Target");
        assert_eq!(send(&operator, "GET", LIST, &dropped).await.status, 400);
        assert_untouched(bed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_checked_before_the_engine_sees_a_byte() {
    const CREATE: &str = "/containers/create?name=web";
    one_node()
        .run(async |bed| {
            let ci = ci(bed);
            let json = [("Content-Type", "application/json")];
            let signed = ci.sign("POST", CREATE, &json, b"{\"Image\":\"busybox\"}");
            let swapped = b"{\"Image\":\"miners!\"}";
            let post = async |signed: &Signed, body: &[u8]| {
                let fields = signed.fields();
                ci.client()
                    .request("POST", CREATE, &fields, body)
                    .await
                    .unwrap()
            };
            assert_unauthorised(&post(&signed, swapped).await, "digest-mismatch");
            let unbound = ci.sign("POST", CREATE, &json, b"");
            assert_unauthorised(&post(&unbound, b"{}").await, "unsigned-body");
            let operator = bed.operator("n1");
            let stream = operator.sign_stream("POST", CREATE, &json);
            assert_unauthorised(&post(&stream, b"{}").await, "unsigned-body");
            let chunked = unbound.and("Transfer-Encoding", "chunked");
            assert_unauthorised(
                &post(&chunked, b"2\r\n{}\r\n0\r\n\r\n").await,
                "unsigned-body",
            );
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_permitted_keys_may_send_unsigned_streams() {
    one_node()
        .run(async |bed| {
            let load = "/images/load";
            let body = b"not really a tar";
            let ci = ci(bed);
            let stream = ci.sign_stream("POST", load, &[]);
            let answer = ci
                .client()
                .request("POST", load, &stream.fields(), body)
                .await;
            assert_unauthorised(&answer.unwrap(), "unsigned-body");
            assert_untouched(bed);
            let operator = bed.operator("n1");
            let stream = operator.sign_stream("POST", load, &[]);
            let answer = ci
                .client()
                .request("POST", load, &stream.fields(), body)
                .await;
            assert_eq!(answer.unwrap().status, 200);
            assert_eq!(bed.node("n1").asked()[0].body.start, body);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_body_over_the_limit_gets_a_413_that_names_the_limit() {
    one_node()
        .run(async |bed| {
            let ci = ci(bed);
            let create = "/containers/create";
            let fits = vec![b' '; 4 << 20];
            let answer = ci.ask("POST", create, &[], &fits).await.unwrap();
            assert_eq!(
                answer.status,
                404,
                "the engine's own answer: {}",
                answer.text()
            );
            assert_eq!(bed.node("n1").asked()[0].body.bytes, 4 << 20);

            let body = vec![b' '; (4 << 20) + 1];
            let answer = ci.ask("POST", create, &[], &body).await.unwrap();
            assert_eq!(answer.status, 413, "{}", answer.text());
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            assert!(answer.message().unwrap().contains("4194304"));

            // Far too long: the refusal arrives although the agent does not read the rest.
            let body = vec![b' '; 16 << 20];
            let signed = ci.sign("POST", create, &[], &body);
            let mut connection = ci.client().connect().await.unwrap();
            let sent = connection
                .ask("POST", create, &signed.fields(), &body)
                .await;
            drop(sent);
            let answer = connection.response("POST").await.unwrap();
            assert_eq!(answer.status, 413);
            assert_eq!(bed.node("n1").asked().len(), 1);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_never_reach_an_engine() {
    let has = |name: &'static str| {
        move |e: skep_bed::EngineBuilder| e.containers(vec![fixture::container("c1", name, 1, 0)])
    };
    let nodes = [
        manager("n1").engine(has("exact")),
        worker("n2").engine(has("exact")),
    ];
    with_cluster(nodes, async |bed| {
        let operator = bed.operator("n1");
        let json = ("Content-Type", "application/json");
        let basic = ("Authorization", "Basic c2VjcmV0");
        let proxy = ("Proxy-Authorization", "Basic c2VjcmV0");
        let portainer = ("X-PortainerAgent-PublicKey", "key");
        for node in ["n1", "n2"] {
            let to = ("Skep-Target", node);
            let headers = [to, basic, proxy, portainer, ("X-Kept", "yes")];
            let plain = operator
                .ask("GET", "/containers/c1/json", &headers, b"")
                .await;
            assert_eq!(plain.unwrap().status, 200);
            let headers = [to, basic, json, ("X-Kept", "yes")];
            let held = operator
                .ask("POST", "/containers/c1/update", &headers, b"{}")
                .await;
            assert_eq!(held.unwrap().status, 404);
            let headers = [
                to,
                basic,
                ("X-Kept", "yes"),
                ("Upgrade", "tcp"),
                ("Connection", "Upgrade"),
            ];
            let mut raw = operator
                .hijack("/exec/exact/start", &headers, b"{}")
                .await
                .unwrap();
            assert_eq!(raw.status, 101);
            raw.stream.close_write().await.unwrap();
            assert!(raw.stream.receive_to_end().await.unwrap().is_empty());
        }
        let list = operator.ask("GET", LIST, &[basic, portainer], b"").await;
        assert_eq!(list.unwrap().status, 200);
        for node in &bed.nodes {
            let asked = node.asked();
            assert_eq!(asked.len(), 4, "{asked:?}");
            assert_eq!(
                asked
                    .iter()
                    .filter(|r| r.header("X-Kept") == Some("yes"))
                    .count(),
                3
            );
            for request in node.engine.requests() {
                let names = request.head.headers.iter().map(|(name, _)| name);
                let leaked: Vec<_> = names.filter(|name| is_private(name)).collect();
                assert!(leaked.is_empty(), "{} shows {leaked:?}", request.target);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_key_is_refused_without_an_agents_certificate() {
    with_cluster([manager("n1")], async |bed| {
        let node = bed.node("n1");
        let generation = node.trust().generations()[0].clone();
        let key = || {
            let id = generation.agent_key_id();
            SigningKey::hmac(&id, generation.peer_key()).unwrap()
        };
        let to = [("Skep-Target", node.id.as_str())];

        let stolen = Caller::new(node.address, &generation, None, key());
        let answer = stolen.ask("GET", LIST, &to, b"").await.unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert!(answer.message().unwrap().contains("agent"));
        assert_untouched(bed);

        let leaf = node.trust().leaf(0).unwrap();
        let agent = Caller::new(node.address, &generation, Some(&leaf), key());
        let identity = "/skep/v1/identity";
        let answer = agent.ask("GET", identity, &to, b"").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_agents_may_act_on_behalf_of_a_caller() {
    one_node()
        .run(async |bed| {
            let on_behalf = [("Skep-On-Behalf-Of", "operator")];
            for caller in [ci(bed), bed.operator("n1")] {
                let answer = caller.ask("GET", LIST, &on_behalf, b"").await.unwrap();
                assert_eq!(answer.status, 400, "{}", answer.text());
            }
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ed25519_key_can_sign_requests() {
    // Made with `openssl genpkey -algorithm ed25519`.
    const SEED: [u8; 32] = [
        0xd4, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8,
        0xad, 0x3a, 0xfe, 0x7c, 0x28, 0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75,
        0x58, 0x42,
    ];
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    let with_key = |_: &str, folder: &Path, config: &mut Config| {
        let file = secret_file(folder, "public.pem", PUBLIC);
        config.auth.keys = vec![key("laptop", KeyMaterial::PublicKey(file))];
    };
    ClusterBuilder::of([manager("n1")])
        .configure(with_key)
        .run(async |bed| {
            let key = SigningKey::ed25519("laptop", &SEED);
            let laptop = bed.operator("n1").with_key(key.unwrap());
            assert_eq!(laptop.get(LIST).await.unwrap().status, 200);
            let body = b"{}";
            let answer = laptop.ask("POST", "/containers/create", &[], body).await;
            assert_eq!(answer.unwrap().status, 404);

            let other = laptop.with_key(SigningKey::ed25519("laptop", &[7; 32]).unwrap());
            assert_unauthorised(&other.get(LIST).await.unwrap(), "bad-signature");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_world_readable_key_file_is_used_with_a_warning() {
    let readable = |_: &str, folder: &Path, config: &mut Config| {
        let open = folder.join("open");
        std::fs::write(&open, CI).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&open, mode).expect("its mode");
        let private = secret_file(
            folder,
            "private",
            "the secret of somebody else, 40 bytes...",
        );
        config.auth.keys = vec![
            key("ci", KeyMaterial::Secret(open)),
            key("somebody", KeyMaterial::Secret(private)),
        ];
    };
    ClusterBuilder::of([manager("n1")])
        .configure(readable)
        .run(async |bed| {
            assert_eq!(ci(bed).get(LIST).await.unwrap().status, 200);
            let folder = bed.folder().display().to_string();
            let warnings = warnings_of(&folder);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains("open") && warnings[0].contains("chmod 600"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_leaves_its_connection_usable() {
    one_node()
        .run(async |bed| {
            let ci = ci(bed);
            let mut connection = ci.client().connect().await.unwrap();
            for _ in 0..3 {
                let answer = connection.request("GET", LIST, &[], b"").await.unwrap();
                assert_unauthorised(&answer, "missing");
                let signed = ci.sign("GET", LIST, &[], b"");
                let answer = connection.request("GET", LIST, &signed.fields(), b"").await;
                assert_eq!(answer.unwrap().status, 200);
            }
        })
        .await;
}
