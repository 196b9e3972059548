//! Reads the addresses to listen on without TLS: `listen[].plain`.
//!
//! Callers there prove nothing. So such an entry says which networks may connect,
//! and what a caller from them may do; some callers are known by their container.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde_saphyr::{Location, Spanned};

use super::address;
use super::error::ValueError;
use super::faults::Faults;
use super::grant::{self, Grant, network};
use super::policies::Policies;
use super::raw::{self, Text};
use super::scalar;
use super::sockets::{self, Others, Registry, SocketIdentity};

/// An address to listen on without TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// The address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The networks whose hosts may connect; never empty.
    pub networks: Vec<IpNet>,
    /// Callers that are known by their container; the first that fits counts.
    pub callers: Vec<ContainerCaller>,
    /// The identity of all other callers; `None` refuses them.
    pub others: Option<SocketIdentity>,
}

/// A caller that is known by its container on the agent's engine.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerCaller {
    /// How the container is known.
    pub mark: CallerMark,
    /// The identity; for [`CallerMark::Policy`] one for each value of the label.
    pub identities: Vec<(String, SocketIdentity)>,
}

/// How the container of a caller is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CallerMark {
    /// By its name.
    Name(String),
    /// By its service, of compose or of the Swarm.
    Service(String),
    /// By a label, with this value if there is one.
    Label(String, Option<String>),
    /// By a label whose value is the name of the policy.
    Policy(String),
}

impl Plain {
    /// All identities at this address.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &SocketIdentity> {
        let callers = self.callers.iter().flat_map(|caller| &caller.identities);
        callers.map(|(_, identity)| identity).chain(&self.others)
    }
}

/// Whether an entry without `socket` has no TLS.
pub(super) fn is_plain(faults: &mut Faults, key: &str, raw: &raw::Listen) -> bool {
    faults.or(
        &format!("{key}.plain"),
        raw.plain.clone(),
        false,
        scalar::flag,
    )
}

/// Reports the settings of an address without TLS in an entry with TLS.
pub(super) fn refuse_settings(faults: &mut Faults, key: &str, raw: &raw::Listen) {
    for (name, location) in [
        (
            "networks",
            raw.networks.as_ref().map(|list| list.referenced),
        ),
        ("callers", raw.first_caller()),
    ] {
        if let Some(location) = location {
            let error = ValueError::new("this goes with `plain: true`")
                .help("callers over TLS have networks of their own: see `auth`");
            faults.report(&format!("{key}.{name}"), location, error);
        }
    }
}

/// Reads an entry of `listen` with `plain: true`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: raw::Listen,
    registry: &mut Registry,
) -> Option<Plain> {
    sockets::refuse_settings_of_files(faults, key, &raw);
    if let Some(tls) = &raw.tls {
        let error = ValueError::new("this does not go with `plain: true`")
            .help("leave `plain` out for HTTPS");
        faults.report(&format!("{key}.tls"), tls.referenced, error);
    }
    // `is_plain` has read it.
    let location = raw.plain.as_ref()?.referenced;
    let own = format!("{key}.plain");
    if raw.address.is_none() {
        let error =
            ValueError::new("this needs `address`").help("for example `address: 0.0.0.0:2375`");
        faults.report(&own, location, error);
    }
    if raw
        .networks
        .as_ref()
        .is_none_or(|list| list.value.is_empty())
    {
        let error = ValueError::new("this needs `networks`").help(
            "the networks that may connect, for example `networks: [172.18.0.0/16]`: \
             nothing else tells callers from others",
        );
        faults.report(&own, location, error);
    }
    if raw.policy.is_none() && raw.callers.as_ref().is_none_or(Vec::is_empty) {
        let error = ValueError::new("this needs `policy` or `callers`").help(
            "`policy: traefik` for every host in `networks`, \
             `callers: [ { service: traefik, policy: traefik } ]` for some containers",
        );
        faults.report(&own, location, error);
    }
    let address_key = format!("{key}.address");
    let address = faults.read(&address_key, raw.address, address::listen_address);
    let networks = raw.networks.map(|list| list.value).unwrap_or_default();
    let networks = faults.each(&format!("{key}.networks"), networks, network);
    let name = raw.name.or_else(|| {
        let name = default_name(address?.port());
        Some(Text::new(name, location, location))
    });
    let named = name.as_ref().map(|name| name.value.clone());
    let callers = raw.callers.unwrap_or_default().into_iter().enumerate();
    let callers = callers
        .filter_map(|(i, caller)| {
            let key = format!("{key}.callers[{i}]");
            read_caller(faults, policies, &key, caller, named.as_deref(), registry)
        })
        .collect();
    let others = Others {
        name,
        policy: raw.policy,
        limits: raw.limits,
        node: raw.node,
        nodes: raw.nodes,
    };
    let others = others.read(faults, policies, key, location, registry);
    Some(Plain {
        address: address?,
        networks,
        callers,
        others,
    })
}

/// The name of callers that nothing but the port distinguishes.
pub(super) fn default_name(port: u16) -> String {
    format!("plain-{port}")
}

fn read_caller(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Spanned<raw::ContainerCaller>,
    listener: Option<&str>,
    registry: &mut Registry,
) -> Option<ContainerCaller> {
    let location = raw.referenced;
    let raw = raw.value;
    let (mark, default) = mark(faults, key, location, &raw)?;
    let name_location = sockets::location_of(raw.name.as_ref(), location);
    let name = raw.name.unwrap_or(Text::new(default, location, location));
    if let CallerMark::Policy(_) = mark {
        return by_policy(faults, policies, key, mark, listener, registry);
    }
    let name = faults.read(&format!("{key}.name"), Some(name), scalar::name);
    let grant = grant::Raw {
        policy: raw.policy,
        networks: None,
        limits: raw.limits,
        node: raw.node,
        nodes: raw.nodes,
    };
    let grant = grant.read(faults, policies, key, location);
    let identity = SocketIdentity {
        name: name?,
        grant: grant?,
    };
    registry.add(faults, key, name_location, &identity);
    Some(ContainerCaller {
        mark,
        identities: vec![(String::new(), identity)],
    })
}

/// A caller whose label names its policy: one that the configuration defines, or a
/// preset. `admin` is not among them.
fn by_policy(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    mark: CallerMark,
    listener: Option<&str>,
    registry: &mut Registry,
) -> Option<ContainerCaller> {
    let listener = listener?;
    let mut identities = Vec::new();
    for policy in policies.limited() {
        let value = policy.name.clone();
        let identity = SocketIdentity {
            name: format!("{listener}-{value}"),
            grant: Grant {
                policy,
                ..Grant::admin()
            },
        };
        registry.add(faults, key, Location::UNKNOWN, &identity);
        identities.push((value, identity));
    }
    Some(ContainerCaller { mark, identities })
}

/// How the container is known, and the name that this gives the caller.
fn mark(
    faults: &mut Faults,
    key: &str,
    location: Location,
    raw: &raw::ContainerCaller,
) -> Option<(CallerMark, String)> {
    let marks = [&raw.container, &raw.service, &raw.label];
    if marks.iter().filter(|mark| mark.is_some()).count() != 1 {
        let error = ValueError::new("this needs one of `container`, `service` and `label`")
            .help("for example `service: traefik`, a service of compose or of the Swarm");
        faults.report(key, location, error);
        return None;
    }
    if let Some(name) = &raw.container {
        let name = faults.read(&format!("{key}.container"), Some(name.clone()), object_name)?;
        return Some((CallerMark::Name(name.clone()), name));
    }
    if let Some(name) = &raw.service {
        let name = faults.read(&format!("{key}.service"), Some(name.clone()), object_name)?;
        return Some((CallerMark::Service(name.clone()), name));
    }
    let label = raw.label.clone()?;
    let at = label.referenced;
    let (name, value) = faults.read(&format!("{key}.label"), Some(label), label_of)?;
    if raw.policy.is_some() {
        let default = value.clone().unwrap_or_else(|| name.clone());
        return Some((CallerMark::Label(name, value), default));
    }
    let others = [&raw.name, &raw.node, &raw.nodes];
    let limits = raw.limits.is_some();
    if value.is_some() || limits || others.iter().any(|other| other.is_some()) {
        let error = ValueError::new("this needs `policy`").help(
            "only `{ label: NAME }` alone has none: the value of the label is then the name of the policy",
        );
        faults.report(&format!("{key}.label"), at, error);
        return None;
    }
    Some((CallerMark::Policy(name), String::new()))
}

/// The name of a container or a service.
fn object_name(text: &str) -> Result<String, ValueError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    match (1..=253).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(ValueError::new(format!(
            "`{text}` is not the name of a container or a service"
        ))
        .help("for example traefik")),
    }
}

/// `NAME` or `NAME=VALUE`.
fn label_of(text: &str) -> Result<(String, Option<String>), ValueError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    match (1..=128).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok((name.to_owned(), value)),
        false => Err(ValueError::new(format!("`{text}` is not a label"))
            .help("for example skep.policy, or role=proxy")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(entry: &str) -> Plain {
        let text = format!(
            "policies:\n  own: {{ allow: [ping] }}\n  tried: {{ allow: [ping], audit_only: true }}\n\
             listen: [ {{}}, {{ address: 0.0.0.0:2375, plain: true, networks: [172.18.0.0/16, fd00::/8], {entry} }} ]"
        );
        let config = Config::parse("skep.yaml", &text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.listen.len(), 1);
        config.plain[0].clone()
    }

    #[test]
    fn an_address_without_tls_has_networks_and_one_identity_named_after_its_port() {
        let plain = parse("policy: read-only");
        assert_eq!(plain.address.to_string(), "0.0.0.0:2375");
        assert_eq!(plain.networks.len(), 2);
        let others = plain.others.unwrap();
        assert_eq!(others.name, "plain-2375");
        assert_eq!(others.grant.policy.name, "read-only");
    }

    #[test]
    fn a_container_is_known_by_its_name_its_service_or_a_label() {
        let plain = parse(
            "callers: [ { container: web, policy: own }, { service: traefik, policy: read-only, name: t }, \
             { label: role=a=b, name: r, policy: own }, { label: role, policy: own } ]",
        );
        assert_eq!(plain.others, None);
        let marks: Vec<_> = plain.callers.iter().map(|caller| &caller.mark).collect();
        let expected = [
            CallerMark::Name("web".into()),
            CallerMark::Service("traefik".into()),
            CallerMark::Label("role".into(), Some("a=b".into())),
            CallerMark::Label("role".into(), None),
        ];
        assert_eq!(marks, expected.iter().collect::<Vec<_>>());
        let names: Vec<_> = plain.identities().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["web", "t", "r", "role"]);
    }

    #[test]
    fn a_label_names_a_policy_with_limits_and_no_other() {
        let plain = parse("name: proxy, callers: [ { label: skep.policy } ]");
        let [caller] = &plain.callers[..] else {
            panic!("{plain:?}");
        };
        let find = |value: &str| caller.identities.iter().find(|(own, _)| own == value);
        assert_eq!(find("own").unwrap().1.name, "proxy-own");
        assert!(find("traefik").is_some());
        for value in ["admin", "tried", ""] {
            assert!(find(value).is_none(), "{value}");
        }
    }
}
