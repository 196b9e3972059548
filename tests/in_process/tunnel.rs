//! Hijacked exchanges: the bytes of either side arrive unchanged, and so does its
//! end, over one hop and over two.

use crate::common::{Caller, TestCluster, manager, with_cluster, worker};
use skep_bed::{
    Behaviour, EngineBuilder, Hijack, Noise, Sum, eventually, fixture, noise, sum, tail,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The upgrade headers of `docker exec`.
const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const BODY: &[u8] = b"{\"Detach\":false,\"Tty\":false}";

/// One route to an exec.
struct Route<'a> {
    bed: &'a TestCluster,
    operator: Caller,
    node: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

impl Route<'_> {
    /// The exec with this mode on the route's node.
    fn exec(&self, mode: &str) -> String {
        format!("{mode}.{}", self.node)
    }

    fn start(&self, mode: &str) -> String {
        format!("/v1.41/exec/{}/start", self.exec(mode))
    }

    fn with<'b>(&'b self, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let mut headers = self.headers.clone();
        headers.extend_from_slice(more);
        headers
    }

    /// Starts an exec as the docker CLI does.
    async fn upgraded(&self, mode: &str) -> Hijack {
        let headers = self.with(&[UPGRADE[0], UPGRADE[1], JSON]);
        let hijack = self
            .operator
            .hijack(&self.start(mode), &headers, BODY)
            .await
            .expect("an answer");
        assert_eq!(hijack.status, 101, "{mode}: {:?}", hijack.head);
        assert_eq!(hijack.head.header("Upgrade"), Some("tcp"));
        hijack
    }

    /// Starts an exec as older clients do.
    async fn plain(&self, mode: &str) -> Hijack {
        let headers = self.with(&[JSON]);
        let hijack = self
            .operator
            .hijack(&self.start(mode), &headers, BODY)
            .await
            .expect("an answer");
        assert_eq!(hijack.status, 200, "{mode}: {:?}", hijack.head);
        let kind = hijack.head.header("Content-Type");
        assert_eq!(kind, Some("application/vnd.docker.raw-stream"));
        hijack
    }

    fn engine(&self) -> &skep_bed::FakeEngine {
        &self.bed.node(self.node).engine
    }
}

/// Runs a test over each route: to the local engine, to a named node, and to a
/// node that the agent locates.
async fn on_every_route(test: impl AsyncFn(&Route<'_>)) {
    let with = |node: &str| {
        let modes = ["echo", "server-first", "early", "eager", "exact"];
        let ids = modes.map(|mode| format!("{mode}.{node}"));
        let rows =
            modes.map(|m| fixture::container(&format!("{m}.{node}"), &format!("{m}.{node}"), 1, 0));
        move |e: EngineBuilder| {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            e.execs(&ids).containers(rows.to_vec())
        }
    };
    let nodes = [
        manager("n1").engine(with("n1")),
        worker("n2").engine(with("n2")),
    ];
    with_cluster(nodes, async |bed| {
        let bed = &*bed;
        for (node, headers) in [
            ("n1", vec![]),
            ("n2", vec![("Skep-Target", "n2")]),
            ("n2", vec![]),
        ] {
            let operator = bed.operator("n1");
            test(&Route {
                bed,
                operator,
                node,
                headers,
            })
            .await;
        }
    })
    .await;
}

/// Checks the echo and the output after the client's end.
async fn check_echo(mut hijack: Hijack) {
    for words in ["hello ", "again"] {
        hijack
            .stream
            .send(words.as_bytes())
            .await
            .expect("it is sent");
        let echo = hijack
            .stream
            .receive_exact(words.len())
            .await
            .expect("an answer");
        assert_eq!(echo, words.to_uppercase().as_bytes());
    }
    hijack.stream.close_write().await.expect("the end is sent");
    let rest = hijack.stream.receive_to_end().await.expect("an answer");
    assert_eq!(rest.len(), tail().len());
    assert!(rest == tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_after_the_clients_end_arrives_whole() {
    on_every_route(async |route| {
        check_echo(route.upgraded("echo").await).await;
        check_echo(route.plain("echo").await).await;
        let seen = route
            .engine()
            .requests_to(&format!("/exec/{}/start", route.exec("echo")));
        for request in seen {
            assert_eq!(request.body.start, BODY, "the signed body comes first");
            assert_eq!(request.raw.start, b"hello again");
            assert!(request.client_closed);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attach_opens_a_tunnel_too() {
    on_every_route(async |route| {
        let target = format!("/containers/{}/attach?stream=1&stdin=1", route.exec("echo"));
        for upgrade in [&UPGRADE[..], &[]] {
            let headers = route.with(upgrade);
            let hijack = route.operator.hijack(&target, &headers, b"").await.unwrap();
            assert_eq!(hijack.status, if upgrade.is_empty() { 200 } else { 101 });
            check_echo(hijack).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_sent_with_the_head_are_not_lost_in_either_direction() {
    on_every_route(async |route| {
        let mut hijack = route.upgraded("early").await;
        assert_eq!(hijack.stream.receive_exact(5).await.unwrap(), b"early");
        hijack.stream.send(b"x").await.unwrap();
        assert_eq!(hijack.stream.receive_exact(1).await.unwrap(), b"x");

        // The client's first bytes come with its request, before any answer.
        let target = route.start("exact");
        let headers = route.with(&UPGRADE);
        let length = BODY.len().to_string();
        let signed = route.operator.sign("POST", &target, &headers, BODY);
        let signed = signed.and("Content-Length", &length);
        let together = [BODY, b"first bytes"].concat();
        let (client, fields) = (route.operator.client(), signed.fields());
        let hijack = client.hijack("POST", &target, &fields, &together).await;
        let mut hijack = hijack.unwrap();
        assert_eq!(hijack.status, 101);
        assert_eq!(
            hijack.stream.receive_exact(11).await.unwrap(),
            b"first bytes"
        );
        hijack.stream.close_write().await.unwrap();
        assert!(hijack.stream.receive_to_end().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_end_leaves_the_clients_direction_open() {
    on_every_route(async |route| {
        let mut hijack = route.upgraded("server-first").await;
        assert_eq!(hijack.stream.receive_to_end().await.unwrap(), b"hello");
        let more = noise(100_000);
        hijack.stream.send(&more).await.unwrap();
        hijack.stream.close_write().await.unwrap();
        let path = format!("/exec/{}/start", route.exec("server-first"));
        let arrived = || {
            let seen = route.engine().requests_to(&path);
            let last = seen.last().expect("a request");
            last.client_closed && last.raw.bytes == 100_000 && last.raw.sum.value() == sum(&more)
        };
        assert!(eventually(arrived).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_may_upgrade_before_it_has_read_the_whole_body() {
    on_every_route(async |route| {
        for _ in 0..5 {
            let mut hijack = route.upgraded("eager").await;
            hijack.stream.send(b"hello").await.unwrap();
            assert_eq!(hijack.stream.receive_exact(5).await.unwrap(), b"hello");
            hijack.stream.close_write().await.unwrap();
            assert!(hijack.stream.receive_to_end().await.unwrap().is_empty());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_may_upgrade_before_the_request_arrives() {
    with_cluster([manager("n1")], async |bed| {
        bed.node("n1").engine.set_behaviour(Behaviour::Eager);
        let operator = bed.operator("n1");
        for _ in 0..20 {
            let hijack = operator.hijack("/exec/exact/start", &UPGRADE, BODY).await;
            let mut hijack = hijack.unwrap();
            assert_eq!(hijack.status, 101);
            hijack.stream.send(b"hello").await.unwrap();
            assert_eq!(hijack.stream.receive_exact(5).await.unwrap(), b"hello");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_megabytes_go_both_ways_at_once_unchanged() {
    const BYTES: usize = 20 << 20;
    on_every_route(async |route| {
        let hijack = route.upgraded("exact").await;
        let (mut reader, mut writer) = hijack.stream.into_split();
        let writing = tokio::spawn(async move {
            let mut source = Noise::new();
            let mut piece = vec![0; 100_003];
            let mut left = BYTES;
            while left > 0 {
                let n = left.min(piece.len());
                source.fill(&mut piece[..n]);
                writer.write_all(&piece[..n]).await.unwrap();
                left -= n;
            }
            writer.shutdown().await.unwrap();
            writer
        });
        let mut arrived = (0, Sum::default());
        let mut piece = vec![0; 64 * 1024];
        let reading = async {
            loop {
                match reader.read(&mut piece).await.unwrap() {
                    0 => return,
                    n => {
                        arrived.0 += n;
                        arrived.1.update(&piece[..n]);
                    }
                }
            }
        };
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, reading)
            .await
            .expect("20 MB in a minute");
        writing.await.unwrap();
        assert_eq!(arrived.0, BYTES);
        assert_eq!(arrived.1.value(), sum(&noise(BYTES)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_speaks_http_2_through_the_tunnel() {
    on_every_route(async |route| {
        if route.node == "n2" && route.headers.is_empty() {
            // A session has no object: without a target it is local.
            return;
        }
        let h2c = [
            ("Connection", "Upgrade"),
            ("Upgrade", "h2c"),
            ("X-Docker-Expose-Session-Uuid", "u"),
        ];
        for target in ["/session", "/grpc"] {
            let headers = route.with(&h2c);
            let mut hijack = route.operator.hijack(target, &headers, b"").await.unwrap();
            assert_eq!(hijack.status, 101);
            assert_eq!(hijack.head.header("Upgrade"), Some("h2c"));
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            hijack.stream.send(preface).await.unwrap();
            assert_eq!(
                hijack.stream.receive_exact(preface.len()).await.unwrap(),
                preface
            );
        }
        let seen = route.engine().requests_to("/session");
        let seen = seen.last().unwrap();
        assert_eq!(seen.header("X-Docker-Expose-Session-Uuid"), Some("u"));
        let headers = route.with(&[]);
        let refused = route
            .operator
            .ask("POST", "/session", &headers, b"")
            .await
            .unwrap();
        assert_eq!(
            refused.status,
            500,
            "the engine wants an upgrade: {}",
            refused.text()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_instead_of_a_tunnel_is_an_ordinary_answer() {
    on_every_route(async |route| {
        for upgrade in [&UPGRADE[..], &[]] {
            let headers = route.with(upgrade);
            let refused = route
                .operator
                .hijack("/exec/unknown/start", &headers, BODY)
                .await
                .unwrap();
            assert_eq!(refused.status, 404);
            let refused = refused.response().await.unwrap();
            assert_eq!(refused.header("Content-Type"), Some("application/json"));
            assert_eq!(refused.message().unwrap(), "No such exec instance: unknown");
            // Attach refuses without a length, in plain text (moby's `writeErr`).
            let refused = route
                .operator
                .hijack("/containers/unknown/attach", &headers, b"")
                .await;
            let refused = refused.unwrap();
            assert_eq!(refused.status, 404);
            let text = refused.response().await.unwrap().text();
            assert!(text.contains("No such container: unknown"), "{text}");
        }
        // A detached exec has no stream.
        let headers = route.with(&[JSON]);
        let (target, body) = (route.start("echo"), b"{\"Detach\":true}");
        let detached = route
            .operator
            .ask("POST", &target, &headers, body)
            .await
            .unwrap();
        assert_eq!(detached.status, 200, "{}", detached.text());
        assert!(detached.body.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_tunnel_stays_open() {
    on_every_route(async |route| {
        let mut quiet = route.upgraded("exact").await;
        let mut old = route.plain("exact").await;
        // Longer than ten rounds of probes and than any interval in the tests.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        for hijack in [&mut quiet, &mut old] {
            hijack.stream.send(b"still there?").await.unwrap();
            assert_eq!(
                hijack.stream.receive_exact(12).await.unwrap(),
                b"still there?"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tunnels_at_once_do_not_mix() {
    on_every_route(async |route| {
        let mut all = Vec::new();
        for n in 0..20 {
            all.push((n, route.upgraded("exact").await));
        }
        for (n, hijack) in &mut all {
            hijack
                .stream
                .send(format!("tunnel {n:02}").as_bytes())
                .await
                .unwrap();
        }
        for (n, hijack) in all.iter_mut().rev() {
            let echo = hijack.stream.receive_exact(9).await.unwrap();
            assert_eq!(echo, format!("tunnel {n:02}").as_bytes());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_notices_that_the_other_is_gone() {
    on_every_route(async |route| {
        let path = format!("/exec/{}/start", route.exec("exact"));
        let mut hijack = route.upgraded("exact").await;
        hijack.stream.send(b"x").await.unwrap();
        hijack.stream.receive_exact(1).await.unwrap();
        drop(hijack);
        let noticed = || {
            route
                .engine()
                .requests_to(&path)
                .last()
                .is_some_and(|r| r.client_closed)
        };
        assert!(eventually(noticed).await);

        let mut hijack = route.upgraded("exact").await;
        route.engine().restart().await.unwrap();
        let rest = hijack.stream.receive_to_end().await;
        assert!(rest.is_ok_and(|rest| rest.is_empty()));
        // For the next route: wait until the agents have probed it twice.
        let probes = || route.engine().requests_to("/version").len();
        let before = probes();
        assert!(eventually(|| probes() >= before + 2).await);
        route.bed.settle().await;
    })
    .await;
}
