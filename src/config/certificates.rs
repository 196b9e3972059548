//! Reads which client certificates are accepted: `auth.certificates`.

use std::path::PathBuf;

use serde_saphyr::Spanned;

use super::error::ValueError;
use super::faults::Faults;
use super::grant::{self, Grant};
use super::policies::Policies;
use super::{raw, scalar};

const KEY: &str = "auth.certificates";

/// The client certificates that are accepted, except the revoked ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificates {
    /// The accepted names, each once.
    pub identities: Vec<CertificateIdentity>,
    /// The file with the serial numbers of revoked certificates.
    pub revoked_file: Option<PathBuf>,
}

/// A name that certificates may have, and its rights.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateIdentity {
    /// The name in the certificate.
    pub name: String,
    /// The rights of its holder.
    pub grant: Grant,
}

/// Checks the name of a client's certificate.
///
/// # Errors
/// The name would need escaping in headers and log lines.
pub fn client_name(text: &str) -> Result<String, ValueError> {
    scalar::name(text)
}

/// Reads `auth.certificates`.
pub(super) fn read(
    faults: &mut Faults,
    policies: &Policies,
    raw: Spanned<raw::Certificates>,
) -> Option<Certificates> {
    let Spanned {
        value, referenced, ..
    } = raw;
    let Some(list) = value.identities else {
        let error = ValueError::new("this needs `identities`")
            .help("for example `identities: [ { name: alice, policy: admin } ]`");
        faults.report(KEY, referenced, error);
        return None;
    };
    let identities = faults.distinct(
        &format!("{KEY}.identities"),
        "name",
        list,
        |raw| raw.name.as_ref(),
        |faults, key, raw| identity(faults, policies, key, raw),
    );
    Some(Certificates {
        identities,
        revoked_file: faults.path(KEY, "revoked_file", value.revoked_file),
    })
}

fn identity(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Spanned<raw::CertificateIdentity>,
) -> Option<CertificateIdentity> {
    let location = raw.referenced;
    let raw = raw.value;
    if raw.name.is_none() {
        let error = ValueError::new("this needs `name`")
            .help("the name that the certificate was issued for, for example `name: alice`");
        faults.report(key, location, error);
    }
    let grant = grant::Raw {
        policy: raw.policy,
        networks: raw.networks,
        limits: raw.limits,
        node: raw.node,
        nodes: raw.nodes,
    };
    let grant = grant.read(faults, policies, key, location);
    let name = faults.read(&format!("{key}.name"), raw.name, scalar::name);
    Some(CertificateIdentity {
        name: name?,
        grant: grant?,
    })
}
