//! Defines the document, and checks what can be checked without a configuration.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// The most users, revoked certificates and invitations of a document.
const MOST: usize = 5000;

/// The longest life of a certificate, in days.
pub const MOST_DAYS: u16 = 90;

/// One version of the list of people. An agent that does not know a field refuses the
/// document: it could be one that limits somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Higher by one than that of the document before.
    pub version: u64,
    /// When it was made, in seconds since the epoch, by the operator's clock.
    pub made: u64,
    /// The users, by name.
    #[serde(default)]
    pub users: Vec<User>,
    /// The policies, in YAML as in a configuration: `policies: …`; may be empty.
    #[serde(default)]
    pub policies: String,
    /// Certificates that are not accepted any more.
    #[serde(default)]
    pub revoked: Vec<Revocation>,
    /// Invitations, open or used.
    #[serde(default)]
    pub invitations: Vec<Invited>,
}

/// A person, or a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name in certificates and in the audit log.
    pub name: String,
    /// The name of the policy.
    pub policy: String,
    /// In seconds since the epoch: certificates that were issued before are dead.
    pub since: u64,
    /// Whether requests are answered.
    pub enabled: bool,
    /// The networks to call from; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// An Ed25519 public key that signs requests under the user's name, 32 bytes in
    /// hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The life of certificates, in days.
    pub days: u16,
}

/// A certificate that is not accepted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Its serial number, 32 hexadecimal digits.
    pub serial: String,
    /// When it was revoked, in seconds since the epoch.
    pub at: u64,
}

/// An invitation, without the secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invited {
    /// The SHA-256 of the secret, in hexadecimal.
    pub hash: String,
    /// The user that joins with it.
    pub user: String,
    /// In seconds since the epoch.
    pub expires: u64,
}

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A user of a wrong name.
    #[error(
        "{0:?} is not a name: 1 to 64 letters, digits, `.`, `_`, `@` and `-`, the first a letter or digit"
    )]
    Name(String),
    /// A name of the cluster's own keys.
    #[error("{0:?} is like the name of a key of the cluster: choose another one")]
    Reserved(String),
    /// Two users of one name.
    #[error("there are two users {0:?}")]
    Twice(String),
    /// A certificate may not live so long.
    #[error("the certificates of {0:?} live from 1 to {MOST_DAYS} days")]
    Days(String),
    /// The key is not one.
    #[error("the public key of {0:?} is not 32 bytes in hexadecimal")]
    Key(String),
    /// The serial number is not one.
    #[error("{0:?} is no serial number: it has 32 hexadecimal digits")]
    Serial(String),
    /// The hash is not one.
    #[error("an invitation of {0:?} is damaged")]
    Hash(String),
    /// An invitation for nobody.
    #[error("there is an invitation for {0:?}, who is no user")]
    Nobody(String),
    /// There is too much of something.
    #[error("there are more than {MOST} {0}")]
    TooMany(&'static str),
}

/// The beginnings of ids of the cluster's own keys.
const RESERVED: [&str; 3] = ["agent-", "operator-", "health-"];

impl Document {
    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Checks all but the policies.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), DocumentError> {
        for (count, what) in [
            (self.users.len(), "users"),
            (self.revoked.len(), "revoked certificates"),
            (self.invitations.len(), "invitations"),
        ] {
            if count > MOST {
                return Err(DocumentError::TooMany(what));
            }
        }
        let mut names = HashSet::new();
        for user in &self.users {
            user.check()?;
            if !names.insert(user.name.as_str()) {
                return Err(DocumentError::Twice(user.name.clone()));
            }
        }
        for one in &self.revoked {
            if !is_hex(&one.serial, 32) {
                return Err(DocumentError::Serial(one.serial.clone()));
            }
        }
        for one in &self.invitations {
            if !is_hex(&one.hash, 64) {
                return Err(DocumentError::Hash(one.user.clone()));
            }
            if !names.contains(one.user.as_str()) {
                return Err(DocumentError::Nobody(one.user.clone()));
            }
        }
        Ok(())
    }
}

impl User {
    fn check(&self) -> Result<(), DocumentError> {
        let name = &self.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || name.len() > 64 || !name.chars().all(plain) {
            return Err(DocumentError::Name(name.clone()));
        }
        if RESERVED.iter().any(|own| name.starts_with(own)) {
            return Err(DocumentError::Reserved(name.clone()));
        }
        if !(1..=MOST_DAYS).contains(&self.days) {
            return Err(DocumentError::Days(name.clone()));
        }
        match &self.public_key {
            Some(key) if !is_hex(key, 64) => Err(DocumentError::Key(name.clone())),
            Some(_) | None => Ok(()),
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::super::tests::user;
    use super::*;

    fn of(users: Vec<User>) -> Document {
        Document {
            users,
            ..Document::default()
        }
    }

    #[test]
    fn a_sound_document_is_taken() {
        let mut document = of(vec![user("alice"), user("build.bot@ci")]);
        document.revoked.push(Revocation {
            serial: "4f".repeat(16),
            at: 1,
        });
        document.invitations.push(Invited {
            hash: "0a".repeat(32),
            user: "alice".to_owned(),
            expires: 2,
        });
        assert_eq!(document.check(), Ok(()));
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
    }

    #[test]
    fn each_fault_is_found() {
        let changed = |change: fn(&mut User)| {
            let mut user = user("alice");
            change(&mut user);
            of(vec![user]).check().unwrap_err()
        };
        for name in ["", "-a", "a b", "ä", "a:b", "a\n"] {
            let error = of(vec![user(name)]).check().unwrap_err();
            assert_eq!(error, DocumentError::Name(name.to_owned()));
        }
        for name in ["operator-key", "agent-1", "health-x"] {
            let error = of(vec![user(name)]).check().unwrap_err();
            assert_eq!(error, DocumentError::Reserved(name.to_owned()));
        }
        let twice = of(vec![user("alice"), user("alice")]).check();
        assert_eq!(twice, Err(DocumentError::Twice("alice".to_owned())));
        let error = changed(|user| user.days = 91);
        assert_eq!(error, DocumentError::Days("alice".to_owned()));
        let error = changed(|user| user.days = 0);
        assert_eq!(error, DocumentError::Days("alice".to_owned()));
        let error = changed(|user| user.public_key = Some("0A".repeat(32)));
        assert_eq!(error, DocumentError::Key("alice".to_owned()));
        let invited = |hash: &str, user: &str| Document {
            invitations: vec![Invited {
                hash: hash.to_owned(),
                user: user.to_owned(),
                expires: 0,
            }],
            ..Document::default()
        };
        assert!(invited("", "alice").check().is_err());
        let nobody = invited(&"0a".repeat(32), "bob").check().unwrap_err();
        assert_eq!(nobody, DocumentError::Nobody("bob".to_owned()));
        let many = of(vec![user("alice"); MOST + 1]).check().unwrap_err();
        assert_eq!(many, DocumentError::TooMany("users"));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = r#"{"version":1,"made":2,"later":true}"#;
        assert!(serde_json::from_str::<Document>(text).is_err());
    }
}
