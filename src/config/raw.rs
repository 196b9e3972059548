//! Mirrors the YAML file as it is written: the only types that serde sees.
//!
//! A value is kept as its text, with its location. So `validate` can report all
//! wrong values at once, and YAML's own reading of `off` and `1_000` does not
//! apply.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, Location, MessageFormatter, Options, Spanned, UserMessageFormatter};
use skep_filters::policy::Spec;

use super::error::{Fault, ValueError};
use super::suggest;

/// A value with its location.
pub(super) type Text = Spanned<String>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) listen: Option<Spanned<Vec<Listen>>>,
    pub(super) engine: Option<Spanned<Engine>>,
    pub(super) cluster: Option<Cluster>,
    pub(super) auth: Option<Auth>,
    pub(super) policies: Option<BTreeMap<String, Spanned<Spec>>>,
    pub(super) audit: Option<Audit>,
    pub(super) browse: Option<Browse>,
    pub(super) aggregate: Option<Aggregate>,
    pub(super) api_versions: Option<Text>,
    pub(super) images: Option<Images>,
    pub(super) log: Option<Log>,
    pub(super) state_dir: Option<Text>,
    pub(super) drain: Option<Text>,
    pub(super) threads: Option<Text>,
}

/// A file with policies and nothing else.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OnlyPolicies {
    pub(super) policies: Option<BTreeMap<String, Spanned<Spec>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) address: Option<Text>,
    pub(super) tls: Option<Spanned<ListenTls>>,
    pub(super) socket: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) owner: Option<Text>,
    pub(super) group: Option<Text>,
    pub(super) mode: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) limits: Option<Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
    pub(super) uids: Option<Vec<Spanned<SocketUser>>>,
    pub(super) plain: Option<Text>,
    pub(super) networks: Option<Spanned<Vec<Text>>>,
    pub(super) callers: Option<Vec<Spanned<ContainerCaller>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ContainerCaller {
    pub(super) container: Option<Text>,
    pub(super) service: Option<Text>,
    pub(super) label: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) limits: Option<Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SocketUser {
    pub(super) uid: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) limits: Option<Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListenTls {
    pub(super) certificate_file: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) names: Option<Vec<Text>>,
}

impl Listen {
    /// The place of the first of `callers`.
    pub(super) fn first_caller(&self) -> Option<Location> {
        let callers = self.callers.as_ref()?;
        callers.first().map(|first| first.referenced)
    }
}

/// An address alone, or a map with the address and further settings.
pub(super) enum Engine {
    Address(String),
    Map(Box<EngineMap>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EngineMap {
    pub(super) address: Option<Text>,
    pub(super) tls: Option<Spanned<EngineTls>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EngineTls {
    pub(super) ca_file: Option<Text>,
    pub(super) certificate_file: Option<Text>,
    pub(super) key_file: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cluster {
    pub(super) mode: Option<Text>,
    pub(super) discover: Option<Vec<Text>>,
    pub(super) container: Option<Text>,
    pub(super) operator: Option<Text>,
    pub(super) operator_key_file: Option<Text>,
    pub(super) secret_file: Option<Text>,
    pub(super) secret_files: Option<Spanned<Vec<Text>>>,
    pub(super) interval: Option<Text>,
    pub(super) probe_timeout: Option<Text>,
    pub(super) certificate_lifetime: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) keys: Option<Vec<Spanned<Key>>>,
    pub(super) window: Option<Text>,
    pub(super) accept_without_audience: Option<Text>,
    pub(super) contact: Option<Text>,
    pub(super) portainer: Option<Spanned<Portainer>>,
    pub(super) certificates: Option<Spanned<Certificates>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Certificates {
    pub(super) identities: Option<Vec<Spanned<CertificateIdentity>>>,
    pub(super) revoked_file: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CertificateIdentity {
    pub(super) name: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) networks: Option<Vec<Text>>,
    pub(super) limits: Option<Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Portainer {
    pub(super) secret_file: Option<Text>,
    pub(super) public_key_file: Option<Text>,
    pub(super) first_use: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) networks: Option<Vec<Text>>,
    pub(super) limits: Option<Limits>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) per_second: Option<Text>,
    pub(super) at_once: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub(super) file: Option<Text>,
    pub(super) routine: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Browse {
    pub(super) host: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Key {
    pub(super) id: Option<Text>,
    pub(super) secret_file: Option<Text>,
    pub(super) public_key_file: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) networks: Option<Vec<Text>>,
    pub(super) limits: Option<Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
    pub(super) unsigned_streams: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Aggregate {
    pub(super) deadline: Option<Text>,
    pub(super) partial: Option<Text>,
    pub(super) max_bytes: Option<Text>,
    pub(super) info: Option<Text>,
    pub(super) node_label: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Images {
    pub(super) copy: Option<Text>,
    pub(super) copy_max_bytes: Option<Text>,
    pub(super) copy_timeout: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: Option<Text>,
    pub(super) level: Option<Text>,
}

/// Not an untagged enum: serde would buffer it, lose the locations, and report
/// only that nothing matched.
impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EngineVisitor;

        impl<'de> Visitor<'de> for EngineVisitor {
            type Value = Engine;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a map with `address` and `tls`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Engine, E> {
                Ok(Engine::Address(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Engine, A::Error> {
                let map = EngineMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Engine::Map(Box::new(map)))
            }
        }

        deserializer.deserialize_any(EngineVisitor)
    }
}

/// Reads `text`, which the caller has bounded: a configuration, or a part of one.
pub(super) fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Vec<Fault>> {
    let read: Result<Option<T>, _> = serde_saphyr::from_str_with_options(text, options());
    match read {
        Ok(raw) => Ok(raw.unwrap_or_default()),
        Err(e) => Err(vec![fault(text, &e)]),
    }
}

/// Bounds for YAML: a configuration is not deep and has few anchors.
pub(super) fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_events: 50_000,
            max_nodes: 25_000,
            max_aliases: 64,
            max_anchors: 64,
            max_recorded_anchor_events: 10_000,
            max_merge_keys: 64,
        },
        // `error.rs` prints its own, which can hide a part of the line.
        with_snippet: false,
    }
}

fn fault(text: &str, cause: &Error) -> Fault {
    let location = cause.location().unwrap_or(Location::UNKNOWN);
    let mut key = key_at(text, location);
    let error = match cause {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            key = Some(field.clone());
            let help = suggest::help(field, "the settings here are", expected);
            ValueError::new("there is no such setting here").help(help)
        }
        Error::DuplicateMappingKey { .. } => ValueError::new("this is set twice"),
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } => ValueError::new(format!("this is a {unexpected}, and must be {expected}")),
        Error::Unexpected { expected, .. } => match *expected {
            "mapping start" => ValueError::new("this must be a map of settings")
                .help("write each setting as `name: value` on a line of its own"),
            "sequence start" => ValueError::new("this must be a list")
                .help("write `[one, two]`, or each element on a line of its own after `- `"),
            "string scalar" => ValueError::new("this must be a single value"),
            other => ValueError::new(format!("this must be {other}")),
        },
        Error::Budget { .. } => {
            let reason = UserMessageFormatter.format_message(cause);
            ValueError::new("this exceeds the bounds of a configuration").help(reason)
        }
        other => ValueError::new(UserMessageFormatter.format_message(other)),
    };
    Fault {
        key,
        location,
        error,
        hide_rest: matches!(cause, Error::SerdeUnknownField { .. }),
    }
}

/// The key at a location, or just before the value there. The parser reports
/// the location, but not the setting.
fn key_at(text: &str, location: Location) -> Option<String> {
    let offset = usize::try_from(location.span().byte_offset()?).ok()?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (before, after) = text.split_at_checked(offset)?;
    let end = after.find(|c| !word(c)).unwrap_or(after.len());
    let here = &after[..end];
    if !here.is_empty() && after[end..].starts_with(": ") {
        return Some(here.to_owned());
    }
    let before = before.trim_end().strip_suffix(':')?;
    let start = before.rfind(|c| !word(c)).map_or(0, |i| i + 1);
    before
        .get(start..)
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
}
