use std::collections::HashSet;

use super::*;
use crate::endpoint::Own;
use crate::endpoint::{
    Announcement, Browse, Console, Merge, ObjectKind, People, PortainerEndpoint, SwarmObject,
};

#[test]
fn the_engine_has_122_endpoints_and_the_agent_37() {
    let (own, engine): (Vec<_>, Vec<_>) = all().iter().partition(|e| e.is_own());
    assert_eq!((engine.len(), own.len()), (122, 37));
    let by_agent = |e: &&&Endpoint| {
        matches!(
            e.route,
            Route::Agent | Route::AgentOrTarget | Route::EveryAgent
        )
    };
    assert!(!engine.iter().any(|e| by_agent(&e)));
    assert_eq!(own.iter().filter(by_agent).count(), 20);
}

#[test]
fn an_id_finds_its_own_row() {
    for endpoint in all() {
        assert_eq!(endpoint.id.endpoint().id, endpoint.id);
    }
}

#[test]
fn no_two_rows_have_the_same_method_and_pattern() {
    let rows: HashSet<_> = all().iter().map(ToString::to_string).collect();
    assert_eq!(rows.len(), all().len());
}

#[test]
fn a_route_to_the_owner_of_an_object_says_where_the_object_is_named() {
    for endpoint in all() {
        let by_object = matches!(endpoint.route, Route::Owner(_) | Route::NetworkInspect);
        assert!(!by_object || endpoint.object.is_some(), "{endpoint}");
    }
    let named = |id: EndpointId| id.endpoint().object;
    assert_eq!(
        named(EndpointId::ImageCommit),
        Some(ObjectIn::Query("container"))
    );
    assert_eq!(
        named(EndpointId::NetworkConnect),
        Some(ObjectIn::Body("Container"))
    );
    assert_eq!(named(EndpointId::ServiceInspect), Some(ObjectIn::Path));
    assert_eq!(named(EndpointId::ContainerList), None);
    assert_eq!(named(EndpointId::Options), None);
}

#[test]
fn reading_groups_change_nothing() {
    for endpoint in all().iter().filter(|e| e.group.ends_with(".read")) {
        let waits = endpoint.id == EndpointId::ContainerWait;
        assert!(endpoint.method == Method::Get || waits, "{endpoint}");
    }
}

#[test]
fn no_row_is_newer_than_the_api_the_table_was_made_from() {
    let newest = ApiVersion::new(1, 56);
    for endpoint in all() {
        assert!(
            (ApiVersion::FLOOR..=newest).contains(&endpoint.since),
            "{endpoint}"
        );
    }
}

#[test]
fn a_row_is_named_as_in_the_swagger() {
    assert_eq!(EndpointId::ContainerInspect.name(), "ContainerInspect");
    for endpoint in all() {
        assert_eq!(endpoint.id.name(), format!("{:?}", endpoint.id));
    }
}

/// The rows with a value, in the order of the table.
fn rows(has: impl Fn(&Endpoint) -> bool) -> Vec<EndpointId> {
    all().iter().filter(|e| has(e)).map(|e| e.id).collect()
}

#[test]
fn every_list_that_nodes_share_has_a_merge_rule_of_its_own() {
    let merged = |merge| rows(|e| e.route == Route::EveryNode(merge));
    assert_eq!(merged(Merge::Containers), [EndpointId::ContainerList]);
    assert_eq!(merged(Merge::Images), [EndpointId::ImageList]);
    assert_eq!(merged(Merge::Volumes), [EndpointId::VolumeList]);
    assert_eq!(merged(Merge::Networks), [EndpointId::NetworkList]);
    assert_eq!(merged(Merge::DataUsage), [EndpointId::SystemDataUsage]);
    // All other lists are a manager's, or about one node's plugins.
    let lists = rows(|e| {
        let name = e.id.name();
        !e.is_own() && name.ends_with("List") && !matches!(e.route, Route::EveryNode(_))
    });
    for id in lists {
        let endpoint = id.endpoint();
        let checkpoints = endpoint.route == Route::Owner(ObjectKind::Container);
        let plugins = endpoint.route == Route::ThisNode && endpoint.group == "plugins.read";
        assert!(
            endpoint.route == Route::Manager || checkpoints || plugins,
            "{endpoint}"
        );
    }
}

#[test]
fn prunes_and_four_calls_about_images_accept_all_nodes_as_target() {
    use EndpointId::*;
    let prunes = rows(|e| e.all_nodes() == AllNodes::Prune);
    assert_eq!(
        prunes,
        [
            ContainerPrune,
            ImagePrune,
            BuildPrune,
            VolumePrune,
            NetworkPrune
        ]
    );
    let broadcasts = rows(|e| matches!(e.all_nodes(), AllNodes::Broadcast(_)));
    assert_eq!(broadcasts, [ImageTag, ImageDelete, ImageCreate, ImageLoad]);
    let as_usual = rows(|e| e.all_nodes() == AllNodes::AsUsual);
    assert_eq!(
        as_usual,
        [
            ContainerList,
            ImageList,
            VolumeList,
            NetworkList,
            SystemPing,
            SystemPingHead,
            SystemVersion,
            SystemInfo,
            SystemEvents,
            SystemDataUsage
        ]
    );
}

#[test]
fn clients_negotiate_by_three_rows_and_one_of_them_has_the_versions_in_its_body() {
    use EndpointId::*;
    let by = |announcement| rows(|e| e.route == Route::Negotiation(announcement));
    assert_eq!(by(Announcement::Header), [SystemPing, SystemPingHead]);
    assert_eq!(by(Announcement::Body), [SystemVersion]);
}

#[test]
fn networks_and_volumes_can_be_created_for_the_swarm() {
    use EndpointId::*;
    let by = |object| rows(|e| e.route == Route::ThisNodeOrManager(object));
    assert_eq!(by(SwarmObject::OverlayNetwork), [NetworkCreate]);
    assert_eq!(by(SwarmObject::ClusterVolume), [VolumeCreate]);
}

#[test]
fn every_row_that_the_agent_answers_has_a_handler_and_no_handler_is_unused() {
    for endpoint in all() {
        let by_agent = matches!(
            endpoint.route,
            Route::Agent | Route::AgentOrTarget | Route::EveryAgent
        );
        assert!(!by_agent || endpoint.is_own(), "{endpoint}");
    }
    for (own, rows_of_it) in [
        (Own::Identity, 1),
        (Own::Nodes, 1),
        (Own::Members, 1),
        (Own::Health, 1),
        (Own::ImageCopy, 1),
        (Own::ImageSpread, 1),
        (Own::Forward, 1),
        (Own::People(People::Current), 1),
        (Own::People(People::Users), 1),
        (Own::People(People::Version), 1),
        (Own::People(People::Joined), 1),
        (Own::People(People::Change), 1),
        (Own::People(People::Authority), 1),
        (Own::People(People::Join), 1),
        (Own::People(People::Renew), 1),
        (Own::NodeMetrics, 1),
        (Own::Prometheus, 1),
        (Own::Portainer(PortainerEndpoint::Ping), 1),
        (Own::Portainer(PortainerEndpoint::EdgeKey), 2),
        (Own::Portainer(PortainerEndpoint::PinnedKey), 1),
        (Own::Portainer(PortainerEndpoint::Agents), 1),
        (Own::Portainer(PortainerEndpoint::HostInfo), 1),
        (Own::Portainer(PortainerEndpoint::Browse(Browse::List)), 2),
        (Own::Portainer(PortainerEndpoint::Browse(Browse::Get)), 2),
        (Own::Portainer(PortainerEndpoint::Browse(Browse::Delete)), 2),
        (Own::Portainer(PortainerEndpoint::Browse(Browse::Rename)), 2),
        (Own::Portainer(PortainerEndpoint::Browse(Browse::Put)), 2),
        (
            Own::Portainer(PortainerEndpoint::Console(Console::Attach)),
            1,
        ),
        (Own::Portainer(PortainerEndpoint::Console(Console::Exec)), 1),
        (Own::Portainer(PortainerEndpoint::HubLimits), 1),
        (Own::Whoami, 1),
    ] {
        assert_eq!(rows(|e| e.own == Some(own)).len(), rows_of_it, "{own:?}");
    }
}

#[test]
fn only_the_health_check_and_open_endpoints_are_routine() {
    use EndpointId::*;
    assert_eq!(rows(|e| e.routine), [AgentHealth]);
    let open = rows(|e| e.open);
    assert_eq!(open, [PortainerPing, PortainerKey, PortainerSetKey]);
    assert!(open.iter().all(|id| id.endpoint().is_own()));
}

#[test]
fn agents_send_only_reads_for_themselves() {
    use EndpointId::*;
    let internal = rows(|e| e.internal);
    assert_eq!(
        internal,
        [
            ContainerInspect,
            ExecInspect,
            ImageInspect,
            VolumeInspect,
            NetworkInspect,
            NodeList,
            ServiceInspect,
            TaskList,
            TaskInspect,
            SecretInspect,
            ConfigInspect,
            AgentIdentity,
            AgentMembers,
            AgentPortainer,
            PeopleCurrent,
        ]
    );
    for id in internal {
        assert_eq!(id.endpoint().method, Method::Get, "{id:?}");
        assert_eq!(id.endpoint().body, Body::None, "{id:?}");
    }
}

#[test]
fn the_new_id_is_remembered_for_objects_of_one_node() {
    use EndpointId::*;
    assert_eq!(rows(|e| e.remember), [ContainerCreate, ContainerExec]);
}

#[test]
fn a_scope_holds_every_row_about_a_container_a_volume_or_a_network() {
    for endpoint in all() {
        let labelled = matches!(
            endpoint.route,
            Route::Owner(
                ObjectKind::Container | ObjectKind::Exec | ObjectKind::Volume | ObjectKind::Network
            ) | Route::NetworkInspect
                | Route::Placement
        );
        let loose = matches!(endpoint.scope, Reach::Unscoped | Reach::Build | Reach::List);
        assert!(!labelled || !loose, "{endpoint}");
    }
}

#[test]
fn a_body_with_labels_is_checked_where_the_scope_puts_labels_into_it() {
    for endpoint in all() {
        let labels = matches!(endpoint.scope, Reach::Create(_) | Reach::Replace(_));
        let checked = endpoint.body_check() != BodyCheck::Nothing;
        assert!(!labels || checked, "{endpoint}");
    }
}

#[test]
fn only_a_pull_can_be_an_import_which_has_a_group_of_its_own() {
    let imports = rows(|e| e.import_group.is_some());
    assert_eq!(imports, [EndpointId::ImageCreate]);
    for id in imports {
        let group = id.endpoint().import_group.unwrap();
        assert!(all().iter().any(|e| e.group == group));
        assert_eq!(id.endpoint().head, HeadCheck::PullOrImport);
    }
}
