//! Reads the inspect of a container that is about to be removed: what ties it to
//! its node if it is created again.

use serde::Deserialize;
use serde_json::Value;

/// A container that was removed a moment ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Its name, without the leading `/`.
    pub name: String,
    /// The image, as it was named when the container was created.
    pub image: String,
    /// Whether it had files or ports of its node: another node lacks them.
    pub is_tied: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspect {
    name: String,
    config: Option<Config>,
    host_config: Option<HostConfig>,
    mounts: Option<Vec<Mount>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    binds: Option<Vec<String>>,
    mounts: Option<Vec<Mount>>,
    port_bindings: Option<std::collections::BTreeMap<String, Value>>,
    publish_all_ports: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mount {
    r#type: String,
    driver: String,
}

impl Mount {
    /// A volume of another driver is reached from other nodes too.
    fn is_tied(&self) -> bool {
        match self.r#type.as_str() {
            "volume" => matches!(self.driver.as_str(), "" | "local"),
            "tmpfs" => false,
            _ => true,
        }
    }
}

impl Removed {
    /// Reads the answer of `GET /containers/{name}/json`; `None` if it has no name.
    #[must_use]
    pub fn of_inspect(inspect: &[u8]) -> Option<Self> {
        let inspect: Inspect = serde_json::from_slice(inspect).ok()?;
        let name = inspect.name.strip_prefix('/').unwrap_or(&inspect.name);
        let host = inspect.host_config.unwrap_or_default();
        let mounts = inspect.mounts.unwrap_or_default();
        // An engine lists each bind and volume in `Mounts`; an older one may leave
        // out those of a container that never ran.
        let configured = match mounts.is_empty() {
            true => host.mounts.unwrap_or_default(),
            false => Vec::new(),
        };
        let has_binds = mounts.is_empty() && host.binds.is_some_and(|binds| !binds.is_empty());
        let has_ports =
            host.publish_all_ports || host.port_bindings.is_some_and(|ports| !ports.is_empty());
        Some(Self {
            name: Some(name).filter(|name| !name.is_empty())?.to_owned(),
            image: inspect.config.unwrap_or_default().image,
            is_tied: has_binds || has_ports || mounts.iter().chain(&configured).any(Mount::is_tied),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tied(rest: &str) -> bool {
        let inspect = format!(r#"{{"Name":"/web","Config":{{"Image":"app:1"}}{rest}}}"#);
        let removed = Removed::of_inspect(inspect.as_bytes()).unwrap();
        assert_eq!((&*removed.name, &*removed.image), ("web", "app:1"));
        removed.is_tied
    }

    #[test]
    fn binds_local_volumes_and_published_ports_tie_a_container_to_its_node() {
        for (rest, expected) in [
            ("", false),
            (r#","HostConfig":null,"Mounts":null"#, false),
            (r#","HostConfig":{"Binds":null,"PortBindings":{}}"#, false),
            (r#","HostConfig":{"Binds":["/srv:/srv"]}"#, true),
            (r#","HostConfig":{"Mounts":[{"Type":"bind"}]}"#, true),
            (r#","HostConfig":{"Mounts":[{"Type":"tmpfs"}]}"#, false),
            (r#","HostConfig":{"PortBindings":{"80/tcp":null}}"#, true),
            (r#","HostConfig":{"PublishAllPorts":true}"#, true),
            (r#","Mounts":[{"Type":"volume","Driver":"local"}]"#, true),
            (r#","Mounts":[{"Type":"volume","Driver":"nfs"}]"#, false),
            (r#","Mounts":[{"Type":"bind"}]"#, true),
            (r#","Mounts":[{"Type":"tmpfs"}]"#, false),
            // A volume of another driver is among the binds as well.
            (
                r#","HostConfig":{"Binds":["v:/v"]},"Mounts":[{"Type":"volume","Driver":"nfs"}]"#,
                false,
            ),
        ] {
            assert_eq!(tied(rest), expected, "{rest}");
        }
    }

    #[test]
    fn an_answer_without_a_name_is_not_remembered() {
        for inspect in [
            "",
            "{}",
            "[]",
            r#"{"Name":""}"#,
            r#"{"Name":"/"}"#,
            r#"{"message":"no"}"#,
        ] {
            assert_eq!(Removed::of_inspect(inspect.as_bytes()), None, "{inspect}");
        }
    }
}
