//! The access log: one line for each request.

use crate::exchange::Exchange;
use crate::exchange::reject::Reason;

/// Logs one line for a request. Routine requests are logged at debug.
pub(crate) fn log(x: &Exchange) {
    let ms = x.milliseconds();
    let (caller, from, to) = (&*x.caller, &*x.from, &*x.to);
    let (status, bytes, request_id) = (x.status, x.out_bytes, x.id.as_str());
    let refused = x.refused.map(Reason::as_str);
    let would_deny = x.would_deny.as_deref().filter(|_| refused.is_none());
    let judged = would_deny.is_some() || matches!(x.refused, Some(Reason::Denied));
    let rule = judged.then_some(&*x.rule);
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(
                target: "skep::request", tracing::Level::$level,
                caller, from, to, status, bytes, ms, request_id, refused, rule, would_deny,
                "{} {}", x.method, x.logged_path()
            )
        };
    }
    match x.refused {
        Some(_) if x.status >= 500 => line!(WARN),
        None if x.is_routine() => line!(DEBUG),
        _ => line!(INFO),
    }
}
