//! The policies that a configuration names, and those that are always there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_saphyr::Spanned;
use skep_filters::policy::{RuleSet, Spec, presets};

use super::{error::ValueError, faults::Faults, scalar, suggest};

/// What may do everything.
const ADMIN: &str = "admin";

/// A policy by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// As in the configuration, or that of a preset, or `admin`.
    pub name: String,
    /// What it says.
    pub rules: RuleSet,
}

/// Policies by name.
#[derive(Default)]
pub(super) struct Policies(BTreeMap<String, Arc<Policy>>);

impl Policy {
    /// Everything is allowed.
    pub fn admin() -> Self {
        Self {
            name: "admin".to_owned(),
            rules: RuleSet::admin(),
        }
    }
}

impl Policies {
    /// Checks what stands under `policies`.
    pub(super) fn read(faults: &mut Faults, raw: BTreeMap<String, Spanned<Spec>>) -> Self {
        let mut all = BTreeMap::new();
        for (
            name,
            Spanned {
                value, referenced, ..
            },
        ) in raw
        {
            let key = format!("policies.{name}");
            if let Err(error) = own_name(&name) {
                faults.note(&key, referenced, error);
            }
            let rules = RuleSet::new(&value).unwrap_or_else(|errors| {
                for error in errors {
                    let at = format!("{key}.{}", error.at);
                    faults.note(&at, referenced, ValueError::new(error.what));
                }
                // Whoever has it is not told that there is none; the
                // configuration is refused in any case.
                RuleSet::admin()
            });
            let policy = Policy {
                name: name.clone(),
                rules,
            };
            all.insert(name, Arc::new(policy));
        }
        Self(all)
    }

    /// The policy of this name.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Policy>, ValueError> {
        if let Some(own) = self.0.get(name) {
            return Ok(own.clone());
        }
        if name == ADMIN {
            return Ok(Arc::new(Policy::admin()));
        }
        let preset = presets::names().any(|preset| preset == name);
        if let (true, Ok(rules)) = (preset, RuleSet::new(&Spec::of_preset(name))) {
            let name = name.to_owned();
            return Ok(Arc::new(Policy { name, rules }));
        }
        let help = suggest::help(name, "there is", &self.names());
        Err(ValueError::new(format!("there is no policy `{name}`")).help(help))
    }

    /// For whoever has named none.
    pub(super) fn help(&self) -> String {
        let names = self.names().join(", ");
        format!("for example `policy: read-only`; there is {names}")
    }

    /// The policies there are, in no order that means anything.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.0.values()
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.keys().map(String::as_str).collect();
        names.push(ADMIN);
        for preset in presets::names() {
            names.push(preset);
        }
        names
    }
}

/// A name that could be taken for one of those that are always there would hide
/// what it is.
fn own_name(name: &str) -> Result<(), ValueError> {
    if name == ADMIN || presets::names().any(|preset| preset == name) {
        let help = "choose a name of your own; `preset: NAME` in it builds on a preset";
        return Err(ValueError::new(format!("`{name}` is there already")).help(help));
    }
    scalar::key_id(name).map(drop)
}
