//! A JSON body in the one reading that the engine and everybody else has of it.
//!
//! Go's decoder compares keys without regard to case and lets the last of
//! several win; others do otherwise. A body in which that makes a difference
//! is refused, and so is one that is not exactly one JSON document.

mod error;
mod fields;
mod fold;
mod value;

pub use error::BodyError;
pub(super) use fields::{Fields, in_map, text_of};
pub(super) use fold::same_field;
pub(super) use value::Json;
