//! A JSON body in the one reading that the engine and everybody else has of it.
//!
//! Go's decoder compares keys without regard to case and lets the last of
//! several win; others do otherwise. A body in which that makes a difference
//! is refused, and so is one that is not exactly one JSON document.

mod depth;
mod elements;
mod error;
mod fields;
mod members;
mod names;
mod quoted;
mod splice;
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
pub(crate) use value::Json;
