//! Reads the addresses and sockets to listen on: `listen`.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_saphyr::{Location, Spanned};

use super::address::{self, DEFAULT_PORT};
use super::error::ValueError;
use super::faults::Faults;
use super::plain::{self, Plain};
use super::policies::Policies;
use super::raw;
use super::sockets::{self, Socket};

/// An address to listen on with HTTPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// The address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The certificate for callers.
    pub tls: ListenTls,
}

/// The certificate of a listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenTls {
    /// The PEM files of a certificate chain and its key; `None` for the
    /// certificate derived from the cluster's secret.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// Further DNS names and IP addresses for the derived certificate.
    pub(crate) names: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
            tls: ListenTls::default(),
        }
    }
}

/// The entries of `listen` by their kind.
pub(super) struct Listeners {
    pub(super) addresses: Vec<Listen>,
    pub(super) sockets: Vec<Socket>,
    pub(super) plain: Vec<Plain>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            addresses: vec![Listen::default()],
            sockets: Vec::new(),
            plain: Vec::new(),
        }
    }
}

/// Reads `listen`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    raw: Spanned<Vec<raw::Listen>>,
) -> Listeners {
    let location = raw.referenced;
    if raw.value.is_empty() {
        let error = ValueError::new("an agent must listen somewhere")
            .help("name an address, or leave `listen` out for 0.0.0.0:9001");
        faults.report("listen", location, error);
    }
    let mut seen = HashSet::new();
    let mut registry = sockets::Registry::default();
    let mut listeners = Listeners {
        addresses: Vec::new(),
        sockets: Vec::new(),
        plain: Vec::new(),
    };
    for (i, entry) in raw.value.into_iter().enumerate() {
        let key = format!("listen[{i}]");
        if entry.socket.is_some() {
            let socket = sockets::read(faults, policies, &key, entry, &mut registry);
            listeners.sockets.extend(socket);
        } else if plain::is_plain(faults, &key, &entry) {
            let address = entry.address.as_ref().map(|text| text.referenced);
            let plain = plain::read(faults, policies, &key, entry, &mut registry);
            if let Some(plain) = &plain {
                let location = address.unwrap_or(location);
                refuse_repeated(faults, &key, location, plain.address, &mut seen);
            }
            listeners.plain.extend(plain);
        } else {
            sockets::refuse_settings_of_files(faults, &key, &entry);
            sockets::refuse_settings_of_callers(faults, &key, &entry);
            plain::refuse_settings(faults, &key, &entry);
            let listen = read_address(faults, &key, location, entry, &mut seen);
            listeners.addresses.push(listen);
        }
    }
    listeners
}

fn read_address(
    faults: &mut Faults,
    key: &str,
    otherwise: Location,
    raw: raw::Listen,
    seen: &mut HashSet<SocketAddr>,
) -> Listen {
    let default = Listen::default().address;
    let location = raw.address.as_ref().map_or(otherwise, |t| t.referenced);
    let address_key = format!("{key}.address");
    let address = faults.or(&address_key, raw.address, default, address::listen_address);
    refuse_repeated(faults, key, location, address, seen);
    let tls = raw.tls.map(|tls| tls.value).unwrap_or_default();
    let key = format!("{key}.tls");
    Listen {
        address,
        tls: ListenTls {
            certificate: faults.certificate(&key, tls.certificate_file, tls.key_file),
            names: faults.each(
                &format!("{key}.names"),
                tls.names.unwrap_or_default(),
                address::certificate_name,
            ),
        },
    }
}

/// Reports an address that another entry has.
fn refuse_repeated(
    faults: &mut Faults,
    key: &str,
    location: Location,
    address: SocketAddr,
    seen: &mut HashSet<SocketAddr>,
) {
    if address.port() != 0 && !seen.insert(address) {
        let error = ValueError::new(format!("`{address}` is listed already"));
        faults.report(&format!("{key}.address"), location, error);
    }
}
