//! The list of nodes, from every agent.

use serde_json::Value;

use super::cluster::Lab;

pub(crate) fn every_agent_is_healthy(lab: &Lab) {
    for node in lab.numbers() {
        let (engine, agent) = (lab.engine(node), lab.agent(node));
        let output = engine
            .cmd("exec")
            .arg(&agent.container)
            .arg_each("/skep health")
            .ok();
        let health: Value = serde_json::from_str(&output).expect("JSON");
        let name = health["node"].as_str().unwrap_or_default();
        assert!(name.contains(&format!("node{node}")), "{output}");
        let status = engine
            .cmd("inspect --format {{.State.Health.Status}}")
            .arg(&agent.container)
            .ok();
        assert_eq!(status, "healthy");
    }
}

pub(crate) fn every_agent_finds_all_nodes_with_role_engine_and_api(lab: &Lab) {
    for entry in lab.numbers() {
        let nodes = lab.nodes(entry);
        assert_eq!(nodes.len(), 3, "{nodes:?}");
        assert!(nodes.is_sorted_by_key(|node| node.id.clone()), "{nodes:?}");
        for node in lab.numbers() {
            let hostname = format!("node{node}");
            let row = lab.node(entry, &hostname);
            let engine = lab.engine(node);
            let version = "version --format {{.Server.Version}}|{{.Server.MinAPIVersion}}-{{.Server.APIVersion}}";
            assert_eq!(format!("{}|{}", row.engine, row.api), engine.ok(version));
            assert_eq!(row.id, engine.ok("info --format {{.Swarm.NodeID}}"));
            assert_eq!(row.role, if node == 1 { "manager" } else { "worker" });
            assert_eq!(row.state, "ready");
            assert_eq!(row.here, node == entry, "the entry node is marked: {row:?}");
        }
    }
}
