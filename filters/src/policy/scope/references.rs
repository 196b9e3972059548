//! Finds the objects that a body names: they must be in scope too.

use super::{Kind, Scope, ScopeError};
use crate::json::Fields;
use crate::policy::body::mounts;
use crate::policy::request::BodyOf;
use crate::policy::verdict::{Denied, Judged};

/// Most objects that one body may name: each has to be inspected.
const MAX_NAMES: usize = 64;

/// Networks that every engine has.
const PREDEFINED: [&str; 6] = ["", "default", "bridge", "host", "none", "nat"];

/// An object that a body names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The kind of the object.
    pub kind: Kind,
    /// Its name or id.
    pub name: String,
}

/// The names found so far, each once.
#[derive(Default)]
struct Names(Vec<Reference>);

impl Names {
    fn add(&mut self, kind: Kind, name: &str) {
        let known = |own: &Reference| own.kind == kind && own.name == name;
        if !name.is_empty() && self.0.len() <= MAX_NAMES && !self.0.iter().any(known) {
            let name = name.to_owned();
            self.0.push(Reference { kind, name });
        }
    }
}

impl Scope {
    /// The objects that the body of a create of this kind names; for
    /// [`Kind::Network`] also the body of `/networks/{id}/connect` and
    /// `/disconnect`. A volume among them may not exist: the engine then makes
    /// it, without labels.
    ///
    /// # Errors
    /// If the body cannot be read with certainty, or names too many.
    pub fn references(kind: Kind, body: &BodyOf<'_>) -> Result<Vec<Reference>, ScopeError> {
        let unreadable = ScopeError::Unreadable("the body is not readable");
        let json = body.read().map_err(|_| unreadable.clone())?;
        let mut names = Names::default();
        // Refuses a field that is given twice, also where none names an object.
        let read = Fields::of(json, "body").map_err(Denied::from);
        let read = read.and_then(|body| {
            named_in(kind, body, &mut |kind, name| {
                names.add(kind, name);
                Ok(())
            })
        });
        read.map_err(|_| unreadable)?;
        if names.0.len() > MAX_NAMES {
            return Err(ScopeError::Unreadable(
                "the body names more than 64 objects",
            ));
        }
        Ok(names.0)
    }

    /// The name of the volume that a create body asks for; `None` if the engine
    /// makes one up.
    ///
    /// # Errors
    /// If the body cannot be read with certainty.
    pub fn volume_name(body: &BodyOf<'_>) -> Result<Option<String>, ScopeError> {
        let unreadable = |_| ScopeError::Unreadable("the body is not readable");
        let json = body
            .read()
            .map_err(|_| ScopeError::Unreadable("the body is not readable"))?;
        let fields = Fields::of(json, "body").map_err(unreadable)?;
        let name = fields.text("Name").map_err(unreadable)?;
        Ok((!name.is_empty()).then(|| name.to_owned()))
    }
}

/// Takes one object that a body names.
type Add<'a, 'j> = &'a mut dyn FnMut(Kind, &'j str) -> Judged;

/// Hands over every object that a body of this kind names, empty names included.
pub(in crate::policy) fn named_in<'j>(kind: Kind, body: Fields<'j>, add: Add<'_, 'j>) -> Judged {
    match kind {
        Kind::Container => container(add, body),
        Kind::Service => service(add, body),
        Kind::Network => network(add, body),
        Kind::Volume | Kind::Secret | Kind::Config | Kind::Exec | Kind::Task => Ok(()),
    }
}

fn container<'j>(add: Add<'_, 'j>, body: Fields<'j>) -> Judged {
    // Older engines take a `HostConfig`'s fields out of the body itself.
    for host in [body, body.object("HostConfig")?] {
        for field in [
            "NetworkMode",
            "PidMode",
            "IpcMode",
            "UTSMode",
            "UsernsMode",
            "CgroupnsMode",
            "Cgroup",
        ] {
            if let Some(name) = host.text(field)?.strip_prefix("container:") {
                add(Kind::Container, name)?;
            }
        }
        for field in ["VolumesFrom", "Links"] {
            for entry in host.texts(field)? {
                let name = entry.split(':').next().unwrap_or_default();
                add(Kind::Container, name)?;
            }
        }
        let mode = host.text("NetworkMode")?;
        if !PREDEFINED.contains(&mode) && !mode.starts_with("container:") {
            add(Kind::Network, mode)?;
        }
        for volume in mounts::volumes(&host)? {
            add(Kind::Volume, volume)?;
        }
    }
    for (name, settings) in body.object("NetworkingConfig")?.map("EndpointsConfig")? {
        if !PREDEFINED.contains(&name.as_ref()) {
            add(Kind::Network, name)?;
        }
        // The engine uses the id if there is one.
        let settings = Fields::of(settings, "EndpointsConfig")?;
        add(Kind::Network, settings.text("NetworkID")?)?;
        links(add, settings)?;
    }
    Ok(())
}

fn service<'j>(add: Add<'_, 'j>, body: Fields<'j>) -> Judged {
    let task = body.object("TaskTemplate")?;
    for fields in [body, task] {
        for network in fields.list("Networks")? {
            let target = Fields::of(network, "Networks")?.text("Target")?;
            if !PREDEFINED.contains(&target) {
                add(Kind::Network, target)?;
            }
        }
    }
    let container = task.object("ContainerSpec")?;
    for volume in mounts::volumes(&container)? {
        add(Kind::Volume, volume)?;
    }
    // Managers find them by their ids.
    for (list, field, kind) in [
        ("Secrets", "SecretID", Kind::Secret),
        ("Configs", "ConfigID", Kind::Config),
    ] {
        for reference in container.list(list)? {
            add(kind, Fields::of(reference, list)?.text(field)?)?;
        }
    }
    let credentials = container.object("Privileges")?.object("CredentialSpec")?;
    add(Kind::Config, credentials.text("Config")?)
}

/// `Links` of one container's settings in a network.
fn links<'j>(add: Add<'_, 'j>, settings: Fields<'j>) -> Judged {
    for entry in settings.texts("Links")? {
        add(Kind::Container, entry.split(':').next().unwrap_or_default())?;
    }
    Ok(())
}

fn network<'j>(add: Add<'_, 'j>, body: Fields<'j>) -> Judged {
    add(Kind::Container, body.text("Container")?)?;
    let from = body.object("ConfigFrom")?;
    add(Kind::Network, from.text("Network")?)?;
    links(add, body.object("EndpointConfig")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(kind: Kind, body: &str) -> Vec<String> {
        let references = Scope::references(kind, &BodyOf::json(body.as_bytes())).unwrap();
        let texts = references
            .into_iter()
            .map(|r| format!("{:?} {}", r.kind, r.name));
        texts.collect()
    }

    #[test]
    fn names_are_found_in_every_field_that_has_them() {
        for (kind, body, expected) in [
            (
                Kind::Container,
                r#"{"HostConfig":{"NetworkMode":"container:a","PidMode":"container:b","VolumesFrom":["c:ro"],"Links":["d:x"]}}"#,
                "Container a,Container b,Container c,Container d",
            ),
            (
                Kind::Container,
                r#"{"HostConfig":{"NetworkMode":"app"},"NetworkingConfig":{"EndpointsConfig":{"app":null,"db":{},"bridge":{}}}}"#,
                "Network app,Network db",
            ),
            (
                Kind::Container,
                r#"{"HostConfig":{"binds":["vol:/x","/srv:/y","/z"],"Mounts":[{"Type":"volume","Source":"m"},{"Type":"bind","Source":"/b"}]}}"#,
                "Volume vol,Volume m",
            ),
            (
                Kind::Container,
                r#"{"VolumesFrom":["old"],"Image":"a"}"#,
                "Container old",
            ),
            (
                Kind::Service,
                r#"{"TaskTemplate":{"Networks":[{"Target":"n"}],"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"v"}],"Secrets":[{"SecretID":"s"}],"Configs":[{"ConfigID":"c"}]}}}"#,
                "Network n,Volume v,Secret s,Config c",
            ),
            (Kind::Network, r#"{"Container":"a"}"#, "Container a"),
            (Kind::Volume, r#"{"Name":"v"}"#, ""),
        ] {
            assert_eq!(references(kind, body).join(","), expected, "{body}");
        }
    }

    #[test]
    fn a_field_given_twice_is_refused_in_a_body_of_any_kind() {
        let body = br#"{"NAME":"a","Name":"b"}"#;
        for kind in [
            Kind::Container,
            Kind::Volume,
            Kind::Network,
            Kind::Service,
            Kind::Secret,
            Kind::Config,
        ] {
            assert!(
                Scope::references(kind, &BodyOf::json(body)).is_err(),
                "{kind:?}"
            );
        }
        assert!(Scope::volume_name(&BodyOf::json(body)).is_err());
        let name = |body: &str| Scope::volume_name(&BodyOf::json(body.as_bytes()));
        assert_eq!(name(r#"{"name":"v"}"#), Ok(Some("v".into())));
        assert_eq!(name(r#"{"Name":""}"#), Ok(None));
        assert!(name(r#"{"Name":5}"#).is_err());
    }

    #[test]
    fn a_body_with_too_many_names_is_refused() {
        let body = |n: usize| {
            let links: Vec<_> = (0..n).map(|i| format!("\"c{i}:x\"")).collect();
            format!(r#"{{"HostConfig":{{"Links":[{}]}}}}"#, links.join(","))
        };
        assert_eq!(references(Kind::Container, &body(64)).len(), 64);
        assert!(Scope::references(Kind::Container, &BodyOf::json(body(65).as_bytes())).is_err());
        assert!(Scope::references(Kind::Container, &BodyOf::json(b"{\"HostConfig\":[]}")).is_err());
    }
}
