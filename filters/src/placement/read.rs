//! Reads the fields of a create body that place the container, as the engine
//! does.
//!
//! `null` empties a list, a map or an object, and leaves a text as it was. A
//! repeated object or map is read into the first; a repeated list replaces it. A
//! body that the engine cannot read gives `None`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Members, is_null};

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
    let body = Members::of(body)?;
    text(&mut create.image, &body, "Image")?;
    for value in body.field("HostConfig") {
        if is_null(value) {
            create.host = HostConfig::default()
        } else {
            create.host.read(&members(value)?)?
        }
    }
    for value in body.field("NetworkingConfig") {
        if is_null(value) {
            create.endpoints.clear()
        } else {
            endpoints(&mut create.endpoints, &members(value)?)?
        }
    }
    Some(create)
}

impl HostConfig {
    fn read(&mut self, host: &Members<'_>) -> Option<()> {
        text(&mut self.network_mode, host, "NetworkMode")?;
        text(&mut self.ipc_mode, host, "IpcMode")?;
        text(&mut self.pid_mode, host, "PidMode")?;
        text(&mut self.uts_mode, host, "UTSMode")?;
        texts(&mut self.volumes_from, host, "VolumesFrom")?;
        texts(&mut self.links, host, "Links")?;
        texts(&mut self.binds, host, "Binds")?;
        for value in host.field("Mounts") {
            self.mounts = mounts(value)?;
        }
        Some(())
    }
}

fn endpoints(names: &mut Vec<String>, config: &Members<'_>) -> Option<()> {
    for value in config.field("EndpointsConfig") {
        if is_null(value) {
            names.clear()
        } else {
            names.extend(members(value)?.iter().map(|(name, _)| name.to_owned()))
        }
    }
    Some(())
}

fn mounts(value: &RawValue) -> Option<Vec<Mount>> {
    let list = list::<&RawValue>(value)?.into_iter().flatten();
    list.map(|value| {
        let mut mount = Mount::default();
        let fields = members(value)?;
        text(&mut mount.kind, &fields, "Type")?;
        text(&mut mount.source, &fields, "Source")?;
        Some(mount)
    })
    .collect()
}

fn members(value: &RawValue) -> Option<Members<'_>> {
    Members::of(value.get().as_bytes())
}

fn text(field: &mut String, object: &Members<'_>, name: &str) -> Option<()> {
    for value in object.field(name).filter(|value| !is_null(value)) {
        *field = serde_json::from_str(value.get()).ok()?;
    }
    Some(())
}

fn texts(field: &mut Vec<String>, object: &Members<'_>, name: &str) -> Option<()> {
    for value in object.field(name) {
        *field = list(value)?.into_iter().flatten().collect();
    }
    Some(())
}

fn list<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<Vec<Option<T>>> {
    let list: Option<_> = serde_json::from_str(value.get()).ok()?;
    Some(list.unwrap_or_default())
}
