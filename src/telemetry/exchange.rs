//! The access log: one line for each request.

use log::Level;

use crate::exchange::Exchange;
use crate::exchange::reject::Reason;

/// Logs one line for a request. Routine requests are logged at debug.
pub fn log(x: &Exchange) {
    let level = match x.refused {
        Some(_) if x.status >= 500 => Level::Warn,
        None if x.is_routine() => Level::Debug,
        _ => Level::Info,
    };
    let ms = x.milliseconds();
    let (caller, from, to) = (&*x.caller, &*x.from, &*x.to);
    let (status, bytes) = (x.status, x.out_bytes);
    let (rule, request_id) = (&*x.rule, x.id.as_str());
    match (x.refused, x.would_deny.as_deref()) {
        (None, None) => log::log!(
            target: "skep::request", level,
            caller, from, to, status, bytes, ms, request_id;
            "{} {}", x.method, x.told_path()
        ),
        (None, Some(would_deny)) => log::log!(
            target: "skep::request", level,
            caller, from, to, status, bytes, ms, request_id, rule, would_deny;
            "{} {}", x.method, x.told_path()
        ),
        (Some(Reason::Denied), _) => log::log!(
            target: "skep::request", level,
            caller, from, to, status, bytes, ms, request_id, refused = "denied", rule;
            "{} {}", x.method, x.told_path()
        ),
        (Some(refused), _) => log::log!(
            target: "skep::request", level,
            caller, from, to, status, bytes, ms, request_id, refused = refused.as_str();
            "{} {}", x.method, x.told_path()
        ),
    }
}
