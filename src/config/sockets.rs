//! Sockets in the file system to listen on: who may open one, and who that is.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use serde_saphyr::{Location, Spanned};

use super::{
    Grant,
    error::ValueError,
    faults::Faults,
    grant,
    policies::Policies,
    raw::{self, Text},
    scalar,
};
use crate::platform;

/// For owner and group of the file, unless something else is asked for.
const MODE: u32 = 0o660;

/// `sockaddr_un` has room for 107 bytes (unix(7)), and the socket is made beside its location first.
const MAX_PATH: usize = 90;

const NUMBER: &str = "a number: names of users would have to be looked up, and the image has no /etc/passwd. \
                      `id -u NAME` and `getent group NAME` print it";

/// A socket in the file system to listen on.
#[derive(Clone, Debug, PartialEq)]
pub struct Socket {
    /// Where; absolute.
    pub path: PathBuf,
    /// The user whom the file belongs to; `None` is the agent's own.
    pub owner: Option<u32>,
    /// The group that it belongs to; `None` is the agent's own.
    pub group: Option<u32>,
    /// Who may connect, as the bits of `chmod`.
    pub mode: u32,
    /// Who is called what; each user is there once.
    pub users: Vec<SocketUser>,
    /// What everybody else is called, and may; `None` is not let in.
    pub others: Option<SocketIdentity>,
}

/// What a user of this machine is called and may do.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketUser {
    /// The number of the user.
    pub uid: u32,
    /// What the user is called, and may.
    pub identity: SocketIdentity,
}

/// What somebody is called and may do.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketIdentity {
    /// For policies and logs. One name has the same grant at all sockets.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
}

impl Socket {
    /// Who a user is at this socket; `None` is not let in.
    pub fn who(&self, uid: u32) -> Option<&SocketIdentity> {
        let user = self.users.iter().find(|user| user.uid == uid);
        user.map(|user| &user.identity).or(self.others.as_ref())
    }
}

/// What was read of other sockets.
#[derive(Default)]
pub(super) struct Seen {
    paths: HashSet<PathBuf>,
    grants: HashMap<String, Grant>,
}

/// A listener that has `socket`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: raw::Listen,
    seen: &mut Seen,
) -> Option<Socket> {
    let socket = raw.socket?;
    let location = socket.referenced;
    let own = format!("{key}.socket");
    if !platform::HAS_SOCKETS {
        let error = ValueError::new("sockets in the file system exist on Unix only");
        faults.note(&own, location, error);
    }
    for (name, beside) in [
        ("address", raw.address.map(|text| text.referenced)),
        ("tls", raw.tls.map(|tls| tls.referenced)),
    ] {
        if let Some(location) = beside {
            let error = ValueError::new("this does not go with `socket`").help(
                "a socket has neither address nor TLS; put the address into an entry of its own",
            );
            faults.note(&format!("{key}.{name}"), location, error);
        }
    }
    let path = faults.read(&own, Some(socket), socket_path);
    if let Some(path) = &path
        && !seen.paths.insert(path.clone())
    {
        let error = ValueError::new(format!("`{}` is listened on already", path.display()));
        faults.note(&own, location, error);
    }
    if raw.policy.is_none() && raw.uids.as_ref().is_none_or(Vec::is_empty) {
        let error = ValueError::new("this needs `policy` or `uids`").help(
            "`policy: admin` for whoever can open the socket, \
             `uids: [ { uid: 1000, name: backup, policy: admin } ]` for some users",
        );
        faults.note(&own, location, error);
    }
    let mut users = Vec::new();
    let mut uids = HashSet::new();
    for (i, raw) in raw.uids.unwrap_or_default().into_iter().enumerate() {
        let key = format!("{key}.uids[{i}]");
        let location = raw.referenced;
        let read = user(faults, policies, &key, raw, seen);
        if let Some(read) = &read
            && !uids.insert(read.uid)
        {
            let error = ValueError::new(format!("user {} is listed already", read.uid));
            faults.note(&format!("{key}.uid"), location, error);
        }
        users.extend(read);
    }
    let name = match (raw.name, path.as_ref()) {
        (Some(name), _) => Some(name),
        (None, Some(path)) => path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .map(|stem| Text::new(stem.to_owned(), location, location)),
        (None, None) => None,
    };
    let named = location_of(name.as_ref(), location);
    // Of use to nobody without a policy, but to be right all the same.
    let name = faults.read(&format!("{key}.name"), name, scalar::name);
    let limits = raw.limits;
    let grant = raw.policy.and_then(|policy| {
        let grant = grant::Raw {
            policy: Some(policy),
            networks: None,
            limits,
        };
        grant.read(faults, policies, key, location)
    });
    let others = name
        .zip(grant)
        .map(|(name, grant)| SocketIdentity { name, grant });
    if let Some(others) = &others {
        one_policy(faults, &format!("{key}.name"), named, others, seen);
    }
    Some(Socket {
        owner: faults.read(&format!("{key}.owner"), raw.owner, number),
        group: faults.read(&format!("{key}.group"), raw.group, number),
        mode: faults.or(&format!("{key}.mode"), raw.mode, MODE, mode),
        path: path?,
        users,
        others,
    })
}

/// A listener that has no `socket` has nothing that goes with one.
pub(super) fn none(faults: &mut Faults, key: &str, raw: &raw::Listen) {
    for (name, text) in [
        ("name", &raw.name),
        ("owner", &raw.owner),
        ("group", &raw.group),
        ("mode", &raw.mode),
        ("policy", &raw.policy),
    ] {
        if let Some(text) = text {
            faults.note(&format!("{key}.{name}"), text.referenced, lonely());
        }
    }
    if let Some(first) = raw.uids.as_ref().and_then(|uids| uids.first()) {
        faults.note(&format!("{key}.uids"), first.referenced, lonely());
    }
}

fn lonely() -> ValueError {
    ValueError::new("this goes with `socket`")
        .help("who calls over the network has a key or a certificate: see `auth`")
}

fn user(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Spanned<raw::SocketUser>,
    seen: &mut Seen,
) -> Option<SocketUser> {
    let location = raw.referenced;
    let raw = raw.value;
    for (name, missing, example) in [
        ("uid", raw.uid.is_none(), "uid: 1000"),
        ("name", raw.name.is_none(), "name: backup"),
    ] {
        if missing {
            let error = ValueError::new(format!("this needs `{name}`"));
            faults.note(
                key,
                location,
                error.help(format!("for example `{example}`")),
            );
        }
    }
    let named = location_of(raw.name.as_ref(), location);
    let uid = faults.read(&format!("{key}.uid"), raw.uid, number);
    let name = faults.read(&format!("{key}.name"), raw.name, scalar::name);
    let grant = grant::Raw {
        policy: raw.policy,
        networks: None,
        limits: raw.limits,
    };
    let grant = grant.read(faults, policies, key, location);
    let identity = SocketIdentity {
        name: name?,
        grant: grant?,
    };
    one_policy(faults, &format!("{key}.name"), named, &identity, seen);
    Some(SocketUser {
        uid: uid?,
        identity,
    })
}

fn location_of(text: Option<&Text>, otherwise: Location) -> Location {
    text.map_or(otherwise, |text| text.referenced)
}

/// A name is all that the next steps know of a caller.
fn one_policy(
    faults: &mut Faults,
    key: &str,
    location: Location,
    identity: &SocketIdentity,
    seen: &mut Seen,
) {
    let SocketIdentity { name, grant } = identity;
    let known = seen.grants.entry(name.clone()).or_insert(grant.clone());
    if known != grant {
        let error = ValueError::new(format!(
            "`{name}` has another policy or other limits before"
        ))
        .help("give one of the two another name");
        faults.note(key, location, error);
    }
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

/// The number of a user or a group. The last one means "nobody" to the kernel (chown(2)).
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
    use super::super::{ClusterMode, Config};
    use super::*;

    fn parse(listen: &str) -> Config {
        let text = format!("cluster: {{ mode: off }}\nlisten:\n{listen}");
        Config::parse("skep.yaml", &text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_socket_alone_is_for_owner_and_group_and_called_as_its_file() {
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
    fn users_have_names_of_their_own_and_the_others_may_have_none() {
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
    fn numbers_are_numbers_and_modes_are_octal() {
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
