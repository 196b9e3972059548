//! Writes the access log: one line for each request.

use crate::exchange::Exchange;
use crate::exchange::reject::Reason;

/// Logs one line for a request. Routine requests are logged at debug.
pub(crate) fn log(x: &Exchange) {
    let record = &x.record;
    let ms = record.milliseconds();
    let (caller, from, to) = (record.caller(), &*x.from, &*record.to);
    let (status, bytes, request_id) = (record.status(), record.bytes, x.id.as_str());
    let refused = record.refused.map(Reason::as_str);
    let would_deny = record.would_deny.as_deref().filter(|_| refused.is_none());
    let judged = would_deny.is_some() || matches!(record.refused, Some(Reason::Denied));
    let rule = judged.then_some(&*record.rule);
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(
                target: "skep::request", tracing::Level::$level,
                caller, from, to, status, bytes, ms, request_id, refused, rule, would_deny,
                "{} {}", x.logged_method(), x.logged_path()
            )
        };
    }
    match record.refused {
        Some(_) if status >= 500 => line!(WARN),
        None if x.is_routine() => line!(DEBUG),
        _ => line!(INFO),
    }
}
