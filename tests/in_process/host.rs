//! Metrics of the hosts: of one node, of all nodes, and for Prometheus.

use crate::common::{ClusterBuilder, TestCluster, manager, with_cluster, worker};
use skep::config::{Grant, Hidden, Portainer, SecretSource};
use skep_bed::Response;

fn nodes(response: &Response) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    let nodes = body["nodes"].as_array().expect("nodes").iter();
    let name = |node: &serde_json::Value| {
        assert_eq!(node["engine"]["up"], true, "{node}");
        assert!(node["memory"]["total"].as_u64() > Some(0), "{node}");
        node["node"]["hostname"]
            .as_str()
            .expect("a name")
            .to_owned()
    };
    nodes.map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_cover_all_nodes_or_the_named_one() {
    with_cluster([manager("n1"), worker("n2"), worker("n3")], async |bed| {
        let operator = bed.operator("n2");
        let all = operator.get("/skep/v1/metrics").await.unwrap();
        assert_eq!(all.status, 200);
        assert_eq!(all.header("Skep-Missing"), None);
        assert_eq!(nodes(&all), ["n2", "n1", "n3"]);
        for node in ["n1", "n2"] {
            let one = operator.get_from(node, "/skep/v1/metrics").await.unwrap();
            assert_eq!(nodes(&one), [node]);
        }
        bed.node_mut("n3").stop().await;
        let rest = operator.get("/skep/v1/metrics").await.unwrap();
        assert_eq!(nodes(&rest), ["n2", "n1"]);
        let missing = rest.header("Skep-Missing").expect("the missing node");
        assert!(missing.contains(" n3 ("), "{missing}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_reports_its_processors_disks_networks_and_uptime() {
    with_cluster([manager("n1"), worker("n2")], async |bed| {
        let all = bed.operator("n1").get("/skep/v1/metrics").await.unwrap();
        let all = all.json().expect("JSON");
        let rows = all["nodes"].as_array().expect("nodes");
        assert_eq!(rows.len(), 2);
        for row in rows {
            let positive = |at: &str| {
                let number = row.pointer(at).and_then(serde_json::Value::as_f64);
                assert!(number > Some(0.0), "{at}: {row}");
            };
            positive("/uptime_seconds");
            positive("/cpu/count");
            positive("/memory/total");
            // In a container there may be no disk, and no network but the loopback.
            for lists in ["filesystems", "disks", "networks"] {
                assert!(row[lists].is_array(), "{lists}: {row}");
            }
            let (disks, networks) = (row["disks"].as_array(), row["networks"].as_array());
            for one in disks.into_iter().chain(networks).flatten() {
                assert!(one["device"].is_string(), "{one}");
                let numbers = one.as_object().expect("an object").values();
                assert!(numbers.filter(|v| v.is_number()).count() >= 2, "{one}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_one_node_at_a_time() {
    with_cluster([manager("n1"), worker("n2")], async |bed| {
        let operator = bed.operator("n1");
        for node in ["n1", "n2"] {
            let answer = operator.get_from(node, "/metrics").await.unwrap();
            assert_eq!(answer.status, 200);
            let kind = answer.header("Content-Type");
            assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.contains(&format!("hostname=\"{node}\"")), "{text}");
            assert!(text.contains("\nskep_engine_up 1\n"), "{text}");
            assert!(
                text.contains("\nskep_cluster_nodes{state=\"ready\"} "),
                "{text}"
            );
        }
        let operator = bed.operator("n1");
        let refused = operator.client().get("/metrics", &[]).await.unwrap();
        assert_eq!(refused.status, 401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardware_is_reported_in_portainers_format() {
    let portainer = Portainer {
        secret: Some(SecretSource::Given(Hidden::new(vec![b'x'; 40]))),
        public_key_file: None,
        first_use: false,
        grant: Grant::admin(),
    };
    let cluster = ClusterBuilder::of([manager("n1"), worker("n2")])
        .configure(|_, _, config| config.auth.portainer = Some(portainer.clone()));
    let over = async |bed: &mut TestCluster| {
        for target in ["/host/info", "/v1/host/info", "/v2/host/info"] {
            let answer = bed.operator("n1").get_from("n2", target).await.unwrap();
            assert_eq!(answer.status, 200, "{target}");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert!(body["PCIDevices"].is_array(), "{body}");
            assert!(body["PhysicalDisks"].is_array(), "{body}");
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(2));
        }
    };
    cluster.run(over).await;
}
