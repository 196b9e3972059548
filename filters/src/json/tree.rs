//! A tree of JSON that is judged. Its objects have an index of their names.

use std::borrow::Cow;
use std::collections::HashSet;

use super::names::{digest, same_field, spelled_alike};

/// Most members of an object that is read field by field; engines know 80 of a
/// `HostConfig`.
pub(super) const MAX_FIELDS: usize = 256;

/// An object has an index if it has more members.
const FEW: usize = 8;

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number that Go reads into an integer.
    Int(i64),
    /// Any other number: with a fraction, an exponent, or beyond 64 bits.
    Other,
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The members of an object in their order; no name comes twice.
pub(crate) type Entries<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// An object.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: Entries<'a>,
    /// The members by the digests of their names. A policy reads some hundred fields,
    /// and would compare every name for each of them. Empty for few members, and for
    /// too many to be fields: a client could choose names with equal digests.
    index: Vec<(u32, u32)>,
    /// A member whose name is that of another one in a different spelling.
    alike: Option<usize>,
}

impl Json<'_> {
    /// Whether Go reads this value as an empty field, or as none.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Int(0) => true,
            Self::Bool(true) | Self::Int(_) | Self::Other => false,
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Object(object) => object.members().is_empty(),
        }
    }
}

impl<'a> Object<'a> {
    /// An object of these members.
    ///
    /// # Errors
    /// With the name that comes twice exactly. Names of maps may differ by case.
    pub(super) fn new(members: Entries<'a>) -> Result<Self, Cow<'a, str>> {
        let mut object = Self {
            members,
            index: Vec::new(),
            alike: None,
        };
        let length = object.members.len();
        if length <= FEW {
            object.compare_all()?;
        } else if length <= MAX_FIELDS {
            object.build_index()?;
        } else {
            object.compare_exactly()?;
        }
        Ok(object)
    }

    pub(crate) fn members(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        &self.members
    }

    /// A name that another member has in a different spelling.
    pub(super) fn alike(&self) -> Option<&str> {
        Some(self.members[self.alike?].0.as_ref())
    }

    /// The member that Go takes for the field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&Json<'a>> {
        let found = if self.index.is_empty() {
            let mut members = self.members.iter();
            members.find(|(key, _)| same_field(key, name))
        } else {
            let digest = digest(name);
            let at = self.index.partition_point(|(other, _)| *other < digest);
            let same = self.index[at..].iter().take_while(|(d, _)| *d == digest);
            let mut members = same.map(|(_, n)| &self.members[*n as usize]);
            members.find(|(key, _)| same_field(key, name))
        };
        found.map(|(_, value)| value)
    }

    fn compare_all(&mut self) -> Result<(), Cow<'a, str>> {
        for n in 1..self.members.len() {
            for earlier in 0..n {
                self.compare(earlier, n)?;
            }
        }
        Ok(())
    }

    fn build_index(&mut self) -> Result<(), Cow<'a, str>> {
        let digests = self.members.iter().map(|(name, _)| digest(name));
        self.index = digests.zip(0..).collect();
        self.index.sort_unstable();
        for at in 1..self.index.len() {
            let (digest, n) = self.index[at];
            for earlier in (0..at).rev() {
                let (other, m) = self.index[earlier];
                if other != digest {
                    break;
                }
                self.compare(m as usize, n as usize)?;
            }
        }
        Ok(())
    }

    fn compare_exactly(&self) -> Result<(), Cow<'a, str>> {
        let mut seen = HashSet::with_capacity(self.members.len());
        for (name, _) in &self.members {
            if !seen.insert(name.as_ref()) {
                return Err(name.clone());
            }
        }
        Ok(())
    }

    fn compare(&mut self, earlier: usize, later: usize) -> Result<(), Cow<'a, str>> {
        let (one, other) = (&self.members[earlier].0, &self.members[later].0);
        if one == other {
            return Err(one.clone());
        }
        if spelled_alike(one, other) {
            self.alike = Some(later);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(names: &[&str]) -> Result<Object<'static>, String> {
        let members = names.iter().zip(0..);
        let members = members.map(|(name, n)| (Cow::Owned((*name).to_owned()), Json::Int(n)));
        Object::new(members.collect()).map_err(Cow::into_owned)
    }

    /// More names for each case, so that it is read with every kind of index.
    fn padded(names: &[&str], more: usize) -> Result<Object<'static>, String> {
        let more: Vec<_> = (0..more).map(|n| format!("padding{n}")).collect();
        let names: Vec<_> = names
            .iter()
            .copied()
            .chain(more.iter().map(String::as_str))
            .collect();
        object(&names)
    }

    #[test]
    fn every_size_finds_repeated_and_alike_names_and_fields() {
        for more in [0, 20, MAX_FIELDS] {
            assert_eq!(padded(&["a", "b", "a"], more).unwrap_err(), "a");
            let plain = padded(&["Links", "Binds"], more).unwrap();
            assert_eq!(plain.alike(), None);
            assert!(matches!(plain.field("binds"), Some(Json::Int(1))));
            assert!(plain.field("Bind").is_none());
        }
        for more in [0, 20] {
            let alike = padded(&["Links", "Binds", "lin\u{212a}s"], more).unwrap();
            assert_eq!(alike.alike(), Some("lin\u{212a}s"));
        }
        let many = padded(&["Links", "links"], MAX_FIELDS).unwrap();
        assert_eq!(many.members().len(), MAX_FIELDS + 2);
    }
}
