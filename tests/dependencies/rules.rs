//! The rules of `deny.toml`. An unknown key is an error, so that every rule in the
//! file has a check.

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

/// The rules that this test checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    #[serde(rename = "graph")]
    _graph: toml::Table,
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Licenses {
    #[serde(rename = "version")]
    _version: u8,
    /// For licences recognised by their text, which this test does not do.
    #[serde(rename = "confidence-threshold")]
    _confidence: f32,
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    #[serde(rename = "multiple-versions")]
    _multiple: Allow,
    #[serde(rename = "wildcards")]
    _wildcards: Deny,
    allow_wildcard_paths: bool,
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    #[serde(rename = "unknown-registry")]
    _registry: Deny,
    #[serde(rename = "unknown-git")]
    _git: Deny,
    allow_registry: Vec<String>,
}

/// The only supported value.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

/// The only supported value.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Allow {
    Allow,
}

/// The metadata of a package.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// None for a path in this repository.
    pub(crate) source: Option<String>,
    pub(crate) license: Option<String>,
    /// The registries to which it may be published; all if `None`.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency of a package.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) req: String,
    pub(crate) path: Option<String>,
}

impl Package {
    fn problem(&self, what: &str) -> String {
        format!("{} {}: {what}", self.name, self.version)
    }
}

impl Rules {
    pub(crate) fn banned(&self, packages: &[Package]) -> Vec<String> {
        let find = |package: &Package| {
            let banned = self.bans.deny.iter().find(|b| b.name == package.name)?;
            Some(package.problem(&banned.reason))
        };
        packages.iter().filter_map(find).collect()
    }

    pub(crate) fn unlicensed(&self, packages: &[Package]) -> Vec<String> {
        let allow = |text: &String| Licensee::parse(text).expect("a licence of SPDX");
        let allowed: Vec<_> = self.licenses.allow.iter().map(allow).collect();
        let check = |package: &Package| {
            let text = package.license.as_deref().ok_or("names no licence")?;
            let read = Expression::parse_mode(text, ParseMode::LAX);
            let read = read.map_err(|e| format!("its licence cannot be read: {}", e.reason))?;
            match read.evaluate(|asked| allowed.iter().any(|a| a.satisfies(asked))) {
                true => Ok(()),
                false => Err(format!("its licence is not allowed: {text}")),
            }
        };
        let problem = |package| Some(Package::problem(package, &check(package).err()?));
        packages.iter().filter_map(problem).collect()
    }

    pub(crate) fn unknown_sources(&self, packages: &[Package]) -> Vec<String> {
        let known = |source: &str| {
            let registry = source.strip_prefix("registry+");
            registry.is_some_and(|url| self.sources.allow_registry.iter().any(|a| a == url))
        };
        let find = |package: &Package| {
            let source = package.source.as_deref().filter(|source| !known(source))?;
            Some(package.problem(&format!("comes from {source}")))
        };
        packages.iter().filter_map(find).collect()
    }

    pub(crate) fn wildcards(&self, packages: &[Package]) -> Vec<String> {
        let find = |package: &Package| {
            let private = package.publish.as_ref().is_some_and(Vec::is_empty);
            let paths_may = private && self.bans.allow_wildcard_paths;
            let any = |d: &&Dependency| d.req == "*" && !(paths_may && d.path.is_some());
            let dependency = package.dependencies.iter().find(any)?;
            Some(package.problem(&format!("takes any version of {}", dependency.name)))
        };
        packages.iter().filter_map(find).collect()
    }
}
