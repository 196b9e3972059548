//! Defines the policies that judge requests and bodies.

use std::sync::LazyLock;

use crate::policy::{May, Must, RuleSet, Spec, Verdict};
use crate::scalar::Size;

/// Policies that together use every check.
pub(super) struct Rules {
    /// All endpoints, and nothing that needs a grant.
    pub(super) plain: RuleSet,
    /// The same, with every demand.
    strict: RuleSet,
    /// With grants that have conditions.
    granted: RuleSet,
    /// A few endpoints by path and by group, all else denied.
    narrow: RuleSet,
    /// A few endpoints denied, all else allowed.
    guarded: RuleSet,
}

impl Rules {
    /// All of them; `None` if one is not valid, which is a fault of this file.
    pub(super) fn get() -> Option<&'static Self> {
        static RULES: LazyLock<Option<Rules>> = LazyLock::new(Rules::new);
        RULES.as_ref()
    }

    pub(super) fn all(&self) -> [&RuleSet; 5] {
        [
            &self.plain,
            &self.strict,
            &self.granted,
            &self.narrow,
            &self.guarded,
        ]
    }

    fn new() -> Option<Self> {
        let rules = |spec: Spec| RuleSet::new(&spec).ok();
        let with = |may, must| {
            rules(Spec {
                may: Some(may),
                must: Some(must),
                ..Spec::allowing(["*"])
            })
        };
        Some(Self {
            plain: with(May::default(), Must::default())?,
            strict: with(May::default(), demanding())?,
            granted: with(granting(), Must::default())?,
            narrow: rules(Spec::allowing([
                "containers.read",
                "GET /images/*/json",
                "POST /containers/**",
                "* /volumes/data",
            ]))?,
            guarded: rules(Spec {
                deny: [
                    "GET /containers/*/export",
                    "containers.archive",
                    "GET /images/*/get",
                    "* /secrets/**",
                    "images.pull",
                    "DELETE /volumes/*",
                ]
                .map(str::to_owned)
                .into(),
                ..Spec::allowing(["*"])
            })?,
        })
    }
}

fn demanding() -> Must {
    Must {
        images: vec!["docker.io/library/*".into(), "reg:5000/a/**".into()],
        digest: true,
        non_root: true,
        no_new_privileges: true,
        read_only: true,
        memory: Some(Size(1 << 30)),
        cpus: Some(1.0),
        pids: Some(100),
        restart: vec!["no".into()],
        publish_on: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        ..Must::default()
    }
}

fn granting() -> May {
    May {
        binds: vec!["/srv/data".into(), "/opt:ro".into()],
        devices: vec!["/dev/dri".into()],
        capabilities: vec!["NET_ADMIN".into()],
        sysctls: vec!["net.ipv4.*".into()],
        cgroup_parents: vec!["/skep".into()],
        security_options: vec!["seccomp=unconfined".into()],
        namespaces: vec!["network".into()],
        share: true,
        unknown_fields: true,
        ..May::default()
    }
}

/// The rule of a verdict and whether it allows.
///
/// # Panics
/// If its reason is not one short line without control characters.
pub(super) fn outcome(verdict: &Verdict<'_>) -> (String, bool) {
    match verdict {
        Verdict::Allow { rule } => ((*rule).to_owned(), true),
        Verdict::Deny { rule, reason } => {
            let reason = reason.to_string();
            let is_plain = reason.len() < 1000 && !reason.contains(char::is_control);
            assert!(is_plain, "a reason that is not one short line: {reason:?}");
            ((*rule).to_owned(), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_are_valid() {
        assert!(Rules::get().is_some());
    }
}
