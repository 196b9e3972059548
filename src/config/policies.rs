//! Reads the policies of a configuration, and knows the built-in ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_saphyr::Spanned;
use skep_filters::policy::{RuleSet, Spec, presets};

use super::error::ValueError;
use super::faults::Faults;
use super::{scalar, suggest};

/// The built-in policy that allows everything.
const ADMIN: &str = "admin";

/// A policy with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The name in the configuration, or that of a preset, or `admin`.
    pub(crate) name: String,
    pub(crate) rules: RuleSet,
}

/// Policies by name.
#[derive(Default)]
pub(super) struct Policies(BTreeMap<String, Arc<Policy>>);

impl Policy {
    /// The policy that allows everything.
    pub(crate) fn admin() -> Self {
        Self {
            name: "admin".to_owned(),
            rules: RuleSet::admin(),
        }
    }
}

impl Policies {
    /// Reads `policies`.
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
                faults.report(&key, referenced, error);
            }
            let rules = RuleSet::new(&value).unwrap_or_else(|errors| {
                for error in errors {
                    let at = format!("{key}.{}", error.at);
                    faults.report(&at, referenced, ValueError::new(error.what));
                }
                // A placeholder, so that its users are not reported as well;
                // the configuration is refused in any case.
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

    /// The same policies, and these; of two with one name, these count.
    pub(super) fn with(mut self, others: &[Arc<Policy>]) -> Self {
        let others = others.iter();
        self.0
            .extend(others.map(|policy| (policy.name.clone(), policy.clone())));
        self
    }

    /// The policy of this name.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Policy>, ValueError> {
        if let Some(own) = self.0.get(name) {
            return Ok(own.clone());
        }
        if name == ADMIN {
            return Ok(Arc::new(Policy::admin()));
        }
        if is_preset(name)
            && let Ok(rules) = RuleSet::new(&Spec::of_preset(name))
        {
            let name = name.to_owned();
            return Ok(Arc::new(Policy { name, rules }));
        }
        let help = suggest::help(name, "there is", &self.names());
        Err(ValueError::new(format!("there is no policy `{name}`")).help(help))
    }

    /// The help where a policy is missing.
    pub(super) fn help(&self) -> String {
        let names = self.names().join(", ");
        format!("for example `policy: read-only`; the policies are {names}")
    }

    /// All policies of the configuration.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.0.values()
    }

    /// The policies of the configuration with limits, and the presets.
    pub(super) fn limited(&self) -> Vec<Arc<Policy>> {
        let presets = presets::names().filter_map(|name| self.find(name).ok());
        let all = self.all().cloned().chain(presets);
        all.filter(|policy| !policy.rules.is_unrestricted() && !policy.rules.audit_only())
            .collect()
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

/// Refuses the names of the built-in policies.
fn own_name(name: &str) -> Result<(), ValueError> {
    if name == ADMIN || is_preset(name) {
        let help = "choose a name of your own; `preset: NAME` in it builds on a preset";
        return Err(ValueError::new(format!("`{name}` is a built-in policy")).help(help));
    }
    scalar::key_id(name).map(drop)
}

fn is_preset(name: &str) -> bool {
    presets::names().any(|preset| preset == name)
}
