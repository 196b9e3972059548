use std::collections::HashSet;

use super::*;
use crate::endpoint::{EndpointId, HeadCheck, ObjectIn, all};

fn check(id: EndpointId, query: &str) -> Result<(), String> {
    id.endpoint()
        .parameters
        .check(query)
        .map_err(|e| e.to_string())
}

fn names(parameters: Parameters) -> impl Iterator<Item = &'static str> {
    let Parameters {
        single,
        repeated,
        unread,
    } = parameters;
    [single, repeated, unread].into_iter().flatten().copied()
}

#[test]
fn no_row_has_a_parameter_twice_or_one_that_differs_in_case_only() {
    for endpoint in all() {
        let mut seen = HashSet::new();
        for name in names(endpoint.parameters) {
            assert!(seen.insert(name.to_ascii_lowercase()), "{endpoint}: {name}");
        }
    }
}

#[test]
fn a_row_has_the_parameters_that_its_other_columns_name() {
    for endpoint in all() {
        let parameters = endpoint.parameters;
        let in_query = |object: ObjectIn| match object {
            ObjectIn::Query(name) | ObjectIn::EachQuery(name) => Some(name),
            ObjectIn::Path | ObjectIn::Body(_) => None,
        };
        let checked: &[&str] = match endpoint.head {
            HeadCheck::PullOrImport => &["fromImage", "fromSrc", "tag", "repo"],
            HeadCheck::Build => &[
                "t",
                "remote",
                "networkmode",
                "cgroupparent",
                "securityopt",
                "isolation",
                "outputs",
                "version",
            ],
            HeadCheck::Search => &["term"],
            HeadCheck::Rollback => &["rollback", "version"],
            HeadCheck::CheckpointDir(name) => &[name],
            HeadCheck::PsArguments => &["ps_args"],
            HeadCheck::Port => &["port"],
            HeadCheck::Nothing
            | HeadCheck::LoadsImages
            | HeadCheck::NamesImage
            | HeadCheck::BuildKit
            | HeadCheck::Plugin
            | HeadCheck::LookUp(_)
            | HeadCheck::EndsContainer
            | HeadCheck::EndsContainers
            | HeadCheck::NetworkRemoval
            | HeadCheck::NetworkName
            | HeadCheck::UsesImage => &[],
        };
        let looked_up = match endpoint.head {
            HeadCheck::LookUp(object) => in_query(object),
            _ => None,
        };
        let object = endpoint.object.and_then(in_query);
        for name in checked.iter().copied().chain(object).chain(looked_up) {
            let read = [parameters.single, parameters.repeated].concat();
            assert!(read.contains(&name), "{endpoint}: {name}");
        }
    }
}

#[test]
fn every_row_takes_its_own_parameters_and_no_other() {
    for endpoint in all() {
        let id = endpoint.id;
        for name in names(endpoint.parameters) {
            assert_eq!(check(id, &format!("{name}=1")), Ok(()), "{endpoint}");
            assert_eq!(check(id, name), Ok(()), "{endpoint}");
        }
        assert_eq!(check(id, ""), Ok(()), "{endpoint}");
        assert_eq!(check(id, "&&"), Ok(()), "{endpoint}");
        for query in ["devices=1", "libpod", "=1", "all%00=1", "skep-target=n1"] {
            assert!(check(id, query).is_err(), "{endpoint}: {query}");
        }
    }
}

#[test]
fn podmans_parameters_of_a_build_are_refused_in_every_spelling() {
    for query in [
        "devices=%5B%22%2Fdev%2Fvda%22%5D",
        "addcaps=%5B%22CAP_SYS_ADMIN%22%5D",
        "dropcaps=x",
        "t=a&devices=x",
        "devices",
        "DEVICES=x",
        "Devices=x",
        "%64evices=x",
        "dev%69ces=x",
        "devices+=x",
        "+devices=x",
        "devices%00=x",
        "devices[]=x",
        "devices.0=x",
        "volume=/:/h",
        "volumes=/:/h",
        "nsoptions=x",
        "namespace=host",
        "idmappingoptions=x",
        "seccomp=unconfined",
        "apparmor=x",
        "labelopts=x",
        "runtime=x",
        "secrets=x",
        "ssh=x",
        "from=x",
        "additionalbuildcontexts=x",
        "output=x",
        "unmask=ALL",
        "httpproxy=1",
        "dnsservers=x",
        "layers=1",
        "manifest=x",
        "jobs=2",
        "registry=x",
        // Names of moby, in a case that only Podman reads.
        "T=a",
        "Remote=http://x",
        "NetworkMode=host",
        "SECURITYOPT=x",
        "Version=2",
    ] {
        assert!(check(EndpointId::ImageBuild, query).is_err(), "{query}");
    }
    let said = check(EndpointId::ImageBuild, "t=a&%64evices=x");
    assert_eq!(
        said,
        Err("this endpoint has no parameter \"devices\"".to_owned())
    );
}

#[test]
fn podmans_parameters_of_other_endpoints_are_refused() {
    use EndpointId::*;
    for (id, query) in [
        (ImagePush, "destination=evil.io/x"),
        (ImagePush, "tlsVerify=false"),
        (ImageCreate, "fromImage=a&retry=9"),
        (ImageCreate, "fromimage=a"),
        (ContainerDelete, "depend=true"),
        (ContainerDelete, "Volumes=true"),
        (ContainerPrune, "Filters=%7B%7D"),
        (ImageDelete, "ignore=1"),
        (ImageCommit, "container=a&squash=1"),
        (ContainerStats, "containers=a"),
        (ContainerList, "external=1"),
        (NetworkDelete, "force=1"),
        (ImageLoad, "reference=x"),
        (PutContainerArchive, "path=/&rename=%7B%7D"),
        (PutContainerArchive, "path=/&pause=1"),
        (ContainerStop, "timeout=1"),
        (ContainerKill, "all=1"),
        (ExecStart, "x=1"),
    ] {
        assert!(check(id, query).is_err(), "{id:?}: {query}");
    }
}

#[test]
fn a_second_value_is_accepted_only_where_every_value_is_read() {
    use EndpointId::*;
    for (id, query, accepted) in [
        (ImageCreate, "fromImage=a&fromImage=b", false),
        (ImageCreate, "fromImage=a&from%49mage=b", false),
        (ImageCreate, "fromImage=a&tag=1&tag=2", false),
        (ImageCreate, "fromImage&fromImage=a", false),
        (ImageCreate, "fromImage=a&fromImage=%61", true),
        (ImageCreate, "changes=a&changes=b", true),
        (ImageBuild, "t=a&t=b&extrahosts=a&extrahosts=b", true),
        (ImageBuild, "remote=&remote=http://x", false),
        (ImageBuild, "version=1&version=2", false),
        (ImageGetAll, "names=a&names=b", true),
        (ContainerList, "filters=a&filters=b", false),
        (SystemDataUsage, "type=image&type=volume", true),
        (ContainerAttach, "hijack=1&hijack=0", true),
    ] {
        assert_eq!(check(id, query).is_ok(), accepted, "{id:?}: {query}");
    }
}

#[test]
fn a_pair_that_go_drops_is_refused() {
    for query in ["t=%zz", "%zz=1", "t=a;b", ";", "t=a&%", "t=%2"] {
        let said = check(EndpointId::ImageBuild, query).unwrap_err();
        assert!(said.contains("cannot be read"), "{query}: {said}");
    }
}

#[test]
fn the_message_is_bounded_and_has_no_control_characters() {
    let long = "x".repeat(100_000);
    for query in [long.clone(), format!("t=%zz{long}"), "a%0Ab%1B".to_owned()] {
        let said = check(EndpointId::ImageBuild, &query).unwrap_err();
        assert!(said.len() < 300 && !said.contains(char::is_control));
    }
}

/// The queries of common clients.
#[test]
fn the_queries_of_clients_are_accepted() {
    use EndpointId::*;
    for (id, query) in [
        // docker
        (ContainerList, "all=1&limit=1&size=1&filters=%7B%7D"),
        (ContainerCreate, "name=web&platform=linux%2Famd64"),
        (
            ContainerAttach,
            "detachKeys=ctrl-p&stderr=1&stdin=1&stdout=1&stream=1&logs=1",
        ),
        (
            ContainerLogs,
            "details=1&follow=1&since=0&stderr=1&stdout=1&tail=all&timestamps=1&until=1",
        ),
        (ContainerStats, "one-shot=1&stream=0"),
        (ContainerWait, "condition=next-exit"),
        (
            ImageCreate,
            "fromImage=docker.io%2Flibrary%2Falpine&platform=&tag=latest",
        ),
        (
            ImageBuild,
            "buildargs=%7B%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0&dockerfile=Dockerfile&labels=%7B%7D&memory=0&memswap=0&networkmode=default&rm=1&shmsize=0&t=a&target=&ulimits=null&version=1",
        ),
        (
            ImageBuild,
            "remote=client-session&session=s&buildid=b&version=2&outputs=%5B%5D&squash=1&forcerm=1&pull=1&q=1&nocache=1&extrahosts=a:1&isolation=default&platform=linux",
        ),
        (
            BuildPrune,
            "all=1&filters=%7B%7D&reserved-space=0&max-used-space=0&min-free-space=0&keep-storage=0",
        ),
        (
            ServiceUpdate,
            "registryAuthFrom=spec&rollback=previous&version=12",
        ),
        (ServiceList, "filters=%7B%7D&status=true"),
        (ServiceInspect, "insertDefaults=false"),
        (NetworkInspect, "scope=swarm&verbose=true"),
        (GetPluginPrivileges, "remote=a%2Fb"),
        (
            ImageList,
            "all=1&filters=%7B%7D&shared-size=1&manifests=1&identity=1&digests=1&filter=a",
        ),
        // docker-py
        (
            ContainerList,
            "limit=-1&all=1&size=0&trunc_cmd=0&since=a&before=b",
        ),
        (ImageList, "only_ids=0&all=0"),
        (ImageTag, "tag=1&repo=a&force=0"),
        // dockerode
        (
            ContainerCreate,
            "name=a&Image=alpine&Cmd=%5B%22sh%22%5D&Env=%5B%5D&HostConfig=%7B%7D&Labels=%7B%7D&Tty=true",
        ),
        (
            ContainerAttach,
            "stream=true&stdin=true&stdout=true&stderr=true&hijack=true",
        ),
        (
            NetworkCreate,
            "Name=n&Driver=bridge&CheckDuplicate=true&IPAM=%7B%7D",
        ),
        (VolumeCreate, "Name=v&Labels=%7B%7D"),
        (ServiceUpdate, "version=3&Name=s&TaskTemplate=%7B%7D"),
        // Homepage, through dockerode
        (ServiceList, "all=true"),
        (TaskList, "all=true&filters=%7B%7D"),
        (NodeList, "all=true"),
        (SecretList, "all=true"),
        (ConfigList, "all=true"),
        (NetworkList, "all=true"),
        (VolumeList, "all=true"),
        (PluginList, "all=true"),
        // docker-java
        (ImageCreate, "tag=1&fromImage=a&registry=r"),
        // Portainer
        (ConsoleExec, "endpointId=1&id=ab&nodeName=n1&token=t"),
        (BrowseList, "path=%2F&volumeID=v"),
        (BrowseVolumeList, "path=%2F"),
        (SecretUpdate, "version=1"),
    ] {
        assert_eq!(check(id, query), Ok(()), "{id:?}: {query}");
    }
}
