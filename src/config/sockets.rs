//! Reads the sockets in the file system to listen on: `listen[].socket`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_saphyr::{Location, Spanned};

use super::error::ValueError;
use super::faults::Faults;
use super::grant::{self, Grant};
use super::policies::Policies;
use super::raw::{self, Text};
use super::scalar;
use crate::platform;

/// The default mode: read and write for owner and group.
const MODE: u32 = 0o660;

/// `sockaddr_un` has room for 107 bytes (unix(7)), and the socket is created in
/// a folder beside its path first.
const MAX_PATH: usize = 90;

const NUMBER: &str = "a number, because the image has no /etc/passwd to look names up; \
                      `id -u NAME` and `getent group NAME` print it";

/// A socket in the file system to listen on.
#[derive(Clone, Debug, PartialEq)]
pub struct Socket {
    /// The path; absolute.
    pub path: PathBuf,
    /// The owner of the file; `None` for the agent's own user.
    pub owner: Option<u32>,
    /// The group of the file; `None` for the agent's own group.
    pub group: Option<u32>,
    /// The users that may connect, as the bits of `chmod`.
    pub mode: u32,
    /// The identities of some users, each user once.
    pub users: Vec<SocketUser>,
    /// The identity of all other users; `None` refuses them.
    pub others: Option<SocketIdentity>,
}

/// A user of this machine and its identity.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketUser {
    /// The number of the user.
    pub uid: u32,
    /// The identity at this socket.
    pub identity: SocketIdentity,
}

/// The name and the rights of callers at a socket.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketIdentity {
    /// The name in policies and logs. It has the same grant at all sockets.
    pub name: String,
    /// The rights.
    pub grant: Grant,
}

impl Socket {
    /// The identity of a user at this socket; `None` if the user is refused.
    pub(crate) fn who(&self, uid: u32) -> Option<&SocketIdentity> {
        let user = self.users.iter().find(|user| user.uid == uid);
        user.map(|user| &user.identity).or(self.others.as_ref())
    }
}

/// The paths and names of the sockets before.
#[derive(Default)]
pub(super) struct Registry {
    paths: HashSet<PathBuf>,
    grants: HashMap<String, Grant>,
}

impl Registry {
    /// Refuses a name that has another grant already: later steps know callers
    /// by their names only.
    pub(super) fn add(
        &mut self,
        faults: &mut Faults,
        key: &str,
        location: Location,
        identity: &SocketIdentity,
    ) {
        let SocketIdentity { name, grant } = identity;
        let known = self.grants.entry(name.clone()).or_insert(grant.clone());
        if known != grant {
            let error = ValueError::new(format!(
                "`{name}` has another policy or other limits before"
            ))
            .help("give one of the two another name");
            faults.report(&format!("{key}.name"), location, error);
        }
    }
}

/// Reads an entry of `listen` with `socket`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: raw::Listen,
    registry: &mut Registry,
) -> Option<Socket> {
    refuse_settings_of_addresses(faults, key, &raw);
    let socket = raw.socket?;
    let location = socket.referenced;
    let own = format!("{key}.socket");
    if raw.policy.is_none() && raw.uids.as_ref().is_none_or(Vec::is_empty) {
        let error = ValueError::new("this needs `policy` or `uids`").help(
            "`policy: admin` for every user who can open the socket, \
             `uids: [ { uid: 1000, name: backup, policy: admin } ]` for some users",
        );
        faults.report(&own, location, error);
    }
    let path = read_path(faults, &own, socket, registry);
    let users = read_users(faults, policies, key, raw.uids, registry);
    let name = raw
        .name
        .or_else(|| default_name(path.as_deref()?, location));
    let others = Others {
        name,
        policy: raw.policy,
        limits: raw.limits,
        node: raw.node,
        nodes: raw.nodes,
    };
    let others = others.read(faults, policies, key, location, registry);
    Some(Socket {
        owner: faults.read(&format!("{key}.owner"), raw.owner, number),
        group: faults.read(&format!("{key}.group"), raw.group, number),
        mode: faults.or(&format!("{key}.mode"), raw.mode, MODE, mode),
        path: path?,
        users,
        others,
    })
}

/// Reports the settings of an address beside `socket`.
fn refuse_settings_of_addresses(faults: &mut Faults, key: &str, raw: &raw::Listen) {
    for (name, location) in [
        ("address", raw.address.as_ref().map(|text| text.referenced)),
        ("tls", raw.tls.as_ref().map(|tls| tls.referenced)),
        ("plain", raw.plain.as_ref().map(|text| text.referenced)),
        (
            "networks",
            raw.networks.as_ref().map(|list| list.referenced),
        ),
        ("callers", raw.first_caller()),
    ] {
        if let Some(location) = location {
            let error = ValueError::new("this does not go with `socket`").help(
                "a socket has neither address nor TLS nor networks; put the address into an entry of its own",
            );
            faults.report(&format!("{key}.{name}"), location, error);
        }
    }
}

/// Reports the settings of the file of a socket, and of its users, in an entry
/// without `socket`.
pub(super) fn refuse_settings_of_files(faults: &mut Faults, key: &str, raw: &raw::Listen) {
    let uids = raw.uids.as_ref().and_then(|uids| uids.first());
    let location = |text: &Option<Text>| text.as_ref().map(|text| text.referenced);
    for (name, location) in [
        ("owner", location(&raw.owner)),
        ("group", location(&raw.group)),
        ("mode", location(&raw.mode)),
        ("uids", uids.map(|first| first.referenced)),
    ] {
        if let Some(location) = location {
            let error = ValueError::new("this goes with `socket`")
                .help("callers over the network have a key or a certificate: see `auth`");
            faults.report(&format!("{key}.{name}"), location, error);
        }
    }
}

/// Reports the settings of callers without a key in an entry for callers that have
/// one.
pub(super) fn refuse_settings_of_callers(faults: &mut Faults, key: &str, raw: &raw::Listen) {
    let location = |text: &Option<Text>| text.as_ref().map(|text| text.referenced);
    for (name, location) in [
        ("name", location(&raw.name)),
        ("policy", location(&raw.policy)),
        ("node", location(&raw.node)),
        ("nodes", location(&raw.nodes)),
    ] {
        if let Some(location) = location {
            let error = ValueError::new("this goes with `socket` or `plain: true`")
                .help("callers over the network have a key or a certificate: see `auth`");
            faults.report(&format!("{key}.{name}"), location, error);
        }
    }
}

fn read_path(
    faults: &mut Faults,
    key: &str,
    text: Text,
    registry: &mut Registry,
) -> Option<PathBuf> {
    let location = text.referenced;
    if !platform::HAS_SOCKETS {
        let error = ValueError::new("sockets in the file system exist on Unix only");
        faults.report(key, location, error);
    }
    let path = faults.read(key, Some(text), socket_path)?;
    if !registry.paths.insert(path.clone()) {
        let error = ValueError::new(format!("`{}` is listed already", path.display()));
        faults.report(key, location, error);
    }
    Some(path)
}

/// The name of the file without its extension.
fn default_name(path: &Path, location: Location) -> Option<Text> {
    let stem = path.file_stem()?.to_str()?;
    Some(Text::new(stem.to_owned(), location, location))
}

fn read_users(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Option<Vec<Spanned<raw::SocketUser>>>,
    registry: &mut Registry,
) -> Vec<SocketUser> {
    let mut users = Vec::new();
    let mut uids = HashSet::new();
    for (i, raw) in raw.unwrap_or_default().into_iter().enumerate() {
        let key = format!("{key}.uids[{i}]");
        let location = raw.referenced;
        let user = read_user(faults, policies, &key, raw, registry);
        if let Some(user) = &user
            && !uids.insert(user.uid)
        {
            let error = ValueError::new(format!("user {} is listed already", user.uid));
            faults.report(&format!("{key}.uid"), location, error);
        }
        users.extend(user);
    }
    users
}

fn read_user(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Spanned<raw::SocketUser>,
    registry: &mut Registry,
) -> Option<SocketUser> {
    let location = raw.referenced;
    let raw = raw.value;
    for (name, missing, example) in [
        ("uid", raw.uid.is_none(), "uid: 1000"),
        ("name", raw.name.is_none(), "name: backup"),
    ] {
        if missing {
            let error = ValueError::new(format!("this needs `{name}`"));
            faults.report(
                key,
                location,
                error.help(format!("for example `{example}`")),
            );
        }
    }
    let name_location = location_of(raw.name.as_ref(), location);
    let uid = faults.read(&format!("{key}.uid"), raw.uid, number);
    let name = faults.read(&format!("{key}.name"), raw.name, scalar::name);
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
    Some(SocketUser {
        uid: uid?,
        identity,
    })
}

/// The raw identity of all callers who are not listed.
pub(super) struct Others {
    pub(super) name: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) limits: Option<raw::Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
}

impl Others {
    pub(super) fn read(
        self,
        faults: &mut Faults,
        policies: &Policies,
        key: &str,
        location: Location,
        registry: &mut Registry,
    ) -> Option<SocketIdentity> {
        let name_location = location_of(self.name.as_ref(), location);
        // Checked without a policy too, where the name has no effect.
        let name = faults.read(&format!("{key}.name"), self.name, scalar::name);
        let grant = grant::Raw {
            policy: Some(self.policy?),
            networks: None,
            limits: self.limits,
            node: self.node,
            nodes: self.nodes,
        };
        let grant = grant.read(faults, policies, key, location);
        let identity = SocketIdentity {
            name: name?,
            grant: grant?,
        };
        registry.add(faults, key, name_location, &identity);
        Some(identity)
    }
}

pub(super) fn location_of(text: Option<&Text>, otherwise: Location) -> Location {
    text.map_or(otherwise, |text| text.referenced)
}

fn socket_path(text: &str) -> Result<PathBuf, ValueError> {
    let path = scalar::path(text)?;
    if !path.is_absolute() || text.ends_with('/') {
        return Err(
            ValueError::new(format!("`{text}` is not the path of a socket"))
                .help("for example /run/skep/traefik.sock"),
        );
    }
    if text.len() > MAX_PATH {
        return Err(ValueError::new("this path is too long for a socket")
            .help(format!("it can have {MAX_PATH} bytes")));
    }
    Ok(path)
}

/// The number of a user or a group. The largest one means "unchanged" to
/// chown(2).
fn number(text: &str) -> Result<u32, ValueError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(id) if plain && id != u32::MAX => Ok(id),
        _ => Err(
            ValueError::new(format!("`{text}` is not the number of a user or group")).help(NUMBER),
        ),
    }
}

fn mode(text: &str) -> Result<u32, ValueError> {
    let plain = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if plain && mode <= 0o777 => Ok(mode),
        _ => Err(ValueError::new(format!("`{text}` is not a mode"))
            .help("three octal digits as for chmod, for example \"0660\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterMode, Config};

    fn parse(listen: &str) -> Config {
        let text = format!("cluster: {{ mode: off }}\nlisten:\n{listen}");
        Config::parse("skep.yaml", &text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_socket_is_open_to_owner_and_group_and_named_after_its_file() {
        let config = parse("  - { socket: /run/skep/traefik.sock, policy: admin }");
        assert!(config.listen.is_empty());
        assert_eq!(config.cluster.mode, ClusterMode::Off);
        let [socket] = config.sockets.as_slice() else {
            panic!("{:?}", config.sockets);
        };
        assert_eq!(
            (socket.owner, socket.group, socket.mode),
            (None, None, 0o660)
        );
        assert_eq!(socket.who(4711).unwrap().name, "traefik");
    }

    #[test]
    fn listed_users_have_their_own_names_and_others_may_be_refused() {
        let config = parse(
            "  - address: 0.0.0.0:9001
  - socket: /run/skep/a
    owner: 0
    group: 998
    mode: 0600
    uids: [ { uid: 1000, name: backup, policy: admin } ]
  - socket: /run/skep/b
    name: everybody
    policy: admin
    uids: [ { uid: 1000, name: backup, policy: admin } ]
",
        );
        assert_eq!(config.listen.len(), 1);
        let [a, b] = config.sockets.as_slice() else {
            panic!("{:?}", config.sockets);
        };
        assert_eq!((a.owner, a.group, a.mode), (Some(0), Some(998), 0o600));
        let name = |socket: &Socket, uid| socket.who(uid).map(|i| i.name.clone());
        assert_eq!(name(a, 1000).as_deref(), Some("backup"));
        assert_eq!(name(a, 0), None);
        assert_eq!(name(b, 1000).as_deref(), Some("backup"));
        assert_eq!(name(b, 0).as_deref(), Some("everybody"));
    }

    #[test]
    fn users_are_numbers_and_modes_are_octal() {
        for (text, expected) in [("0", Some(0)), ("4294967294", Some(4_294_967_294))] {
            assert_eq!(number(text).ok(), expected);
        }
        for text in ["", "-1", "+1", "root", "4294967295", "0x1"] {
            assert!(number(text).is_err(), "{text}");
        }
        for (text, expected) in [("0660", 0o660), ("600", 0o600), ("0777", 0o777)] {
            assert_eq!(mode(text), Ok(expected));
        }
        for text in ["", "0", "66", "0680", "1777", "00660", "u+rw", "+660"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
