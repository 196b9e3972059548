//! The fields of a create body that place the container, read as the engine
//! reads them.
//!
//! `null` empties a list, a map or an object and leaves a text alone; an object
//! or map that comes twice is read into the first, a list replaces it. `None`
//! is a body of which the engine says that it cannot be read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Members, folded};

#[derive(Default)]
pub(super) struct Create {
    pub(super) image: String,
    pub(super) host: HostConfig,
    /// The keys of `NetworkingConfig.EndpointsConfig`.
    pub(super) endpoints: Vec<String>,
}

#[derive(Default)]
pub(super) struct HostConfig {
    pub(super) network_mode: String,
    pub(super) ipc_mode: String,
    pub(super) pid_mode: String,
    pub(super) uts_mode: String,
    pub(super) volumes_from: Vec<String>,
    pub(super) links: Vec<String>,
    pub(super) binds: Vec<String>,
    pub(super) mounts: Vec<Mount>,
}

#[derive(Default)]
pub(super) struct Mount {
    pub(super) kind: String,
    pub(super) source: String,
}

pub(super) fn create(body: &[u8]) -> Option<Create> {
    let mut create = Create::default();
    for (key, value) in Members::of(body)?.iter() {
        match folded(key).as_str() {
            "image" => text(&mut create.image, value)?,
            "hostconfig" if is_null(value) => create.host = HostConfig::default(),
            "hostconfig" => create.host.read(value)?,
            "networkingconfig" if is_null(value) => create.endpoints.clear(),
            "networkingconfig" => endpoints(&mut create.endpoints, value)?,
            _ => {}
        }
    }
    Some(create)
}

impl HostConfig {
    fn read(&mut self, value: &RawValue) -> Option<()> {
        for (key, value) in Members::of(value.get().as_bytes())?.iter() {
            match folded(key).as_str() {
                "networkmode" => text(&mut self.network_mode, value)?,
                "ipcmode" => text(&mut self.ipc_mode, value)?,
                "pidmode" => text(&mut self.pid_mode, value)?,
                "utsmode" => text(&mut self.uts_mode, value)?,
                "volumesfrom" => self.volumes_from = texts(value)?,
                "links" => self.links = texts(value)?,
                "binds" => self.binds = texts(value)?,
                "mounts" => self.mounts = mounts(value)?,
                _ => {}
            }
        }
        Some(())
    }
}

fn endpoints(names: &mut Vec<String>, value: &RawValue) -> Option<()> {
    for (key, value) in Members::of(value.get().as_bytes())?.iter() {
        match folded(key).as_str() {
            "endpointsconfig" if is_null(value) => names.clear(),
            "endpointsconfig" => {
                let map = Members::of(value.get().as_bytes())?;
                names.extend(map.iter().map(|(name, _)| name.to_owned()));
            }
            _ => {}
        }
    }
    Some(())
}

fn mounts(value: &RawValue) -> Option<Vec<Mount>> {
    list::<&RawValue>(value)?
        .into_iter()
        .flatten()
        .map(|value| {
            let mut mount = Mount::default();
            for (key, value) in Members::of(value.get().as_bytes())?.iter() {
                match folded(key).as_str() {
                    "type" => text(&mut mount.kind, value)?,
                    "source" => text(&mut mount.source, value)?,
                    _ => {}
                }
            }
            Some(mount)
        })
        .collect()
}

fn text(field: &mut String, value: &RawValue) -> Option<()> {
    if !is_null(value) {
        *field = serde_json::from_str(value.get()).ok()?;
    }
    Some(())
}

fn texts(value: &RawValue) -> Option<Vec<String>> {
    Some(list(value)?.into_iter().flatten().collect())
}

fn list<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<Vec<Option<T>>> {
    let list: Option<_> = serde_json::from_str(value.get()).ok()?;
    Some(list.unwrap_or_default())
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}
