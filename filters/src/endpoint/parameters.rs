//! Refuses a query with other parameters than its endpoint has.
//!
//! A policy judges the parameters that moby reads. Another engine behind the agent
//! may read more of them: Podman's `/build` takes `devices` and `addcaps`. It may
//! also take the last of two values, where moby takes the first.

use std::borrow::Cow;

use super::query;
use crate::json::quoted;

/// The parameters of an endpoint. Names are case-sensitive, as they are to moby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Engines read one value of these.
    pub single: &'static [&'static str],
    /// Engines read every value of these.
    pub repeated: &'static [&'static str],
    /// Clients send these, and no engine reads them.
    pub unread: &'static [&'static str],
}

/// A query that may be read in a way that was not judged. The text is of bounded
/// length and has no control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The endpoint does not have it.
    #[error("this endpoint has no parameter {0}")]
    Unknown(String),
    /// It has several values, and engines read one of them.
    #[error("the parameter {0} has several values: send one")]
    Repeated(String),
    /// Go drops a pair with a raw `;` or a bad escape; other readers may not.
    #[error("the part {0} of the query cannot be read: write %25 for % and %3B for ;")]
    Unreadable(String),
    /// moby has no such value, or only on Windows.
    #[error("the parameter {0} may not have the value {1} here")]
    Value(&'static str, String),
}

impl ParameterError {
    /// A value that the parameter may not have.
    pub(crate) fn value(parameter: &'static str, value: &str) -> Self {
        Self::Value(parameter, quoted(value))
    }
}

impl Parameters {
    /// Checks that a query has no other parameters, and one reading.
    ///
    /// # Errors
    /// The first pair that is not accepted.
    pub fn check(&self, query: &str) -> Result<(), ParameterError> {
        let mut values: Vec<Option<Cow<'_, str>>> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = query::pair(pair) else {
                return Err(ParameterError::Unreadable(quoted(pair)));
            };
            if let Some(at) = self.single.iter().position(|known| *known == name) {
                values.resize(self.single.len(), None);
                match &values[at] {
                    Some(first) if *first != value => {
                        return Err(ParameterError::Repeated(quoted(&name)));
                    }
                    Some(_) => {}
                    None => values[at] = Some(value),
                }
            } else if !self.repeated.contains(&&*name) && !self.unread.contains(&&*name) {
                return Err(ParameterError::Unknown(quoted(&name)));
            }
        }
        Ok(())
    }

    pub(super) const fn single(single: &'static [&'static str]) -> Self {
        Self {
            single,
            repeated: &[],
            unread: &[],
        }
    }

    pub(super) const fn and_repeated(self, repeated: &'static [&'static str]) -> Self {
        Self { repeated, ..self }
    }

    pub(super) const fn and_unread(self, unread: &'static [&'static str]) -> Self {
        Self { unread, ..self }
    }
}

#[cfg(test)]
mod tests;
