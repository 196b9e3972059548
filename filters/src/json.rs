//! Reads JSON with the rules of the engine.
//!
//! Go's decoder takes a key for a field in any case, and lets the last of several
//! keys win. A reader with other rules would judge another request than the
//! engine carries out. So there is one comparison of names, and two readings:
//!
//! - [`Json`] and [`Fields`] for a body that is judged. A body with two readings
//!   is refused, such as one with a field in two spellings.
//! - [`Members`] and [`Elements`] for everything else: raw values in the order of
//!   the document, and Go's own rule.
//!
//! [`Edit`] changes JSON and leaves all other bytes as they are.

mod depth;
mod elements;
mod error;
mod fields;
mod members;
mod names;
mod quoted;
mod splice;
mod tree;
mod value;

pub use depth::MAX_DEPTH;
pub(crate) use depth::is_too_deep;
pub use elements::MAX_ELEMENTS;
pub(crate) use elements::{Elements, TooMany};
pub use error::JsonError;
pub(crate) use error::ShapeError;
pub(crate) use fields::{Fields, in_map, text_of};
pub use members::Members;
pub(crate) use members::{is_null, present};
pub(crate) use names::same_field;
pub(crate) use quoted::quoted;
pub(crate) use splice::{Edit, json_array, json_string, prefixed, splice, spliced};
pub(crate) use tree::Json;
