//! Hijacked exchanges: what either side sends arrives byte for byte, and so
//! does the end of what it sends, over one hop and over two.

use crate::common::{Bed, Caller, manager, with_cluster, worker};
use skep_bed::{
    Behaviour, EngineBuilder, Hijack, Noise, Sum, eventually, fixture, noise, sum, tail,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What `docker exec` asks with.
const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "tcp")];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const BODY: &[u8] = b"{\"Detach\":false,\"Tty\":false}";

/// One way to an exec.
struct Way<'a> {
    bed: &'a Bed,
    operator: Caller,
    node: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

impl Way<'_> {
    /// The exec of this manner on the way's node.
    fn exec(&self, manner: &str) -> String {
        format!("{manner}.{}", self.node)
    }

    fn start(&self, manner: &str) -> String {
        format!("/v1.41/exec/{}/start", self.exec(manner))
    }

    fn with<'b>(&'b self, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let mut headers = self.headers.clone();
        headers.extend_from_slice(more);
        headers
    }

    /// Starts an exec as the docker CLI does.
    async fn upgraded(&self, manner: &str) -> Hijack {
        let headers = self.with(&[UPGRADE[0], UPGRADE[1], JSON]);
        let hijack = self
            .operator
            .hijack(&self.start(manner), &headers, BODY)
            .await
            .expect("an answer");
        assert_eq!(hijack.status, 101, "{manner}: {:?}", hijack.head);
        assert_eq!(hijack.head.header("Upgrade"), Some("tcp"));
        hijack
    }

    /// Starts an exec as older clients do.
    async fn plain(&self, manner: &str) -> Hijack {
        let headers = self.with(&[JSON]);
        let hijack = self
            .operator
            .hijack(&self.start(manner), &headers, BODY)
            .await
            .expect("an answer");
        assert_eq!(hijack.status, 200, "{manner}: {:?}", hijack.head);
        let kind = hijack.head.header("Content-Type");
        assert_eq!(kind, Some("application/vnd.docker.raw-stream"));
        hijack
    }

    fn engine(&self) -> &skep_bed::FakeEngine {
        &self.bed.node(self.node).engine
    }
}

/// A test over each way: the engine next door, a node that is named, and a
/// node that the agent has to find.
async fn everywhere(test: impl AsyncFn(&Way<'_>)) {
    let with = |node: &str| {
        let manners = ["echo", "server-first", "early", "eager", "exact"];
        let ids = manners.map(|manner| format!("{manner}.{node}"));
        let rows = manners
            .map(|m| fixture::container(&format!("{m}.{node}"), &format!("{m}.{node}"), 1, 0));
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
            test(&Way {
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

/// Talks to an `echo` until its very end.
async fn converse(mut hijack: Hijack) {
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
    hijack.stream.close_write().await.expect("its end is sent");
    let rest = hijack.stream.receive_to_end().await.expect("an answer");
    assert_eq!(rest.len(), tail().len());
    assert!(rest == tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_after_the_clients_end_arrives_whole() {
    everywhere(async |way| {
        converse(way.upgraded("echo").await).await;
        converse(way.plain("echo").await).await;
        let seen = way
            .engine()
            .requests_to(&format!("/exec/{}/start", way.exec("echo")));
        for request in seen {
            assert_eq!(request.body.start, BODY, "the signed body came first");
            assert_eq!(request.raw.start, b"hello again");
            assert!(request.client_closed);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attach_opens_a_tunnel_too() {
    everywhere(async |way| {
        let target = format!("/containers/{}/attach?stream=1&stdin=1", way.exec("echo"));
        for upgrade in [&UPGRADE[..], &[]] {
            let headers = way.with(upgrade);
            let hijack = way.operator.hijack(&target, &headers, b"").await.unwrap();
            assert_eq!(hijack.status, if upgrade.is_empty() { 200 } else { 101 });
            converse(hijack).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_sent_with_the_head_are_not_lost_in_either_direction() {
    everywhere(async |way| {
        let mut hijack = way.upgraded("early").await;
        assert_eq!(hijack.stream.receive_exact(5).await.unwrap(), b"early");
        hijack.stream.send(b"x").await.unwrap();
        assert_eq!(hijack.stream.receive_exact(1).await.unwrap(), b"x");

        // The client's first bytes come with its request, before any answer.
        let target = way.start("exact");
        let headers = way.with(&UPGRADE);
        let length = BODY.len().to_string();
        let signed = way.operator.sign("POST", &target, &headers, BODY);
        let signed = signed.and("Content-Length", &length);
        let together = [BODY, b"first bytes"].concat();
        let (client, fields) = (way.operator.client(), signed.fields());
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
    everywhere(async |way| {
        let mut hijack = way.upgraded("server-first").await;
        assert_eq!(hijack.stream.receive_to_end().await.unwrap(), b"hello");
        let more = noise(100_000);
        hijack.stream.send(&more).await.unwrap();
        hijack.stream.close_write().await.unwrap();
        let path = format!("/exec/{}/start", way.exec("server-first"));
        let arrived = || {
            let seen = way.engine().requests_to(&path);
            let last = seen.last().expect("a request");
            last.client_closed && last.raw.bytes == 100_000 && last.raw.sum.value() == sum(&more)
        };
        assert!(eventually(arrived).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_may_upgrade_before_it_has_read_the_whole_body() {
    everywhere(async |way| {
        for _ in 0..5 {
            let mut hijack = way.upgraded("eager").await;
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
    everywhere(async |way| {
        let hijack = way.upgraded("exact").await;
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
    everywhere(async |way| {
        if way.node == "n2" && way.headers.is_empty() {
            // A session belongs to no object: without a target it is local.
            return;
        }
        let h2c = [
            ("Connection", "Upgrade"),
            ("Upgrade", "h2c"),
            ("X-Docker-Expose-Session-Uuid", "u"),
        ];
        for target in ["/session", "/grpc"] {
            let headers = way.with(&h2c);
            let mut hijack = way.operator.hijack(target, &headers, b"").await.unwrap();
            assert_eq!(hijack.status, 101);
            assert_eq!(hijack.head.header("Upgrade"), Some("h2c"));
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            hijack.stream.send(preface).await.unwrap();
            assert_eq!(
                hijack.stream.receive_exact(preface.len()).await.unwrap(),
                preface
            );
        }
        let seen = way.engine().requests_to("/session");
        let seen = seen.last().unwrap();
        assert_eq!(seen.header("X-Docker-Expose-Session-Uuid"), Some("u"));
        let headers = way.with(&[]);
        let refused = way
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
    everywhere(async |way| {
        for upgrade in [&UPGRADE[..], &[]] {
            let headers = way.with(upgrade);
            let refused = way
                .operator
                .hijack("/exec/nobody/start", &headers, BODY)
                .await
                .unwrap();
            assert_eq!(refused.status, 404);
            let refused = refused.response().await.unwrap();
            assert_eq!(refused.header("Content-Type"), Some("application/json"));
            assert_eq!(refused.message().unwrap(), "No such exec instance: nobody");
            // Attach refuses without a length, in plain text (moby's `writeErr`).
            let refused = way
                .operator
                .hijack("/containers/nobody/attach", &headers, b"")
                .await;
            let refused = refused.unwrap();
            assert_eq!(refused.status, 404);
            let text = refused.response().await.unwrap().text();
            assert!(text.contains("No such container: nobody"), "{text}");
        }
        // Detached there is no stream, and the next request goes on as usual.
        let headers = way.with(&[JSON]);
        let (target, body) = (way.start("echo"), b"{\"Detach\":true}");
        let detached = way
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
    everywhere(async |way| {
        let mut quiet = way.upgraded("exact").await;
        let mut old = way.plain("exact").await;
        // Longer than ten rounds of probes and than any interval of the bed.
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
    everywhere(async |way| {
        let mut all = Vec::new();
        for n in 0..20 {
            all.push((n, way.upgraded("exact").await));
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
    everywhere(async |way| {
        let path = format!("/exec/{}/start", way.exec("exact"));
        let mut hijack = way.upgraded("exact").await;
        hijack.stream.send(b"x").await.unwrap();
        hijack.stream.receive_exact(1).await.unwrap();
        drop(hijack);
        let noticed = || {
            way.engine()
                .requests_to(&path)
                .last()
                .is_some_and(|r| r.client_closed)
        };
        assert!(eventually(noticed).await);

        let mut hijack = way.upgraded("exact").await;
        way.engine().restart().await.unwrap();
        let rest = hijack.stream.receive_to_end().await;
        assert!(rest.is_ok_and(|rest| rest.is_empty()));
        // For the next way: until the agents have looked at it twice since.
        let looks = || way.engine().requests_to("/version").len();
        let before = looks();
        assert!(eventually(|| looks() >= before + 2).await);
        way.bed.settle().await;
    })
    .await;
}
