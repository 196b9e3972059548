//! Whose client certificates are let in.

use std::{collections::HashSet, path::PathBuf};

use serde_saphyr::Spanned;

use super::{Grant, error::ValueError, faults::Faults, grant, policies::Policies, raw, scalar};

const KEY: &str = "auth.certificates";

/// Whose certificates are let in, and which of them are not any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificates {
    /// The names that are let in; each is there once.
    pub identities: Vec<CertificateIdentity>,
    /// The file with the serial numbers that are refused.
    pub revoked_file: Option<PathBuf>,
}

/// Somebody with a certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateIdentity {
    /// The name in the certificate.
    pub name: String,
    /// What the holder may do.
    pub grant: Grant,
}

/// The name that a client's certificate may have.
///
/// # Errors
/// For anything that would not be plain in headers and log lines.
pub fn client_name(text: &str) -> Result<String, ValueError> {
    scalar::name(text)
}

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
        faults.note(KEY, referenced, error);
        return None;
    };
    let mut seen = HashSet::new();
    let mut identities = Vec::new();
    for (i, raw) in list.into_iter().enumerate() {
        let key = format!("{KEY}.identities[{i}]");
        let location = raw.value.name.as_ref().map(|text| text.referenced);
        let read = identity(faults, policies, &key, raw);
        if let (Some(location), Some(read)) = (location, &read)
            && !seen.insert(read.name.clone())
        {
            let error = ValueError::new(format!("`{}` is listed already", read.name));
            faults.note(&format!("{key}.name"), location, error);
        }
        identities.extend(read);
    }
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
        faults.note(key, location, error);
    }
    let grant = grant::Raw {
        policy: raw.policy,
        networks: raw.networks,
        limits: raw.limits,
    };
    let grant = grant.read(faults, policies, key, location);
    let name = faults.read(&format!("{key}.name"), raw.name, scalar::name);
    Some(CertificateIdentity {
        name: name?,
        grant: grant?,
    })
}
