//! The text of an invitation: the secret that is used up by it, the cluster that it
//! is for, and where to find that.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::HEXLOWER;

use crate::auth::{Audience, digest};

/// The beginning of every invitation.
const PREFIX: &str = "skep1.";

const SECRET: usize = 32;

/// An invitation, as the invited person gets it. Whoever has it may use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    secret: [u8; SECRET],
    /// The cluster: the hash of its CA's public key.
    pub audience: Audience,
    /// Agents, by `host:port`; they are asked in this order.
    pub agents: Vec<String>,
}

/// The text is no invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no invitation, or a part of it is missing: it begins with `{PREFIX}`")]
pub struct BadInvitation;

impl Invitation {
    /// A new invitation; `secret` comes from a cryptographic random source.
    #[must_use]
    pub fn new(secret: [u8; SECRET], audience: Audience, agents: Vec<String>) -> Self {
        Self {
            secret,
            audience,
            agents,
        }
    }

    /// The secret as it is sent to an agent.
    #[must_use]
    pub fn secret(&self) -> String {
        HEXLOWER.encode(&self.secret)
    }

    /// What the document has instead of the secret.
    #[must_use]
    pub fn hash(&self) -> String {
        HEXLOWER.encode(&digest::sha256(&self.secret))
    }

    /// The same of a secret that was sent; `None` if it is none.
    #[must_use]
    pub fn hash_of(secret: &str) -> Option<String> {
        let bytes = HEXLOWER.decode(secret.as_bytes()).ok()?;
        let secret: [u8; SECRET] = bytes.try_into().ok()?;
        Some(HEXLOWER.encode(&digest::sha256(&secret)))
    }
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same_hash(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differ = pairs.fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audience = HEXLOWER.decode(self.audience.to_string().as_bytes());
        let mut bytes = self.secret.to_vec();
        bytes.extend(audience.map_err(|_| fmt::Error)?);
        bytes.extend(self.agents.join(",").as_bytes());
        // The last bytes tell whether a part is missing.
        let sum = digest::sha256(&bytes);
        bytes.extend(&sum[..4]);
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("audience", &self.audience)
            .field("agents", &self.agents)
            .finish_non_exhaustive()
    }
}

impl FromStr for Invitation {
    type Err = BadInvitation;

    fn from_str(text: &str) -> Result<Self, BadInvitation> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD
                .decode(text.trim().strip_prefix(PREFIX)?)
                .ok()?;
            let (bytes, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
            if digest::sha256(bytes)[..4] != *sum {
                return None;
            }
            let (secret, rest) = bytes.split_at_checked(SECRET)?;
            let (audience, agents) = rest.split_at_checked(32)?;
            let agents = str::from_utf8(agents).ok()?;
            Some(Self {
                secret: secret.try_into().ok()?,
                audience: Audience::parse(&HEXLOWER.encode(audience)).ok()?,
                agents: agents.split(',').map(str::to_owned).collect(),
            })
        };
        read().ok_or(BadInvitation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        let audience = Audience::of_public_key(b"the CA");
        let agents = vec!["10.0.0.1:9001".to_owned(), "[::1]:9001".to_owned()];
        Invitation::new([7; SECRET], audience, agents)
    }

    #[test]
    fn an_invitation_reads_back_and_only_its_hash_is_kept() {
        let made = invitation();
        let text = made.to_string();
        assert!(
            text.len() < 200 && !text.contains(char::is_whitespace),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(made.clone()));
        assert_eq!(Invitation::hash_of(&made.secret()), Some(made.hash()));
        assert_ne!(made.hash(), made.secret());
        assert!(!format!("{made:?}").contains(&made.secret()));
    }

    #[test]
    fn an_altered_or_truncated_text_is_no_invitation() {
        let text = invitation().to_string();
        for wrong in [
            "",
            "skep1.",
            &text[1..],
            &text[..text.len() - 1],
            &text[..60],
            &text.replacen('.', ".A", 1),
            &text.to_uppercase(),
        ] {
            assert_eq!(wrong.parse::<Invitation>(), Err(BadInvitation), "{wrong}");
        }
        for wrong in ["", "07", "xx"] {
            assert_eq!(Invitation::hash_of(wrong), None);
        }
    }

    #[test]
    fn hashes_are_compared_as_a_whole() {
        assert!(same_hash("abc", "abc"));
        for other in ["abd", "bbc", "ab", "abcd", ""] {
            assert!(!same_hash("abc", other), "{other}");
        }
    }
}
