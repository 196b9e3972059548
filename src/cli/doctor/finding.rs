//! One thing that was looked at, with what came of it and what to do; and all of them,
//! as text and as JSON.

use serde::Serialize;
use serde_json::json;

use crate::cli::table::{aligned, printable};

/// What was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Subject {
    Configuration,
    Engine,
    Swarm,
    Secret,
    Key,
    Certificate,
    Port,
    Socket,
    Policy,
    Name,
    Agent,
    Node,
    Clock,
    Version,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Fine,
    /// It could not be looked at.
    Skipped,
    /// It works, and may end badly.
    Warning {
        remedy: String,
    },
    /// It does not work.
    Error {
        remedy: String,
    },
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finding {
    subject: Subject,
    outcome: Outcome,
    found: String,
}

/// All findings.
#[derive(Debug)]
pub struct Report(Vec<Finding>);

impl Subject {
    fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Engine => "engine",
            Self::Swarm => "swarm",
            Self::Secret => "secret",
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Port => "port",
            Self::Socket => "socket",
            Self::Policy => "policy",
            Self::Name => "name",
            Self::Agent => "agent",
            Self::Node => "node",
            Self::Clock => "clock",
            Self::Version => "version",
        }
    }
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Skipped => "skipped",
            Self::Warning { .. } => "warning",
            Self::Error { .. } => "error",
        }
    }

    fn remedy(&self) -> Option<&str> {
        match self {
            Self::Fine | Self::Skipped => None,
            Self::Warning { remedy } | Self::Error { remedy } => Some(remedy),
        }
    }
}

impl Finding {
    pub(super) fn fine(subject: Subject, found: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Fine, found)
    }

    pub(super) fn skipped(subject: Subject, found: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Skipped, found)
    }

    pub(super) fn warning(
        subject: Subject,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = remedy.into();
        Self::new(subject, Outcome::Warning { remedy }, found)
    }

    pub(super) fn error(
        subject: Subject,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = remedy.into();
        Self::new(subject, Outcome::Error { remedy }, found)
    }

    fn new(subject: Subject, outcome: Outcome, found: impl Into<String>) -> Self {
        Self {
            subject,
            outcome,
            found: found.into(),
        }
    }

    /// For tests: `error port` and the like.
    #[cfg(test)]
    pub(super) fn kind(&self) -> String {
        format!("{} {}", self.outcome.word(), self.subject.word())
    }

    /// For tests: what was found, and what to do.
    #[cfg(test)]
    pub(super) fn words(&self) -> String {
        format!("{} -> {}", self.found, self.outcome.remedy().unwrap_or("-"))
    }
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    /// Whether nothing is broken. There may be warnings.
    pub fn is_healthy(&self) -> bool {
        self.count("error") == 0
    }

    fn count(&self, word: &str) -> usize {
        let all = self.0.iter();
        all.filter(|finding| finding.outcome.word() == word).count()
    }

    /// The findings for a terminal, each remedy below what it mends.
    pub fn text(&self) -> String {
        let mut rows = Vec::new();
        for finding in &self.0 {
            // A message may have several lines.
            let mut lines = finding.found.lines();
            let first = lines.next().unwrap_or_default();
            let words = [finding.outcome.word(), finding.subject.word(), first];
            rows.push(words.map(printable));
            let remedy = finding.outcome.remedy().map(|text| format!("-> {text}"));
            let rest = lines.map(str::to_owned);
            let below = rest.chain(remedy);
            rows.extend(below.map(|line| [String::new(), String::new(), printable(&line)]));
        }
        let [errors, warnings] = [("error"), ("warning")].map(|word| {
            let count = self.count(word);
            let s = if count == 1 { "" } else { "s" };
            format!("{count} {word}{s}")
        });
        format!("{}{errors}, {warnings}\n", aligned(&rows))
    }

    /// The findings for programs.
    pub fn json(&self) -> String {
        let findings = self.0.iter().map(|finding| {
            let mut shown = json!({
                "subject": finding.subject,
                "outcome": finding.outcome.word(),
                "found": finding.found,
            });
            if let Some(remedy) = finding.outcome.remedy() {
                shown["remedy"] = json!(remedy);
            }
            shown
        });
        let findings: Vec<_> = findings.collect();
        format!(
            "{}\n",
            json!({ "healthy": self.is_healthy(), "findings": findings })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            Finding::fine(Subject::Engine, "26.1.5"),
            Finding::skipped(Subject::Name, "none"),
            Finding::warning(Subject::Policy, "admin\x1b[2J", "less"),
            Finding::error(Subject::Port, "taken\nby another", "free it"),
        ])
    }

    #[test]
    fn each_finding_has_a_line_and_its_remedy_one_below() {
        let expected = "\
ok       engine  26.1.5
skipped  name    none
warning  policy  admin?[2J
                 -> less
error    port    taken
                 by another
                 -> free it
1 error, 1 warning
";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn programs_read_the_same_as_json() {
        let read: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(read["healthy"], false);
        assert_eq!(read["findings"][0]["subject"], "engine");
        assert_eq!(read["findings"][0]["outcome"], "ok");
        assert!(read["findings"][0].get("remedy").is_none());
        assert_eq!(read["findings"][3]["remedy"], "free it");
    }

    #[test]
    fn warnings_alone_are_healthy() {
        let warning = Finding::warning(Subject::Policy, "a", "b");
        assert!(Report::new(vec![warning]).is_healthy());
        assert!(!report().is_healthy());
    }
}
