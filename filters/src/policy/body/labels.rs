//! Demands labels of new objects.

use super::{Check, demand};
use crate::json::{Fields, Json, in_map};
use crate::policy::verdict::Judged;

/// The specification of a secret or a config.
pub(super) fn object(check: &Check<'_>, body: &Json<'_>) -> Judged {
    judge(check, &Fields::of(body, "body")?)
}

/// The `Labels` of an object.
pub(super) fn judge(check: &Check<'_>, fields: &Fields<'_>) -> Judged {
    let labels = fields.map("Labels")?;
    for (name, value) in &check.must.labels {
        let own = in_map(labels, name);
        let met = own.is_some_and(|own| value == "*" || own == value);
        demand(met, "must.labels", || {
            format!("the label {name:?} must be {value:?}")
        })?;
    }
    Ok(())
}
