//! Checks the dependencies in `cargo metadata` and in the lock file of the fuzz
//! targets against `deny.toml`, which `cargo deny` reads as well.
//!
//! It does not check security advisories, which need their database: see
//! `tests/deny`.

mod rules;

use std::path::{Path, PathBuf};
use std::process::Command;

use rules::{Dependency, Package, Rules};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

/// A package in a lock file, which has neither licences nor required versions.
#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
}

impl From<Locked> for Package {
    fn from(locked: Locked) -> Self {
        let Locked {
            name,
            version,
            source,
        } = locked;
        Self {
            name,
            version,
            source,
            license: None,
            publish: None,
            dependencies: Vec::new(),
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn toml<T: DeserializeOwned>(path: &str) -> T {
    let text = std::fs::read_to_string(root().join(path)).expect(path);
    toml::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn rules() -> Rules {
    toml("deny.toml")
}

fn packages() -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    let metadata = ["metadata", "--format-version=1", "--locked"];
    let output = cargo.args(metadata).current_dir(root()).output();
    let output = output.expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let read: Metadata = serde_json::from_slice(&output.stdout).expect("cargo's format");
    assert!(read.packages.len() > 100, "the whole graph");
    read.packages
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn no_dependency_is_banned() {
    assert_none(&rules().banned(&packages()));
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    assert_none(&rules().unlicensed(&packages()));
}

#[test]
fn every_dependency_is_from_a_registry_that_is_allowed() {
    assert_none(&rules().unknown_sources(&packages()));
}

#[test]
fn no_dependency_has_a_wildcard_version() {
    assert_none(&rules().wildcards(&packages()));
}

#[test]
fn no_dependency_of_the_fuzz_targets_is_banned_or_from_an_unknown_source() {
    let lock: Lock = toml("filters/fuzz/Cargo.lock");
    let packages: Vec<Package> = lock.package.into_iter().map(Into::into).collect();
    assert!(packages.len() > 10, "the whole graph");
    assert_none(&rules().banned(&packages));
    assert_none(&rules().unknown_sources(&packages));
}

/// An unmaintained crate, and why it is a dependency.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Unmaintained {
    name: String,
    #[serde(rename = "advisory")]
    _advisory: Option<String>,
    /// The dependency that needs it.
    through: String,
    reason: String,
}

#[derive(serde::Deserialize)]
struct AllUnmaintained {
    #[serde(rename = "crate")]
    crates: Vec<Unmaintained>,
}

#[test]
fn every_known_unmaintained_crate_has_a_reason_and_is_no_choice_of_this_workspace() {
    let known: AllUnmaintained = toml("tests/dependencies/unmaintained.toml");
    let packages = packages();
    let needs = |package: &Package, name: &str| {
        let mut dependencies = package.dependencies.iter();
        dependencies.any(|dependency| dependency.name == name)
    };
    for one in known.crates {
        let name = &one.name;
        assert!(one.reason.len() > 20, "{name} needs a reason");
        let through = packages.iter().find(|package| package.name == one.through);
        let through = through.unwrap_or_else(|| panic!("{name}: no {}", one.through));
        assert!(
            needs(through, name),
            "{name} is not needed any more: remove it"
        );
        let own = packages.iter().filter(|package| package.source.is_none());
        for package in own {
            assert!(
                !needs(package, name),
                "{} needs {name} itself",
                package.name
            );
        }
    }
}

/// A package that breaks no rule.
fn good() -> Package {
    Package {
        name: "good".to_owned(),
        version: "1.2.3".to_owned(),
        source: Some("registry+https://github.com/rust-lang/crates.io-index".to_owned()),
        license: Some("MIT OR Apache-2.0".to_owned()),
        publish: None,
        dependencies: vec![Dependency {
            name: "other".to_owned(),
            req: "^1".to_owned(),
            path: None,
        }],
    }
}

#[test]
fn a_listed_crate_is_banned() {
    let package = |name: &str| Package {
        name: name.to_owned(),
        ..good()
    };
    let banned = |name| rules().banned(&[good(), package(name)]);
    for name in ["openssl", "aws-lc-sys", "hyper", "reqwest"] {
        let [problem] = &banned(name)[..] else {
            panic!("{name} is not found");
        };
        assert!(problem.starts_with(&format!("{name} 1.2.3: ")), "{problem}");
    }
    assert_none(&banned("hyper-rustls-not"));
}

#[test]
fn a_licence_expression_is_evaluated_as_a_whole() {
    let refused = |license: Option<&str>| {
        let license = license.map(str::to_owned);
        !rules()
            .unlicensed(&[Package { license, ..good() }])
            .is_empty()
    };
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "MIT OR GPL-3.0-only",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-2.0-only OR Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(!refused(Some(allowed)), "{allowed}");
    }
    for denied in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "MIT WITH LLVM-exception",
        "Apache-2.0 WITH Classpath-exception-2.0",
        "No such licence",
    ] {
        assert!(refused(Some(denied)), "{denied}");
    }
    assert!(refused(None), "a missing licence");
}

#[test]
fn a_crate_from_an_unknown_source_is_refused() {
    let refused = |source: &str| {
        let source = Some(source.to_owned());
        !rules()
            .unknown_sources(&[Package { source, ..good() }])
            .is_empty()
    };
    for source in [
        "git+https://github.com/rust-lang/log#0123456",
        "registry+https://example.com/index",
        "sparse+https://example.com/index/",
    ] {
        assert!(refused(source), "{source}");
    }
    assert_none(&rules().unknown_sources(&[Package {
        source: None,
        ..good()
    }]));
}

#[test]
fn wildcards_are_allowed_only_for_paths_in_unpublished_packages() {
    let refused = |path: Option<&str>, publish: Option<Vec<String>>| {
        let dependencies = vec![Dependency {
            name: "other".to_owned(),
            req: "*".to_owned(),
            path: path.map(str::to_owned),
        }];
        let package = Package {
            dependencies,
            publish,
            ..good()
        };
        !rules().wildcards(&[package]).is_empty()
    };
    assert!(refused(None, Some(Vec::new())));
    assert!(refused(Some("filters"), None));
    assert!(!refused(Some("filters"), Some(Vec::new())));
}
