//! Gives containers the fields of the version that the client knows.

use super::{Dropped, Translation};
use crate::endpoint::ApiVersion;
use crate::json::{Edit, Members, is_null, json_array, json_string, spliced};

/// From this version on, the aliases in a network are only those that were asked for.
const OWN_ALIASES: ApiVersion = ApiVersion::new(1, 45);

/// From this version on, the settings of the network `bridge` are only in `Networks`.
const NO_BRIDGE: ApiVersion = ApiVersion::new(1, 52);

/// The fields of the network `bridge` that were also those of `NetworkSettings`.
const OF_BRIDGE: [(&str, &str); 8] = [
    ("EndpointID", r#""""#),
    ("Gateway", r#""""#),
    ("GlobalIPv6Address", r#""""#),
    ("GlobalIPv6PrefixLen", "0"),
    ("IPAddress", r#""""#),
    ("IPPrefixLen", "0"),
    ("IPv6Gateway", r#""""#),
    ("MacAddress", r#""""#),
];

const OF_SETTINGS: &Dropped = &[
    (NO_BRIDGE, "Bridge", r#""""#),
    (NO_BRIDGE, "HairpinMode", "false"),
    (NO_BRIDGE, "LinkLocalIPv6Address", r#""""#),
    (NO_BRIDGE, "LinkLocalIPv6PrefixLen", "0"),
    (NO_BRIDGE, "SecondaryIPAddresses", "null"),
    (NO_BRIDGE, "SecondaryIPv6Addresses", "null"),
];

pub(super) fn changes(translation: Translation) -> bool {
    translation.is_after(OWN_ALIASES) || translation.is_after(NO_BRIDGE)
}

/// An inspected container.
pub(super) fn inspect(translation: Translation, text: &str) -> Option<String> {
    let container = Members::of(text.as_bytes())?;
    let raw = container.value("NetworkSettings")?;
    let settings = Members::of(raw.as_bytes())?;
    let networks = settings.value("Networks");
    let networks = networks.and_then(|networks| Members::of(networks.as_bytes()));
    let mut edits = Vec::new();
    if translation.is_after(NO_BRIDGE) {
        let added = translation.lacking(&settings, OF_SETTINGS);
        let added = added + &of_bridge(&settings, networks.as_ref());
        edits.extend(Edit::add(text, raw, &added));
    }
    if translation.is_after(OWN_ALIASES) {
        let own = own_aliases(&container);
        for (name, endpoint) in networks.iter().flat_map(Members::iter) {
            if is_user_defined(name) {
                edits.extend(with_aliases(text, endpoint.get(), &own));
            }
        }
    }
    Some(spliced(text, edits))
}

fn of_bridge(settings: &Members<'_>, networks: Option<&Members<'_>>) -> String {
    let bridge = networks.and_then(|networks| {
        let mut networks = networks.iter();
        let (_, bridge) = networks.find(|(name, _)| *name == "bridge")?;
        Members::of(bridge.get().as_bytes())
    });
    let mut members = String::new();
    for (name, empty) in OF_BRIDGE {
        if settings.field(name).next().is_none() {
            let value = bridge.as_ref().and_then(|bridge| bridge.value(name));
            members += &format!(",\"{name}\":{}", value.unwrap_or(empty));
        }
    }
    members
}

/// The aliases that older versions show in each network of a user.
fn own_aliases(container: &Members<'_>) -> Vec<String> {
    const SHORT: usize = 12;
    let id = container.text("Id");
    let short = id.and_then(|id| id.get(..SHORT).map(str::to_owned));
    let config = container.value("Config");
    let config = config.and_then(|config| Members::of(config.as_bytes()));
    let hostname = config.and_then(|config| config.text("Hostname"));
    short.into_iter().chain(hostname).collect()
}

fn with_aliases(text: &str, endpoint: &str, own: &[String]) -> Option<Edit<'static>> {
    let members = Members::of(endpoint.as_bytes())?;
    let raw = members.field("Aliases").last();
    let shown = raw
        .filter(|raw| !is_null(raw))
        .map_or("[]", |raw| raw.get());
    let mut aliases: Vec<String> = serde_json::from_str(shown).ok()?;
    for alias in own {
        if !aliases.contains(alias) {
            aliases.push(alias.clone());
        }
    }
    let aliases = json_array(aliases.iter().map(|alias| json_string(alias)));
    match raw {
        Some(raw) => Edit::replace(text, raw.get(), aliases),
        None => Edit::add(text, endpoint, &format!(",\"Aliases\":{aliases}")),
    }
}

/// As moby's `NetworkMode.IsUserDefined`.
fn is_user_defined(network: &str) -> bool {
    !matches!(network, "default" | "bridge" | "host" | "none") && !network.starts_with("container:")
}

#[cfg(test)]
mod tests {
    use super::super::super::Translation;
    use crate::endpoint::{ApiVersion, EndpointId};

    fn answer(asked: u16, sent: u16, body: &str) -> Option<String> {
        let translation = Translation {
            asked: ApiVersion::new(1, asked),
            sent: ApiVersion::new(1, sent),
        };
        translation.answer(EndpointId::ContainerInspect, "", body.as_bytes())
    }

    #[test]
    fn an_old_client_finds_the_address_in_the_network_settings() {
        let body = r#"{"NetworkSettings":{"Ports":{},"Networks":{"bridge":{"IPAddress":"172.17.0.2","IPPrefixLen":16,"MacAddress":"02:42"}}},"Id":"x"}"#;
        let expected = concat!(
            r#"{"NetworkSettings":{"Ports":{},"Networks":{"bridge":{"IPAddress":"172.17.0.2","IPPrefixLen":16,"MacAddress":"02:42"}},"#,
            r#""Bridge":"","HairpinMode":false,"LinkLocalIPv6Address":"","LinkLocalIPv6PrefixLen":0,"#,
            r#""SecondaryIPAddresses":null,"SecondaryIPv6Addresses":null,"EndpointID":"","Gateway":"","#,
            r#""GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"IPAddress":"172.17.0.2","IPPrefixLen":16,"#,
            r#""IPv6Gateway":"","MacAddress":"02:42"},"Id":"x"}"#
        );
        assert_eq!(answer(51, 52, body).as_deref(), Some(expected));
        // An engine that has the fields keeps them.
        assert_eq!(answer(51, 52, expected).as_deref(), Some(expected));
        for (asked, sent) in [(52, 56), (52, 51), (45, 51), (56, 41)] {
            assert_eq!(answer(asked, sent, body), None, "{asked} {sent}");
        }
        let other = r#"{"NetworkSettings":{"Networks":{"mine":{"IPAddress":"10.0.0.2"}}}}"#;
        let found = answer(51, 53, other).unwrap();
        assert!(
            found.contains(r#""IPAddress":"","IPPrefixLen":0"#),
            "{found}"
        );
        assert_eq!(answer(51, 53, r#"{"Id":"x"}"#), None);
        assert_eq!(answer(51, 53, "[]"), None);
    }

    #[test]
    fn an_old_client_finds_the_short_id_among_the_aliases() {
        for (endpoint, expected) in [
            (
                r#"{"Aliases":["web"]}"#,
                r#"{"Aliases":["web","0123456789ab","host"]}"#,
            ),
            (
                r#"{"Aliases":null}"#,
                r#"{"Aliases":["0123456789ab","host"]}"#,
            ),
            (r#"{}"#, r#"{"Aliases":["0123456789ab","host"]}"#),
            (
                r#"{"Aliases":["host","0123456789ab"]}"#,
                r#"{"Aliases":["host","0123456789ab"]}"#,
            ),
        ] {
            let body = |endpoint: &str| {
                format!(
                    r#"{{"Id":"0123456789abcdef","Config":{{"Hostname":"host"}},"NetworkSettings":{{"Networks":{{"bridge":{{}},"mine":{endpoint}}}}}}}"#
                )
            };
            let found = answer(44, 45, &body(endpoint));
            assert_eq!(found, Some(body(expected)), "{endpoint}");
        }
    }
}
