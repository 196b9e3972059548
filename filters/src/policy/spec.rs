//! Defines a policy as written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::effect::Effect;
use super::may::May;
use super::must::Must;
use super::node::NodeCondition;
use super::redact::Redact;

/// A policy as it stands in YAML. [`RuleSet::new`](super::RuleSet::new) checks it.
///
/// A request is matched against `deny`, then `rules` in order, then `allow`,
/// then the preset's rules. The first match decides. A request that matches
/// nothing is denied.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// A preset that this policy adds to; see [`presets`](super::presets). Its
    /// `may`, `must`, `labels` and `redact` hold where this policy has none.
    pub preset: Option<String>,
    /// Denied in any case: groups (`containers.read`, `services.*`) or `METHOD /path`.
    pub deny: Vec<String>,
    /// Rules in order.
    pub rules: Vec<RuleSpec>,
    /// Allowed, unless an earlier rule denies it.
    pub allow: Vec<String>,
    /// Grants to bodies.
    pub may: Option<May>,
    /// Demands on bodies.
    pub must: Option<Must>,
    /// The scope: the caller sees only objects with these labels, and objects it creates get them.
    pub labels: BTreeMap<String, String>,
    /// The kinds of values to remove from answers.
    pub redact: Vec<Redact>,
    /// Log denials, but let the requests through. For trying a policy out.
    pub audit_only: bool,
}

/// One rule: either `allow` or `deny` has entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSpec {
    /// The entries that it allows.
    pub allow: Vec<String>,
    /// The entries that it denies.
    pub deny: Vec<String>,
    /// On which nodes. While the node of a request is unknown, a rule with a
    /// condition allows nothing, and denies every request that it matches.
    pub node: NodeCondition,
}

impl Spec {
    /// A policy that allows these entries and nothing else.
    pub fn allowing<'t>(entries: impl IntoIterator<Item = &'t str>) -> Self {
        Self {
            allow: entries.into_iter().map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    /// A policy that is a preset and nothing else.
    pub fn of_preset(name: &str) -> Self {
        Self {
            preset: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

impl RuleSpec {
    /// A rule that holds on every node.
    pub fn new(effect: Effect, entries: Vec<String>) -> Self {
        let mut rule = Self::default();
        match effect {
            Effect::Allow => rule.allow = entries,
            Effect::Deny => rule.deny = entries,
        }
        rule
    }

    /// The same rule, on these nodes only.
    #[must_use]
    pub fn on(self, node: NodeCondition) -> Self {
        Self { node, ..self }
    }
}
