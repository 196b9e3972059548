//! Prints a policy as YAML that reads back as the same policy.
//!
//! Every text is in double quotes with JSON's escapes, which YAML 1.2 reads in
//! the same way (§7.3.1). So no text can be taken for another type.

use std::fmt::{self, Display, Write};

use super::may::May;
use super::must::Must;
use super::node::NodeCondition;
use super::spec::Spec;
use crate::json::{json_array, json_string};

impl Spec {
    /// The policy in YAML, indented by `indent` spaces, without fields that are not set.
    pub fn to_yaml(&self, indent: usize) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = spec(&mut Lines(&mut out, indent), self);
        if out.is_empty() {
            let _ = writeln!(out, "{:indent$}allow: []", "");
        }
        out
    }
}

struct Lines<'o>(&'o mut String, usize);

impl Lines<'_> {
    fn line(&mut self, name: &str, value: impl Display) -> fmt::Result {
        writeln!(self.0, "{:indent$}{name}: {value}", "", indent = self.1)
    }

    fn texts(&mut self, name: &str, texts: &[String]) -> fmt::Result {
        match texts {
            [] => Ok(()),
            texts => self.line(name, json_array(texts.iter().map(|text| json_string(text)))),
        }
    }

    fn flag(&mut self, name: &str, on: bool) -> fmt::Result {
        if on { self.line(name, true) } else { Ok(()) }
    }

    /// A mapping below a name; an empty one needs `{}`.
    fn below(
        &mut self,
        name: &str,
        put: impl FnOnce(&mut Lines<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut inner = String::new();
        put(&mut Lines(&mut inner, self.1 + 2))?;
        if inner.is_empty() {
            return self.line(name, "{}");
        }
        writeln!(self.0, "{:indent$}{name}:\n{inner}", "", indent = self.1)?;
        self.0.pop();
        Ok(())
    }
}

fn spec(out: &mut Lines<'_>, spec: &Spec) -> fmt::Result {
    if let Some(preset) = &spec.preset {
        out.line("preset", json_string(preset))?;
    }
    out.texts("deny", &spec.deny)?;
    if !spec.rules.is_empty() {
        let indent = out.1;
        writeln!(out.0, "{:indent$}rules:", "")?;
    }
    for rule in &spec.rules {
        let mut lines = String::new();
        let mut inner = Lines(&mut lines, out.1 + 4);
        inner.texts("allow", &rule.allow)?;
        inner.texts("deny", &rule.deny)?;
        if !rule.node.is_empty() {
            inner.below("node", |out| node(out, &rule.node))?;
        }
        if rule.allow.is_empty() && rule.deny.is_empty() && rule.node.is_empty() {
            inner.line("allow", "[]")?;
        }
        let indent = out.1;
        let first = lines.trim_start();
        writeln!(out.0, "{:indent$}  - {}", "", first.trim_end())?;
    }
    out.texts("allow", &spec.allow)?;
    if let Some(own) = &spec.may {
        out.below("may", |out| may(out, own))?;
    }
    if let Some(own) = &spec.must {
        out.below("must", |out| must(out, own))?;
    }
    if !spec.labels.is_empty() {
        out.below("labels", |out| labels(out, &spec.labels))?;
    }
    let redact: Vec<_> = spec
        .redact
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect();
    out.texts("redact", &redact)?;
    out.flag("audit_only", spec.audit_only)
}

fn node(out: &mut Lines<'_>, node: &NodeCondition) -> fmt::Result {
    if let Some(role) = node.role {
        out.line("role", role.as_str())?;
    }
    if let Some(name) = &node.hostname {
        out.line("hostname", json_string(name))?;
    }
    if node.labels.is_empty() {
        Ok(())
    } else {
        out.below("labels", |out| labels(out, &node.labels))
    }
}

fn may(out: &mut Lines<'_>, may: &May) -> fmt::Result {
    may.flags().try_for_each(|(name, on)| out.flag(name, on))?;
    may.lists()
        .try_for_each(|(name, list)| out.texts(name, list))
}

fn must(out: &mut Lines<'_>, must: &Must) -> fmt::Result {
    out.texts("images", &must.images)?;
    out.flag("digest", must.digest)?;
    out.flag("non_root", must.non_root)?;
    out.flag("no_new_privileges", must.no_new_privileges)?;
    out.flag("read_only", must.read_only)?;
    out.flag("recreatable", must.recreatable)?;
    if !must.labels.is_empty() {
        out.below("labels", |out| labels(out, &must.labels))?;
    }
    if let Some(memory) = must.memory {
        out.line("memory", json_string(&memory.to_string()))?;
    }
    if let Some(cpus) = must.cpus {
        out.line("cpus", format_args!("{cpus:?}"))?;
    }
    if let Some(pids) = must.pids {
        out.line("pids", pids)?;
    }
    out.texts("restart", &must.restart)?;
    let addresses: Vec<_> = must.publish_on.iter().map(ToString::to_string).collect();
    out.texts("publish_on", &addresses)
}

fn labels(out: &mut Lines<'_>, labels: &std::collections::BTreeMap<String, String>) -> fmt::Result {
    labels
        .iter()
        .try_for_each(|(name, value)| out.line(&json_string(name), json_string(value)))
}

#[cfg(test)]
mod tests {
    use super::super::{Redact, Role, RuleSpec, presets};
    use super::*;
    use crate::scalar::Size;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn read(yaml: &str) -> Spec {
        serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"))
    }

    #[test]
    fn every_preset_reads_back_unchanged() {
        for name in presets::names() {
            let spec = presets::preset(name).unwrap();
            assert_eq!(read(&spec.to_yaml(0)), spec, "{name}");
        }
    }

    #[test]
    fn an_empty_policy_reads_back_empty() {
        assert_eq!(Spec::default().to_yaml(2), "  allow: []\n");
        let nothing = Spec {
            may: Some(May::default()),
            must: Some(Must::default()),
            ..Spec::default()
        };
        assert_eq!(read(&nothing.to_yaml(0)), nothing);
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        vec(
            "\\PC{0,8}|[:#'\" *&!%@`{}\\[\\],\n\t-]{1,6}|yes|null|1",
            0..3,
        )
    }

    fn labels() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
        btree_map("\\PC{1,6}|[:#'\" -]{1,4}", "\\PC{0,6}", 0..3)
    }

    fn rule() -> impl Strategy<Value = RuleSpec> {
        (texts(), texts(), labels(), any::<bool>()).prop_map(|(allow, deny, labels, manager)| {
            let role = manager.then_some(Role::Manager);
            let hostname = labels.keys().next().cloned();
            let node = NodeCondition {
                role,
                hostname,
                labels,
            };
            RuleSpec { allow, deny, node }
        })
    }

    fn must() -> impl Strategy<Value = Must> {
        (
            texts(),
            labels(),
            any::<Option<u64>>(),
            0.01..99.0,
            any::<bool>(),
        )
            .prop_map(|(images, labels, size, cpus, flag)| Must {
                images,
                digest: flag,
                labels,
                memory: size.map(Size),
                cpus: flag.then_some(cpus),
                pids: size,
                publish_on: vec!["::1".parse().unwrap()],
                ..Must::default()
            })
    }

    proptest! {
        #[test]
        fn every_policy_reads_back_unchanged(
            preset in any::<Option<bool>>(),
            (deny, allow, binds) in (texts(), texts(), texts()),
            rules in vec(rule(), 0..3),
            must in proptest::option::of(must()),
            labels in labels(),
            privileged: bool,
            indent in 0_usize..5,
        ) {
            let spec = Spec {
                preset: preset.map(|p| p.to_string()),
                deny,
                rules,
                allow,
                may: privileged.then_some(May { privileged, binds, ..May::default() }),
                must,
                labels,
                redact: vec![Redact::Env],
                audit_only: privileged,
            };
            prop_assert_eq!(read(&spec.to_yaml(indent)), spec);
        }
    }
}
