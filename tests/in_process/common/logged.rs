//! The agents' log: a failing test shows it as `RUST_LOG` says. Warnings and the
//! lines of requests are kept for tests that check them.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use env_filter::Filter;
use log::{LevelFilter, Log, Metadata, Record};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The id and caller of each request.
static REQUESTS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// The target of the lines of requests.
const REQUEST: &str = "skep::request";

#[derive(Clone)]
struct Logged(Arc<Filter>);

/// Starts to capture the log, once per process.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned());
        let shown = env_filter::Builder::new().parse(&shown).build();
        log::set_max_level(shown.filter().max(LevelFilter::Warn));
        let logged = Logged(Arc::new(shown));
        log::set_boxed_logger(Box::new(logged.clone())).expect("the first logger");
        let all = Registry::default().with(logged);
        tracing::subscriber::set_global_default(all).expect("the first subscriber");
    });
}

/// The warnings and errors so far that contain this text.
pub(crate) fn warnings_of(text: &str) -> Vec<String> {
    let warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    warnings
        .iter()
        .filter(|w| w.contains(text))
        .cloned()
        .collect()
}

/// The callers in the lines of the request with this id.
pub(crate) fn requests_of(id: &str) -> Vec<String> {
    let requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
    let of = requests.iter().filter(|(of, _)| of == id);
    of.map(|(_, caller)| caller.clone()).collect()
}

#[derive(Default)]
struct Line {
    message: String,
    facts: String,
    request: (String, String),
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "request_id" => value.clone_into(&mut self.request.0),
            "caller" => value.clone_into(&mut self.request.1),
            _ => {}
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let _ = write!(self.facts, " {field}={value:?}");
        }
    }
}

impl Logged {
    #[expect(clippy::print_stderr, reason = "the test harness captures it")]
    fn show(&self, level: log::Level, target: &str, message: &str, facts: &str) {
        let metadata = Metadata::builder().level(level).target(target).build();
        if level <= log::Level::Warn {
            let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
            warnings.push(message.to_owned());
        }
        if self.0.enabled(&metadata) {
            eprintln!("{level:<5} {target} {message}{facts}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Logged {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        if !target.starts_with("skep") {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => log::Level::Error,
            Level::WARN => log::Level::Warn,
            Level::INFO => log::Level::Info,
            Level::DEBUG => log::Level::Debug,
            Level::TRACE => log::Level::Trace,
        };
        self.show(level, target, &line.message, &line.facts);
        // Requests of agents for themselves are at `debug`.
        if target == REQUEST && level <= log::Level::Info {
            let mut requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
            requests.push(line.request);
        }
    }
}

impl Log for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.show(
            record.level(),
            record.target(),
            &record.args().to_string(),
            "",
        );
    }

    fn flush(&self) {}
}
