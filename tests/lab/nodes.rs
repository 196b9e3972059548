//! Which nodes there are, in the words of every agent.

use serde_json::Value;

use super::cluster::Lab;

pub(crate) fn every_agent_is_healthy(lab: &Lab) {
    for node in lab.numbers() {
        let (engine, agent) = (lab.engine(node), lab.agent(node));
        let said = engine
            .cmd("exec")
            .arg(&agent.container)
            .arg_each("/skep health")
            .ok();
        let health: Value = serde_json::from_str(&said).expect("JSON");
        let who = health["node"].as_str().unwrap_or_default();
        assert!(who.contains(&format!("node{node}")), "{said}");
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
            let said = lab.node(entry, &hostname);
            let engine = lab.engine(node);
            let version = "version --format {{.Server.Version}}|{{.Server.MinAPIVersion}}-{{.Server.APIVersion}}";
            assert_eq!(format!("{}|{}", said.engine, said.api), engine.ok(version));
            assert_eq!(said.id, engine.ok("info --format {{.Swarm.NodeID}}"));
            assert_eq!(said.role, if node == 1 { "manager" } else { "worker" });
            assert_eq!(said.state, "ready");
            assert_eq!(
                said.here,
                node == entry,
                "the one that was asked is marked: {said:?}"
            );
        }
    }
}
