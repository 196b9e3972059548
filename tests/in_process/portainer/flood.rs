//! The audit log under a flood of unauthenticated requests.

use serde_json::Value;
use skep_bed::eventually;

use super::*;
use crate::common::warnings_of;

const REQUESTS: u64 = 300;

fn audited(hostname: &str, folder: &Path, config: &mut Config) {
    with_secret(hostname, folder, config);
    config.audit = Some(Audit {
        file: folder.join("audit"),
        routine: false,
    });
}

fn lines(bed: &TestCluster) -> Vec<Value> {
    let text = std::fs::read_to_string(bed.folder().join("audit")).unwrap_or_default();
    // The last line may be incomplete.
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

fn of<'l>(lines: &'l [Value], verdict: &'l str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["verdict"] == verdict)
}

fn suppressed(lines: &[Value]) -> u64 {
    of(lines, "left_out")
        .filter_map(|l| l["count"].as_u64())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unauthenticated_requests_are_logged_up_to_a_rate_and_then_counted() {
    ClusterBuilder::of([manager("n1").engine(with_objects("c1"))])
        .configure(audited)
        .run(async |bed| {
            let operator = bed.operator("n1");
            let mut connection = operator.client().connect().await.unwrap();
            for _ in 0..REQUESTS {
                let answer = connection.request("GET", "/info", &[], b"").await.unwrap();
                assert_eq!(answer.status, 401);
            }
            let logged = || of(&lines(bed), "refuse").count() as u64;
            let all = || logged() + suppressed(&lines(bed));
            assert!(eventually(|| all() == REQUESTS).await, "{} of all", all());
            assert!((50..REQUESTS).contains(&logged()), "{}", logged());
            for line in of(&lines(bed), "left_out") {
                let warning = format!(
                    "{} more requests of unauthenticated clients were",
                    line["count"]
                );
                assert!(!warnings_of(&warning).is_empty(), "{warning}");
            }

            // Every authenticated request has a line, even during a flood.
            let before = lines(bed).len();
            for _ in 0..100 {
                assert_eq!(
                    server().get(bed, "n1", "/containers/c1/json").await.status,
                    200
                );
            }
            assert!(eventually(|| of(&lines(bed), "allow").count() == 100).await);
            // Requests without authentication have none.
            for target in ["/ping", "/key"] {
                send(bed, "n1", "GET", target, &[], b"").await;
            }
            assert_eq!(server().get(bed, "n1", "/version").await.status, 200);
            assert!(eventually(|| lines(bed).len() == before + 101).await);
            assert!(!lines(bed).iter().any(|line| line["path"] == "/ping"));
        })
        .await;
}
