//! Says in words how two versions of the document differ, for the audit log and for
//! the operator.

use std::collections::BTreeSet;

use super::document::{Document, User};

/// The differences, one a line; empty if there is none that matters.
#[must_use]
pub fn changes(before: &Document, after: &Document) -> Vec<String> {
    let mut said = Vec::new();
    let names: BTreeSet<_> = before
        .users
        .iter()
        .chain(&after.users)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|user| user.name.as_str())
        .collect();
    for name in names {
        match (before.user(name), after.user(name)) {
            (None, Some(user)) => said.push(format!("add user {name} (policy {})", user.policy)),
            (Some(_), None) => said.push(format!("remove user {name}")),
            (Some(old), Some(new)) => said.extend(of_user(old, new)),
            (None, None) => {}
        }
    }
    for one in &after.revoked {
        if !before.revoked.iter().any(|old| old.serial == one.serial) {
            said.push(format!("revoke certificate {}", one.serial));
        }
    }
    for one in &before.revoked {
        if !after.revoked.iter().any(|new| new.serial == one.serial) {
            said.push(format!(
                "forget the revocation of certificate {}",
                one.serial
            ));
        }
    }
    for one in &after.invitations {
        if !before.invitations.iter().any(|old| old.hash == one.hash) {
            said.push(format!("invite {}", one.user));
        }
    }
    if before.policies != after.policies {
        said.push("change the policies".to_owned());
    }
    said
}

fn of_user(old: &User, new: &User) -> Vec<String> {
    let name = &new.name;
    let mut said = Vec::new();
    match (old.enabled, new.enabled) {
        (true, false) => said.push(format!("disable user {name}")),
        (false, true) => said.push(format!("enable user {name}")),
        (true, true) | (false, false) => {}
    }
    if old.policy != new.policy {
        said.push(format!(
            "give user {name} the policy {} instead of {}",
            new.policy, old.policy
        ));
    }
    if old.since != new.since {
        said.push(format!("revoke the certificates of user {name}"));
    }
    if old.networks != new.networks {
        said.push(format!("change the networks of user {name}"));
    }
    if old.public_key != new.public_key {
        said.push(format!("change the public key of user {name}"));
    }
    if old.days != new.days {
        said.push(format!(
            "let certificates of user {name} live {} days",
            new.days
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::super::tests::user;
    use super::super::{Invited, Revocation};
    use super::*;

    #[test]
    fn every_change_is_said_and_no_other() {
        let before = Document {
            users: vec![user("alice"), user("bob")],
            ..Document::default()
        };
        assert!(changes(&before, &before).is_empty());
        let mut after = before.clone();
        after.users.remove(1);
        after.users.push(user("carol"));
        let alice = &mut after.users[0];
        alice.enabled = false;
        alice.policy = "admin".to_owned();
        alice.since = 2;
        alice.days = 7;
        alice.networks.push("10.0.0.0/8".to_owned());
        alice.public_key = Some("0a".repeat(32));
        after.policies = "policies: {}".to_owned();
        after.revoked.push(Revocation {
            serial: "4f".repeat(16),
            at: 1,
        });
        after.invitations.push(Invited {
            hash: String::new(),
            user: "carol".to_owned(),
            expires: 9,
        });
        let said = changes(&before, &after).join("; ");
        for words in [
            "disable user alice",
            "the policy admin instead of read-only",
            "revoke the certificates of user alice",
            "networks of user alice",
            "public key of user alice",
            "live 7 days",
            "remove user bob",
            "add user carol (policy read-only)",
            "revoke certificate 4f",
            "invite carol",
            "change the policies",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let back = changes(&after, &before).join("; ");
        for words in [
            "enable user alice",
            "remove user carol",
            "forget the revocation",
        ] {
            assert!(back.contains(words), "{words}: {back}");
        }
    }
}
