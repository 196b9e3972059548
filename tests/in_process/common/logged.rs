//! What agents log: shown for a failing test as `RUST_LOG` asks, and warnings
//! kept, for tests of what an operator is told. So are the lines of requests.

use std::sync::{Mutex, Once, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Id and caller of each request.
static REQUESTS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// The target of the lines of requests.
const REQUEST: &str = "skep::request";

struct Logged(env_logger::Logger);

/// Listens from now on; once a process.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = env_logger::builder().is_test(true).build();
        log::set_max_level(shown.filter().max(LevelFilter::Info));
        log::set_boxed_logger(Box::new(Logged(shown))).expect("the first logger");
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

fn fact(record: &Record<'_>, name: &str) -> String {
    let fact = record.key_values().get(name.into());
    fact.map(|fact| fact.to_string()).unwrap_or_default()
}

impl Log for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || metadata.target() == REQUEST || self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() <= Level::Warn {
            let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
            warnings.push(record.args().to_string());
        }
        if record.target() == REQUEST {
            let line = (fact(record, "request_id"), fact(record, "caller"));
            let mut requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
            requests.push(line);
        }
        if self.0.matches(record) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}
