//! Judges where the logs of a container go.

use super::{Check, listed};
use crate::json::{Fields, quoted};
use crate::policy::verdict::Judged;

/// Log drivers that keep logs on the node.
const LOCAL: [&str; 4] = ["json-file", "local", "journald", "none"];

/// Options that send logs nowhere, whatever the engine's default driver is.
const HARMLESS: [&str; 10] = [
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
];

/// `LogConfig` or `LogDriver`: the driver's name is in the field `name`, and its
/// options in the field `options`.
pub(super) fn judge(check: &Check<'_>, log: &Fields<'_>, name: &str, options: &str) -> Judged {
    check.knows(log, &[name, options])?;
    let driver = log.text(name)?;
    let drivers = &check.may.log_drivers;
    if !driver.is_empty() {
        let granted = LOCAL.contains(&driver) || listed(drivers, driver);
        return check.grant(granted, "may.log_drivers", || {
            format!("the log driver {}", quoted(driver))
        });
    }
    // Without a name, the options are those of the engine's default driver, which
    // may send logs anywhere.
    for (option, _) in log.map(options)? {
        let granted = HARMLESS.contains(&option.as_ref()) || listed(drivers, "default");
        check.grant(granted, "may.log_drivers", || {
            format!(
                "the option {} for the engine's default log driver",
                quoted(option)
            )
        })?;
    }
    Ok(())
}
