//! The containers that agents make for a forward: what they may, and when they go.

use super::*;
use skep_bed::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_has_no_rights_and_the_agents_image() {
    two(Vec::new())
        .run(async |bed| {
            let port = echo().await;
            let _open = connected(&bed.operator("n1"), "web.n2", port).await;
            let made = made(bed.node("n2"));
            let [made] = &made[..] else {
                panic!("{made:?}");
            };
            let body = made.json().expect("JSON");
            assert_eq!(body["Image"], IMAGE);
            assert_eq!(body["Cmd"], json!(["relay"]));
            assert_eq!(body["User"], "65534:65534");
            assert_eq!(body["Healthcheck"]["Test"], json!(["NONE"]));
            assert_eq!(body["StdinOnce"], true);
            let host = &body["HostConfig"];
            assert_eq!(host["NetworkMode"], format!("container:{}", web("n2")));
            assert_eq!(host["CapDrop"], json!(["ALL"]));
            assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
            for (setting, value) in [
                ("ReadonlyRootfs", true.into()),
                ("AutoRemove", true.into()),
                ("Memory", 100_663_296.into()),
                ("PidsLimit", 16.into()),
                ("Binds", Value::Null),
                ("Mounts", Value::Null),
                ("Privileged", Value::Null),
            ] {
                assert_eq!(host[setting], value, "{setting}");
            }
            assert_eq!(body["Labels"]["skep.forward"], web("n2"));
            assert_eq!(body["Labels"]["skep.forward.agent"], agent("n2"));
            // Exactly the calls that the documentation lists.
            let calls = || {
                let mut seen = bed.node("n2").asked();
                seen.retain(|seen| seen.method != "GET");
                let verbs = seen.iter().map(|seen| {
                    let verb = seen.path.rsplit('/').next().unwrap();
                    format!("{} {verb}", seen.method)
                });
                let mut verbs: Vec<_> = verbs.collect();
                verbs.sort();
                verbs
            };
            assert!(eventually(|| calls().len() >= 4).await, "{:?}", calls());
            let calls = calls();
            assert_eq!(
                calls,
                ["POST attach", "POST create", "POST start", "POST wait"]
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_goes_with_its_target_and_with_its_agent() {
    let nodes = [
        manager("n1").engine(|e| engine(e, "n1", Vec::new())),
        worker("n2").engine(|e| engine(e, "n2", Vec::new()).wait(Duration::from_millis(500))),
    ];
    ClusterBuilder::of(nodes)
        .configure(configure)
        .run(async |bed| {
            let port = echo().await;
            let operator = bed.operator("n1");
            let has_helper = async || {
                let list = operator.get("/containers/json?all=1").await.unwrap();
                list.text().contains("skep-forward-")
            };
            // Its target ends after half a second, as the engine of n2 says.
            let mut open = connected(&operator, "web.n2", port).await;
            let ended = timeout(PATIENCE, open.stream.receive_to_end()).await;
            drop(ended.expect("an end"));
            let removed = || {
                !bed.node("n2")
                    .engine
                    .requests()
                    .iter()
                    .all(|r| r.method != "DELETE")
            };
            assert!(eventually(removed).await);
            assert!(!has_helper().await);
            // A new one for the next connection.
            let _open = connected(&operator, "web.n2", port).await;
            assert_eq!(made(bed.node("n2")).len(), 2);
            let _other = connected(&operator, "web.n1", port).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_removes_the_helpers_of_one_that_is_gone_and_no_others() {
    let helper = |n: u8, agent: &str| {
        let name = format!("skep-forward-{}", format!("{n:02x}").repeat(16));
        let id = format!("{n:02x}").repeat(32);
        let mut row = fixture::container(&id, &name, 1, 0);
        row["Labels"] = json!({ "skep.forward": "x", "skep.forward.agent": agent });
        row
    };
    let other = "cc".repeat(32);
    let mut named_like_one = helper(4, "gone");
    named_like_one["Names"] = json!(["/forward"]);
    let mut without_label = helper(5, "gone");
    without_label["Labels"] = json!({});
    let more = vec![
        helper(1, &agent("n2")),
        helper(2, "gone"),
        helper(3, &other),
        named_like_one,
        without_label,
        fixture::container(&other, "another-agent", 1, 0),
    ];
    two(more)
        .run(async |bed| {
            let removed = || {
                let mut all = bed.node("n2").engine.requests();
                all.retain(|request| request.method == "DELETE");
                let mut all: Vec<_> = all.into_iter().map(|r| r.path).collect();
                all.sort();
                all
            };
            assert!(eventually(|| removed().len() >= 2).await, "{:?}", removed());
            let id = |n: u8| format!("/containers/{}", format!("{n:02x}").repeat(32));
            assert_eq!(removed(), [id(1), id(2)]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_starts_the_helper_and_connects_to_nothing() {
    two(Vec::new())
        .run(async |bed| {
            let operator = bed.operator("n1");
            let check = format!("{}&check=1", target("web.n2", 1));
            let answer = operator.ask("POST", &check, &[], b"").await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let found = answer.json().unwrap();
            assert_eq!(found["Id"], web("n2"));
            assert_eq!(found["NodeName"], "n2");
            assert_eq!(made(bed.node("n2")).len(), 1);
            assert!(made(bed.node("n1")).is_empty());
        })
        .await;
}
