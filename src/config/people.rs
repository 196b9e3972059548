//! Reads the people's list into rights, by the same rules as the configuration.
//!
//! What the configuration says counts more: its identities and policies hide those of
//! the list that have the same name.

use std::collections::HashSet;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use skep_filters::people::{Document, User};

use super::certificates::Certificates;
use super::error::ConfigErrors;
use super::faults::Faults;
use super::grant::{self, Grant, Limits, Nodes};
use super::policies::{Policies, Policy};
use super::settings::Config;
use super::{locations, raw};

/// The name of the list's policies in errors.
const POLICIES: &str = "policies";

/// The users of a list, with their rights.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    /// The version of the list; 0 for none.
    pub(crate) version: u64,
    /// The users who may call, without those whom the configuration hides.
    pub(crate) persons: Vec<Person>,
    /// The names of those who are disabled.
    pub(crate) disabled: Vec<String>,
    /// The serial numbers of revoked certificates.
    pub(crate) revoked: Vec<String>,
    /// What is wrong with users, who therefore may not call.
    pub(crate) faults: Vec<String>,
}

/// A user who may call.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) grant: Grant,
    /// Certificates that were issued before are dead; in seconds since the epoch.
    pub(crate) since: u64,
    /// Signs requests under the user's name.
    pub(crate) public_key: Option<[u8; 32]>,
}

impl Config {
    /// The users of a list, as this agent takes them.
    pub(crate) fn people(&self, document: &Document) -> People {
        let mut people = People {
            version: document.version,
            revoked: document
                .revoked
                .iter()
                .map(|one| one.serial.clone())
                .collect(),
            ..People::default()
        };
        let policies = match policies(POLICIES, &document.policies) {
            Ok(policies) => policies.with(&self.policies),
            Err(e) => {
                people.faults.push(e.to_string());
                Policies::default().with(&self.policies)
            }
        };
        let (certificates, keys) = (self.certificate_names(), self.key_ids());
        for user in &document.users {
            let name = user.name.as_str();
            if certificates.contains(name) || keys.contains(name) {
                continue;
            }
            if !user.enabled {
                people.disabled.push(name.to_owned());
                continue;
            }
            match person(&policies, user) {
                Ok(person) => people.persons.push(person),
                Err(fault) => people.faults.push(fault),
            }
        }
        people
    }

    /// Whether an identity of the configuration has this name, and hides a user of it.
    pub(crate) fn hides_user(&self, name: &str) -> bool {
        self.certificate_names().contains(name) || self.key_ids().contains(name)
    }

    /// The names of certificates that the configuration accepts.
    pub(crate) fn certificate_names(&self) -> HashSet<&str> {
        let all = self.auth.certificates.iter();
        let all = all.flat_map(|Certificates { identities, .. }| identities);
        all.map(|one| one.name.as_str()).collect()
    }

    /// The ids of keys that the configuration accepts.
    pub(crate) fn key_ids(&self) -> HashSet<&str> {
        self.auth.keys.iter().map(|key| key.id.as_str()).collect()
    }
}

/// Checks the policies of a list: YAML as in a configuration, and nothing but
/// `policies`. Errors call the text `name`.
///
/// # Errors
/// All faults, with their lines.
pub(crate) fn check_policies(name: &str, text: &str) -> Result<Vec<Arc<Policy>>, ConfigErrors> {
    Ok(policies(name, text)?.all().cloned().collect())
}

/// The policies of a list that was checked, each by its name and as YAML.
///
/// # Errors
/// The text is not YAML.
pub(crate) fn policy_texts(text: &str) -> Result<Vec<(String, String)>, ConfigErrors> {
    let read = raw::read::<raw::OnlyPolicies>(text);
    let read = read.map_err(|faults| ConfigErrors::in_text(POLICIES, text, faults))?;
    let all = read.policies.unwrap_or_default().into_iter();
    Ok(all
        .map(|(name, spec)| (name, spec.value.to_yaml(4)))
        .collect())
}

fn policies(name: &str, text: &str) -> Result<Policies, ConfigErrors> {
    let read = raw::read::<raw::OnlyPolicies>(text).and_then(|raw| {
        let mut faults = Faults::default();
        let policies = Policies::read(&mut faults, raw.policies.unwrap_or_default());
        match faults.0.is_empty() {
            true => Ok(policies),
            false => Err(faults.0),
        }
    });
    read.map_err(|mut faults| {
        locations::refine(text, &mut faults);
        ConfigErrors::in_text(name, text, faults)
    })
}

fn person(policies: &Policies, user: &User) -> Result<Person, String> {
    let fault = |e: &dyn std::fmt::Display| format!("user {}: {e}", user.name);
    let policy = policies.find(&user.policy).map_err(|e| fault(&e))?;
    let networks = user.networks.iter().map(|text| grant::network(text));
    let networks = networks
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| fault(&e))?;
    let public_key = match &user.public_key {
        Some(text) => {
            let bytes = HEXLOWER.decode(text.as_bytes()).ok();
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            Some(bytes.ok_or_else(|| fault(&"the public key is damaged"))?)
        }
        None => None,
    };
    Ok(Person {
        name: user.name.clone(),
        grant: Grant {
            policy,
            networks,
            limits: Limits::default(),
            health_check: false,
            node: None,
            nodes: Nodes::All,
            since: user.since.max(1),
        },
        since: user.since,
        public_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, policy: &str) -> User {
        User {
            name: name.to_owned(),
            policy: policy.to_owned(),
            since: 5,
            enabled: true,
            networks: Vec::new(),
            public_key: None,
            days: 30,
        }
    }

    fn list(policies: &str, users: Vec<User>) -> Document {
        Document {
            policies: policies.to_owned(),
            users,
            ..Document::default()
        }
    }

    const TEAM: &str = "policies:\n  team: { allow: [containers.read] }\n";

    #[test]
    fn users_get_the_policies_of_the_list_and_of_the_configuration() {
        let own = "policies: { own: { allow: [images.read] }, team: { allow: [images.read] } }";
        let config = Config::parse("own", own).unwrap();
        let users = ["team", "own", "read-only", "admin"].map(|policy| user(policy, policy));
        let people = config.people(&list(TEAM, users.to_vec()));
        assert!(people.faults.is_empty(), "{:?}", people.faults);
        assert_eq!(people.persons.len(), 4);
        // The configuration's counts.
        let team = &people.persons[0].grant.policy;
        assert!(Arc::ptr_eq(team, &config.policies[1]));
        let alone = Config::default().people(&list(TEAM, vec![user("a", "team")]));
        assert_ne!(&alone.persons[0].grant.policy, team);
    }

    #[test]
    fn a_user_with_a_fault_may_not_call_and_the_others_may() {
        let mut wrong = user("b", "team");
        wrong.networks.push("10.0.0.0/99".to_owned());
        let users = vec![user("a", "team"), wrong, user("c", "nothing")];
        let people = Config::default().people(&list(TEAM, users));
        let names: Vec<_> = people.persons.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        let faults = people.faults.join("\n");
        assert!(
            faults.contains("user b") && faults.contains("user c"),
            "{faults}"
        );
    }

    #[test]
    fn disabled_users_may_not_call() {
        let mut alice = user("alice", "admin");
        alice.enabled = false;
        let people = Config::default().people(&list("", vec![alice]));
        assert!(people.persons.is_empty());
        assert_eq!(people.disabled, ["alice"]);
    }

    #[test]
    fn wrong_policies_are_refused_with_their_lines() {
        let text = "policies:\n  team:\n    allow: [nothing.such]\n";
        let error = check_policies("policies", text).unwrap_err().to_string();
        assert!(error.contains("policies:3:"), "{error}");
        assert!(error.contains("policies.team.allow[0]"), "{error}");
        let other = check_policies("policies", "listen: []\n")
            .unwrap_err()
            .to_string();
        assert!(other.contains("no such setting"), "{other}");
        assert!(check_policies("policies", "").unwrap().is_empty());
        assert_eq!(check_policies("policies", TEAM).unwrap().len(), 1);
    }
}
