//! Translates the bodies of requests, and refuses those of which an older engine would
//! ignore a part that keeps something away from a container.
//!
//! The bodies were judged before. One with a field in two spellings stays as it is: the
//! engine decides.

use super::{Translation, Untranslatable};
use crate::endpoint::{ApiVersion, EndpointId, Mapping};
use crate::json::{Edit, Elements, Members, json_string, spliced};

/// From this version on, a volume may be one of the cluster.
const CLUSTER_VOLUMES: ApiVersion = ApiVersion::new(1, 42);

/// From this version on, each endpoint has its own MAC address, a container may be
/// created with several endpoints, and engines always refuse a second network of a name.
const OF_ENDPOINTS: ApiVersion = ApiVersion::new(1, 44);

/// From this version on, a read-only bind can be forced to be so in its submounts.
const RECURSIVE: ApiVersion = ApiVersion::new(1, 44);

/// From this version on, a mount can have a part of a volume.
const SUBPATH: ApiVersion = ApiVersion::new(1, 45);

/// From this version on, a container has no MAC address of its own.
const ONLY_OF_ENDPOINTS: ApiVersion = ApiVersion::new(1, 52);

impl Translation {
    /// The body for the engine; `None` if it stays as it is.
    ///
    /// # Errors
    /// If the engine would do more than the request says.
    pub fn body(self, id: EndpointId, body: &[u8]) -> Result<Option<String>, Untranslatable> {
        let (Ok(text), Some(members)) = (std::str::from_utf8(body), Members::of(body)) else {
            return Ok(None);
        };
        match id.endpoint().mapping {
            Some(Mapping::ContainerCreate) => self.container(text, &members),
            Some(Mapping::NetworkCreate) => Ok(self.network(text, &members)),
            Some(Mapping::VolumeCreate) => self.volume(&members).map(|()| None),
            Some(
                Mapping::Container
                | Mapping::Image
                | Mapping::Images
                | Mapping::DataUsage
                | Mapping::Events
                | Mapping::VolumePrune
                | Mapping::BuildPrune
                | Mapping::ImageRemoval,
            )
            | None => Ok(None),
        }
    }

    fn volume(self, volume: &Members<'_>) -> Result<(), Untranslatable> {
        if self.is_before(CLUSTER_VOLUMES) && volume.is_set("ClusterVolumeSpec") {
            return Err(self.refused("a volume of the cluster would be one of this node alone"));
        }
        Ok(())
    }

    /// Newer clients leave `CheckDuplicate` out; without it, older engines make a second
    /// network of the same name.
    fn network(self, text: &str, network: &Members<'_>) -> Option<String> {
        let lacks = self.is_before(OF_ENDPOINTS) && !network.is_set("CheckDuplicate");
        let added = lacks.then(|| Edit::add(text, text.trim_ascii(), ",\"CheckDuplicate\":true"));
        Some(spliced(text, vec![added??]))
    }

    fn container(self, text: &str, create: &Members<'_>) -> Result<Option<String>, Untranslatable> {
        let host = create.value("HostConfig").map(str::as_bytes);
        let host = host.and_then(Members::of);
        self.mounts(host.as_ref())?;
        let mac = Macs::of(text, create, host.as_ref());
        Ok(match mac {
            Some(mac) if self.is_before(OF_ENDPOINTS) => mac.of_container(self)?,
            Some(mac) if self.is_after(OF_ENDPOINTS) => mac.of_endpoint(true),
            Some(mac) if self.is_after(ONLY_OF_ENDPOINTS) => mac.of_endpoint(false),
            Some(_) | None => None,
        })
    }

    fn mounts(self, host: Option<&Members<'_>>) -> Result<(), Untranslatable> {
        let mounts = host.and_then(|host| host.value("Mounts"));
        let mounts = mounts.and_then(|mounts| serde_json::from_str::<Elements<'_>>(mounts).ok());
        let mounts = mounts.and_then(|mounts| mounts.texts().ok());
        for mount in mounts.unwrap_or_default() {
            let options = |name| {
                let mount = Members::of(mount.as_bytes())?;
                Members::of(mount.value(name)?.as_bytes())
            };
            let subpath = options("VolumeOptions").and_then(|options| options.text("Subpath"));
            if self.is_before(SUBPATH) && subpath.is_some_and(|subpath| !subpath.is_empty()) {
                return Err(self.refused("a mount has the whole volume, not its Subpath"));
            }
            let forced =
                options("BindOptions").and_then(|options| options.flag("ReadOnlyForceRecursive"));
            if self.is_before(RECURSIVE) && forced == Some(true) {
                return Err(self.refused(
                    "the mounts below a read-only bind can be written to: ReadOnlyForceRecursive \
                     is not known",
                ));
            }
        }
        Ok(())
    }
}

/// Where the body of a new container has MAC addresses.
struct Macs<'a> {
    text: &'a str,
    /// The container's own, as raw JSON.
    own: Option<&'a str>,
    /// The network that the container is created in.
    main: String,
    /// `NetworkingConfig`, as raw JSON.
    networking: Option<&'a str>,
    /// `EndpointsConfig` in it, as raw JSON.
    endpoints: Option<&'a str>,
    /// Its members.
    each: Vec<(String, &'a str)>,
}

impl<'a> Macs<'a> {
    fn of(text: &'a str, create: &Members<'a>, host: Option<&Members<'_>>) -> Option<Self> {
        let own = create.only("MacAddress").ok()?;
        let networking = create.only("NetworkingConfig").ok()?;
        let networking = networking.filter(|raw| *raw != "null");
        let config = networking.and_then(|raw| Members::of(raw.as_bytes()));
        let endpoints = match &config {
            Some(config) => config.only("EndpointsConfig").ok()?,
            None => None,
        };
        let endpoints = endpoints.filter(|raw| *raw != "null");
        let each = endpoints.and_then(|raw| Members::of(raw.as_bytes()));
        let each = each.map(|each| {
            each.iter()
                .map(|(name, raw)| (name.to_owned(), raw.get()))
                .collect()
        });
        let mode = host.and_then(|host| host.text("NetworkMode"));
        Some(Self {
            text,
            own,
            main: mode
                .filter(|mode| !mode.is_empty())
                .unwrap_or_else(|| "default".to_owned()),
            networking,
            endpoints,
            each: each.unwrap_or_default(),
        })
    }

    /// For an engine before 1.44: the address of the only endpoint is the container's.
    /// Engines refuse several endpoints themselves.
    fn of_container(&self, translation: Translation) -> Result<Option<String>, Untranslatable> {
        let [(_, endpoint)] = &self.each[..] else {
            return Ok(None);
        };
        let Some(address) = address_in(endpoint) else {
            return Ok(None);
        };
        let quoted = json_string(&address);
        let edit = match (self.own, self.own.and_then(text_in)) {
            (None, _) => {
                let member = format!(",\"MacAddress\":{quoted}");
                Edit::add(self.text, self.text.trim_ascii(), &member)
            }
            (Some(_), Some(own)) if own == address => None,
            (Some(_), Some(own)) if !own.is_empty() => {
                return Err(translation.refused(
                    "a container has one MacAddress: leave that of the container or that of the \
                     endpoint out",
                ));
            }
            (Some(raw), _) => Edit::replace(self.text, raw, quoted),
        };
        Ok(edit.map(|edit| spliced(self.text, vec![edit])))
    }

    /// For an engine since 1.44: the container's address is that of its main endpoint.
    /// A client before 1.44 knows no other addresses, and engines ignored them.
    fn of_endpoint(&self, others_ignored: bool) -> Option<String> {
        let own = self.own.and_then(text_in).filter(|own| !own.is_empty());
        let mut edits = Vec::new();
        let mut placed = false;
        let is_main = |name: &str| name == self.main;
        let none_is_main = !self.each.iter().any(|(name, _)| is_main(name));
        for (name, endpoint) in &self.each {
            let takes = is_main(name) || (others_ignored && none_is_main && self.each.len() == 1);
            let found = address_in(endpoint);
            match (&own, takes) {
                (Some(own), true) if others_ignored || found.is_none() => {
                    edits.push(with_address(self.text, endpoint, &json_string(own))?);
                    placed = true;
                }
                (Some(own), true) => placed = found.as_ref() == Some(own),
                _ if others_ignored && found.is_some() => {
                    edits.push(with_address(self.text, endpoint, "null")?);
                }
                _ => {}
            }
        }
        if let Some(own) = &own
            && self.each.is_empty()
            && has_endpoints(&self.main)
        {
            edits.push(self.with_endpoint(&json_string(own))?);
            placed = true;
        }
        if placed && let Some(raw) = self.own {
            edits.push(Edit::replace(self.text, raw, "null")?);
        }
        (!edits.is_empty()).then(|| spliced(self.text, edits))
    }

    /// Adds the main endpoint with this address.
    fn with_endpoint(&self, address: &str) -> Option<Edit<'static>> {
        let main = json_string(&self.main);
        let endpoint = format!("{main}:{{\"MacAddress\":{address}}}");
        if let Some(endpoints) = self.endpoints {
            return Edit::add(self.text, endpoints, &format!(",{endpoint}"));
        }
        let endpoints = format!(",\"EndpointsConfig\":{{{endpoint}}}");
        match self.networking {
            Some(networking) => Edit::add(self.text, networking, &endpoints),
            None => {
                let config = endpoints.strip_prefix(',')?;
                let config = format!(",\"NetworkingConfig\":{{{config}}}");
                Edit::add(self.text, self.text.trim_ascii(), &config)
            }
        }
    }
}

/// Whether a container of this network mode has an endpoint of its own.
fn has_endpoints(mode: &str) -> bool {
    !matches!(mode, "host" | "none") && !mode.starts_with("container:")
}

fn text_in(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// The MAC address of an endpoint, unless it is empty.
fn address_in(endpoint: &str) -> Option<String> {
    let address = Members::of(endpoint.as_bytes())?.text("MacAddress");
    address.filter(|address| !address.is_empty())
}

/// The endpoint with this address, as raw JSON.
fn with_address(text: &str, endpoint: &str, address: &str) -> Option<Edit<'static>> {
    if endpoint == "null" {
        return Edit::replace(text, endpoint, format!("{{\"MacAddress\":{address}}}"));
    }
    let members = Members::of(endpoint.as_bytes())?;
    match members.only("MacAddress").ok()? {
        Some(raw) => Edit::replace(text, raw, address.to_owned()),
        None => Edit::add(text, endpoint, &format!(",\"MacAddress\":{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(
        asked: u16,
        sent: u16,
        id: EndpointId,
        body: &str,
    ) -> Result<Option<String>, Untranslatable> {
        let translation = Translation {
            asked: ApiVersion::new(1, asked),
            sent: ApiVersion::new(1, sent),
        };
        translation.body(id, body.as_bytes())
    }

    #[test]
    fn the_address_of_an_endpoint_is_the_containers_for_an_older_engine() {
        for (given, expected) in [
            (
                r#"{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                Some(
                    r#"{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}},"MacAddress":"02:01"}"#,
                ),
            ),
            (
                r#"{"MacAddress":"","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                Some(
                    r#"{"MacAddress":"02:01","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                ),
            ),
            (
                r#"{"macaddress":null,"networkingconfig":{"endpointsconfig":{"n":{"macAddress":"02:01"}}}}"#,
                Some(
                    r#"{"macaddress":"02:01","networkingconfig":{"endpointsconfig":{"n":{"macAddress":"02:01"}}}}"#,
                ),
            ),
            (
                r#"{"MacAddress":"02:01","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                None,
            ),
            (r#"{"MacAddress":"02:01"}"#, None),
            (r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{}}}}"#, None),
            (
                r#"{"NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#,
                None,
            ),
            (r#"{"NetworkingConfig":null}"#, None),
            (
                r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"},"m":{}}}}"#,
                None,
            ),
            (r#"{"MacAddress":"a","MACADDRESS":"b"}"#, None),
            ("not JSON", None),
            ("", None),
        ] {
            let found = body(44, 41, EndpointId::ContainerCreate, given);
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{given}");
        }
        let two = r#"{"MacAddress":"02:02","NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#;
        assert!(body(44, 41, EndpointId::ContainerCreate, two).is_err());
    }

    #[test]
    fn the_address_of_a_container_is_that_of_its_main_endpoint_for_a_newer_engine() {
        for (asked, sent, given, expected) in [
            (
                41,
                44,
                r#"{"MacAddress":"02:01"}"#,
                Some(
                    r#"{"MacAddress":null,"NetworkingConfig":{"EndpointsConfig":{"default":{"MacAddress":"02:01"}}}}"#,
                ),
            ),
            (
                51,
                52,
                r#"{"MacAddress":"02:01","HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{}}"#,
                Some(
                    r#"{"MacAddress":null,"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                ),
            ),
            (
                41,
                52,
                r#"{"MacAddress":"02:01","HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#,
                Some(
                    r#"{"MacAddress":null,"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                ),
            ),
            // As engines before 1.44: the only endpoint, whatever its name.
            (
                41,
                52,
                r#"{"MacAddress":"02:01","HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"id":{"MacAddress":"02:09"}}}}"#,
                Some(
                    r#"{"MacAddress":null,"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"id":{"MacAddress":"02:01"}}}}"#,
                ),
            ),
            // They ignored the addresses of endpoints.
            (
                41,
                44,
                r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:09"}}}}"#,
                Some(r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":null}}}}"#),
            ),
            // Since 1.44 they must be the same.
            (
                44,
                52,
                r#"{"MacAddress":"02:01","HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                Some(
                    r#"{"MacAddress":null,"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:01"}}}}"#,
                ),
            ),
            (
                44,
                52,
                r#"{"MacAddress":"02:01","HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:09"}}}}"#,
                None,
            ),
            // Engines refuse an address without a network of its own.
            (
                41,
                52,
                r#"{"MacAddress":"02:01","HostConfig":{"NetworkMode":"host"}}"#,
                None,
            ),
            (41, 52, r#"{"MacAddress":""}"#, None),
            (52, 56, r#"{"MacAddress":"02:01"}"#, None),
            (44, 51, r#"{"MacAddress":"02:01"}"#, None),
        ] {
            let found = body(asked, sent, EndpointId::ContainerCreate, given);
            assert_eq!(
                found,
                Ok(expected.map(str::to_owned)),
                "{asked} {sent} {given}"
            );
        }
    }

    #[test]
    fn a_body_of_which_the_engine_would_ignore_a_limit_is_refused() {
        use EndpointId::{ContainerCreate, VolumeCreate};
        let subpath =
            r#"{"HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"Subpath":"a"}}]}}"#;
        let forced =
            r#"{"HostConfig":{"Mounts":[{},{"BindOptions":{"ReadOnlyForceRecursive":true}}]}}"#;
        let cluster = r#"{"Name":"v","ClusterVolumeSpec":{}}"#;
        for (asked, sent, id, given, refused) in [
            (45, 44, ContainerCreate, subpath, true),
            (45, 45, ContainerCreate, subpath, false),
            (44, 41, ContainerCreate, subpath, false),
            (44, 43, ContainerCreate, forced, true),
            (45, 44, ContainerCreate, forced, false),
            (42, 41, VolumeCreate, cluster, true),
            (43, 42, VolumeCreate, cluster, false),
            (56, 41, VolumeCreate, r#"{"ClusterVolumeSpec":null}"#, false),
            (
                45,
                44,
                ContainerCreate,
                r#"{"HostConfig":{"Mounts":[{"VolumeOptions":{"Subpath":""}}]}}"#,
                false,
            ),
        ] {
            let found = body(asked, sent, id, given);
            assert_eq!(found.is_err(), refused, "{asked} {sent} {given}: {found:?}");
        }
    }

    #[test]
    fn an_older_engine_makes_no_second_network_of_a_name() {
        for (asked, sent, given, expected) in [
            (
                44,
                43,
                r#"{"Name":"n"}"#,
                Some(r#"{"Name":"n","CheckDuplicate":true}"#),
            ),
            (44, 43, r#"{"Name":"n","CheckDuplicate":true}"#, None),
            (44, 43, r#"{"Name":"n","checkDuplicate":false}"#, None),
            (43, 41, r#"{"Name":"n"}"#, None),
            (41, 44, r#"{"Name":"n"}"#, None),
        ] {
            let found = body(asked, sent, EndpointId::NetworkCreate, given);
            assert_eq!(
                found,
                Ok(expected.map(str::to_owned)),
                "{asked} {sent} {given}"
            );
        }
    }
}
