//! Recognises creates of objects that belong to the whole Swarm.

use crate::endpoint::SwarmObject;
use crate::json::Members;

/// Whether only a manager can carry out this create.
#[must_use]
pub fn creates_for_the_swarm(object: SwarmObject, body: Option<&[u8]>) -> bool {
    let body = body.unwrap_or_default();
    match object {
        SwarmObject::OverlayNetwork => is_swarm_network(body),
        SwarmObject::ClusterVolume => is_cluster_volume(body),
    }
}

/// Moby creates a network of the driver overlay, or of the scope swarm, through swarmkit.
fn is_swarm_network(body: &[u8]) -> bool {
    Members::of(body).is_some_and(|network| {
        let is = |field, value| network.text(field).is_some_and(|own| own == value);
        is("Driver", "overlay") || is("Scope", "swarm")
    })
}

/// Moby creates a volume with a cluster spec through swarmkit.
fn is_cluster_volume(body: &[u8]) -> bool {
    Members::of(body).is_some_and(|volume| volume.is_set("ClusterVolumeSpec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(body: &str) -> bool {
        creates_for_the_swarm(SwarmObject::OverlayNetwork, Some(body.as_bytes()))
    }

    fn volume(body: &str) -> bool {
        creates_for_the_swarm(SwarmObject::ClusterVolume, Some(body.as_bytes()))
    }

    #[test]
    fn objects_of_the_swarm_are_created_by_a_manager() {
        assert!(network(r#"{"Name":"a","Driver":"overlay"}"#));
        assert!(network(r#"{"Name":"a","driver":"overlay"}"#));
        assert!(network(
            r#"{"Name":"a","Driver":"macvlan","Scope":"swarm"}"#
        ));
        assert!(!network(r#"{"Name":"a","Driver":"bridge"}"#));
        assert!(!network("not JSON"));
        assert!(volume(r#"{"Name":"v","ClusterVolumeSpec":{}}"#));
        assert!(!volume("{}"));
        assert!(!creates_for_the_swarm(SwarmObject::OverlayNetwork, None));
    }

    #[test]
    fn the_last_spelling_decides_as_in_the_engine() {
        assert!(network(r#"{"DRIVER":"bridge","Driver":"overlay"}"#));
        assert!(!network(r#"{"DRIVER":"overlay","Driver":"bridge"}"#));
        assert!(volume(
            r#"{"ClusterVolumeSpec":null,"clustervolumespec":{}}"#
        ));
        assert!(!volume(
            r#"{"clustervolumespec":{},"ClusterVolumeSpec":null}"#
        ));
    }
}
