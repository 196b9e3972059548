//! Finds the location of each setting in the file, by its path: for the faults of
//! policies, which are read into types without locations.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::error::Fault;
use super::raw;

/// Gives each fault of a policy the exact location of its setting.
pub(super) fn refine(text: &str, faults: &mut [Fault]) {
    let of_policy = |key: &String| key.starts_with("policies.");
    let read = serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, raw::options());
    let Ok(root) = read else { return };
    let mut locations = HashMap::new();
    root.value.note(String::new(), &mut locations);
    for fault in faults {
        let location = fault.key.as_ref().filter(|key| of_policy(key));
        let location = location.and_then(|key| locations.get(key));
        if let Some(location) = location {
            fault.location = *location;
        }
    }
}

/// Any YAML value, reduced to its locations.
#[derive(Default)]
struct Tree(Vec<(String, Spanned<Tree>)>);

impl Tree {
    fn note(self, path: String, locations: &mut HashMap<String, Location>) {
        for (
            step,
            Spanned {
                value, referenced, ..
            },
        ) in self.0
        {
            let path = match (path.is_empty(), step.starts_with('[')) {
                (true, _) | (_, true) => format!("{path}{step}"),
                _ => format!("{path}.{step}"),
            };
            locations.insert(path.clone(), referenced);
            value.note(path, locations);
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

/// A value without children.
macro_rules! leaf {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Tree, E> {
            Ok(Tree::default())
        })*
    };
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    leaf!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::default())
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut tree = Tree::default();
        while let Some(value) = list.next_element()? {
            tree.0.push((format!("[{}]", tree.0.len()), value));
        }
        Ok(tree)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut tree = Tree::default();
        while let Some(name) = map.next_key()? {
            tree.0.push((name, map.next_value()?));
        }
        Ok(tree)
    }
}
