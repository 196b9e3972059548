//! Judges where the logs of a container go.

use super::{Check, listed};
use crate::json::{Fields, quoted};
use crate::policy::verdict::Judged;

/// Log drivers that keep logs on the node.
const LOCAL: [&str; 4] = ["json-file", "local", "journald", "none"];

/// Options that send logs nowhere, whatever the driver is. Podman writes the log to the
/// `path` of the host, and takes another `driver` from the options.
const HARMLESS: [&str; 14] = [
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
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
];

/// `LogConfig` or `LogDriver`: the driver's name is in the field `name`, and its
/// options in the field `options`.
pub(super) fn judge(check: &Check<'_>, log: &Fields<'_>, name: &str, options: &str) -> Judged {
    check.knows(log, &[name, options])?;
    let driver = log.text(name)?;
    let drivers = &check.may.log_drivers;
    let all_options = listed(drivers, if driver.is_empty() { "default" } else { driver });
    let granted = driver.is_empty() || LOCAL.contains(&driver) || all_options;
    check.grant(granted, "may.log_drivers", || {
        format!("the log driver {}", quoted(driver))
    })?;
    // Without a name, the options are those of the engine's default driver, which
    // may send logs anywhere.
    for (option, _) in log.map(options)? {
        let granted = HARMLESS.contains(&option.as_ref()) || all_options;
        check.grant(granted, "may.log_drivers", || {
            let option = quoted(option);
            match driver {
                "" => format!("the option {option} for the engine's default log driver"),
                driver => format!("the option {option} for the log driver {}", quoted(driver)),
            }
        })?;
    }
    Ok(())
}
