//! Says in a few sentences what a rule set allows, made from the rules themselves: each
//! endpoint is judged with an object of any name.

use std::collections::BTreeMap;

use super::node::On;
use super::redact::Redact;
use super::request::Request;
use super::ruleset::RuleSet;
use crate::endpoint::{Match, RequestPath, all};

/// How many of a group's endpoints a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    All,
    /// Some of them.
    Some,
}

impl RuleSet {
    /// The groups of endpoints with at least one that is allowed, in order.
    pub fn allowed_groups(&self) -> Vec<(&'static str, Extent)> {
        let mut counts: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
        for endpoint in all() {
            let example = example(endpoint.pattern);
            let Ok(path) = RequestPath::parse(&example) else {
                continue;
            };
            let found = Match {
                endpoint,
                object: None,
            };
            let request = Request {
                found: Some(&found),
                method: endpoint.method.as_str(),
                path: &path,
                query: "",
                upgrade: None,
                on: On::Any,
            };
            let (allowed, of) = counts.entry(endpoint.group).or_default();
            *of += 1;
            *allowed += usize::from(self.allows(&request, &found));
        }
        let found = counts.into_iter().filter(|(_, (allowed, _))| *allowed > 0);
        let extent = |(allowed, of)| match allowed == of {
            true => Extent::All,
            false => Extent::Some,
        };
        found.map(|(group, count)| (group, extent(count))).collect()
    }

    /// What limits the caller besides the groups, each as a sentence.
    pub fn limits_in_words(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.is_unrestricted() {
            return sentences;
        }
        if self.audit_only() {
            sentences.push(
                "nothing is refused: what the policy denies is noted in the audit log".to_owned(),
            );
        }
        if let Some(scope) = self.scope() {
            let labels = scope.labels().iter();
            let labels: Vec<_> = labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            sentences.push(format!(
                "only objects with these labels exist: {}",
                labels.join(", ")
            ));
        }
        for redact in self.redact() {
            let what = match redact {
                Redact::Env => "answers are without the values of environment variables",
                Redact::Secrets => "answers are without secrets in labels, options and configs",
                // Nobody has chosen it.
                Redact::Agents => continue,
            };
            sentences.push(what.to_owned());
        }
        if self.depends_on_node() {
            sentences.push("some of it is allowed on some nodes only".to_owned());
        }
        if self.limits_bodies() {
            sentences.push(
                "what is created or changed must keep to the policy's `may` and `must`".to_owned(),
            );
        }
        sentences
    }
}

/// A path that the pattern matches.
fn example(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, tail)) = rest.split_once('{') {
        text.push_str(before);
        let (variable, after) = tail.split_once('}').unwrap_or((tail, ""));
        // One that begins with a slash may be left out.
        if !variable.starts_with('/') {
            text.push('x');
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Spec, presets};

    fn allowing(rules: &[&str]) -> RuleSet {
        RuleSet::new(&Spec::allowing(rules.iter().copied())).unwrap()
    }

    #[test]
    fn a_group_is_allowed_wholly_or_in_part() {
        let rules = allowing(&["images.read", "GET /containers/json"]);
        let groups = rules.allowed_groups();
        assert!(groups.contains(&("images.read", Extent::All)), "{groups:?}");
        assert!(
            groups.contains(&("containers.read", Extent::Some)),
            "{groups:?}"
        );
        assert!(!groups.iter().any(|(group, _)| *group == "images.write"));
    }

    #[test]
    fn an_admin_may_do_everything_and_has_no_limits() {
        let groups = RuleSet::admin().allowed_groups();
        assert!(groups.iter().all(|(_, extent)| *extent == Extent::All));
        assert_eq!(groups.len(), crate::policy::groups().count());
        assert!(RuleSet::admin().limits_in_words().is_empty());
    }

    #[test]
    fn each_preset_allows_something_and_says_its_limits() {
        for name in presets::names() {
            let rules = RuleSet::new(&Spec::of_preset(name)).unwrap();
            assert!(!rules.allowed_groups().is_empty(), "{name}");
            let words = rules.limits_in_words().join("\n");
            assert_eq!(
                words.contains("environment"),
                rules.redact().contains(&Redact::Env)
            );
        }
    }

    #[test]
    fn every_pattern_has_an_example_that_it_matches() {
        // The preface of HTTP/2 has no path.
        for endpoint in all().iter().filter(|endpoint| endpoint.pattern != "*") {
            let text = example(endpoint.pattern);
            let path = RequestPath::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(path.path().starts_with('/'), "{text}");
        }
    }
}
