//! Unauthenticated who ask again and again: what an operator finds of it.

use serde_json::Value;
use skep_bed::eventually;

use super::*;
use crate::common::warnings_of;

const STRANGERS: u64 = 300;

fn audited(hostname: &str, folder: &Path, config: &mut Config) {
    with_secret(hostname, folder, config);
    config.audit = Some(Audit {
        file: folder.join("audit"),
        routine: false,
    });
}

fn lines(bed: &Bed) -> Vec<Value> {
    let text = std::fs::read_to_string(bed.folder().join("audit")).unwrap_or_default();
    // The last one may be half written.
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

fn of<'l>(lines: &'l [Value], verdict: &'l str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["verdict"] == verdict)
}

fn left_out(lines: &[Value]) -> u64 {
    of(lines, "left_out")
        .filter_map(|l| l["count"].as_u64())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unauthenticated_requests_are_logged_up_to_a_rate_and_then_counted() {
    Cluster::of([manager("n1").engine(holding("c1"))])
        .configure(audited)
        .run(async |bed| {
            let operator = bed.operator("n1");
            let mut connection = operator.client().connect().await.unwrap();
            for _ in 0..STRANGERS {
                let answer = connection.request("GET", "/info", &[], b"").await.unwrap();
                assert_eq!(answer.status, 401);
            }
            let told = || of(&lines(bed), "refuse").count() as u64;
            let all = || told() + left_out(&lines(bed));
            assert!(eventually(|| all() == STRANGERS).await, "{} of all", all());
            assert!((50..STRANGERS).contains(&told()), "{}", told());
            for line in of(&lines(bed), "left_out") {
                let warning = format!("{} more requests of strangers were", line["count"]);
                assert!(!warnings_of(&warning).is_empty(), "{warning}");
            }

            // Who is let in has a line each, whatever strangers do meanwhile.
            let before = lines(bed).len();
            for _ in 0..100 {
                assert_eq!(
                    server().get(bed, "n1", "/containers/c1/json").await.status,
                    200
                );
            }
            assert!(eventually(|| of(&lines(bed), "allow").count() == 100).await);
            // What anybody may ask has none.
            for target in ["/ping", "/key"] {
                send(bed, "n1", "GET", target, &[], b"").await;
            }
            assert_eq!(server().get(bed, "n1", "/version").await.status, 200);
            assert!(eventually(|| lines(bed).len() == before + 101).await);
            assert!(!lines(bed).iter().any(|line| line["path"] == "/ping"));
        })
        .await;
}
