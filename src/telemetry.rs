//! Writes log lines to standard error, one for each record.
//!
//! The code logs through `tracing` and gives facts as fields; the libraries log
//! through the `log` crate. Both meet in [`logger`]; [`line`] formats a line. The
//! callers decide what they log.

pub(crate) mod audit;
mod batch;
pub(crate) mod exchange;
mod line;
mod logger;
pub(crate) mod unauthenticated;

use std::io::{self, Write};
use std::sync::OnceLock;

use env_filter::Builder;
use log::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use crate::config::LogFormat;
pub(crate) use batch::BatchWriter;
pub(crate) use line::timestamp;
use logger::Logger;

/// The lines that wait to be written.
static BATCH: OnceLock<BatchWriter> = OnceLock::new();

/// Libraries that log their internals at `info`.
const VERBOSE: [&str; 1] = ["hickory"];

/// Libraries whose errors our own lines describe better. They also log an error
/// when a client disconnects or a pooled connection was closed.
const REDUNDANT: [&str; 1] = ["pingora"];

/// A logger was installed already.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The libraries' logger.
    #[error(transparent)]
    Log(#[from] log::SetLoggerError),
    /// The subscriber of skep's own events.
    #[error(transparent)]
    Tracing(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Installs the logger, which writes to standard error. `RUST_LOG`, if it is set
/// and not empty, takes the place of `level`.
///
/// # Errors
///
/// If a logger was installed already.
pub fn init(format: LogFormat, level: LevelFilter) -> Result<(), InitError> {
    let rust_log = std::env::var("RUST_LOG").ok();
    let out: Box<dyn Write + Send> = match BatchWriter::new(io::stderr()) {
        Ok(batch) => Box::new(BATCH.get_or_init(|| batch).clone()),
        Err(_) => Box::new(io::stderr()),
    };
    let logger = logger(format, level, rust_log.as_deref(), out);
    log::set_boxed_logger(Box::new(logger.clone()))?;
    log::set_max_level(logger.max_level());
    tracing::subscriber::set_global_default(Registry::default().with(logger))?;
    Ok(())
}

/// Waits until all log lines are written. Call it before the program ends or
/// writes to standard error itself.
pub fn finish() {
    if let Some(batch) = BATCH.get() {
        batch.finish();
    }
}

fn logger(
    format: LogFormat,
    level: LevelFilter,
    rust_log: Option<&str>,
    out: Box<dyn Write + Send>,
) -> Logger {
    let mut builder = Builder::new();
    match rust_log.filter(|directives| !directives.trim().is_empty()) {
        Some(directives) => {
            builder.parse(directives);
        }
        None => {
            builder.filter_level(level);
            if level < LevelFilter::Debug {
                for module in VERBOSE {
                    builder.filter_module(module, level.min(LevelFilter::Warn));
                }
                for module in REDUNDANT {
                    builder.filter_module(module, LevelFilter::Off);
                }
            }
        }
    }
    Logger::new(format, builder.build(), out)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use log::{Level, Log, Record};

    use super::*;

    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).map_err(io::Error::other)?;
            self.0.lock().unwrap().push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Whether a record from `target` at `level` is written.
    fn logged(configured: LevelFilter, rust_log: Option<&str>, target: &str, level: Level) -> bool {
        let writes = Writes::default();
        let out = Box::new(writes.clone());
        let logger = logger(LogFormat::Text, configured, rust_log, out);
        let args = format_args!("hello");
        logger.log(
            &Record::builder()
                .target(target)
                .level(level)
                .args(args)
                .build(),
        );
        let writes = writes.0.lock().unwrap();
        assert!(writes.len() <= 1, "{writes:?}");
        assert!(writes.iter().all(|line| line.ends_with("hello\n")));
        !writes.is_empty()
    }

    #[test]
    fn the_proxy_s_and_the_resolver_s_lines_are_written_only_at_debug() {
        for (level, target, record, expected) in [
            (LevelFilter::Info, "skep::gateway::hooks", Level::Info, true),
            (
                LevelFilter::Info,
                "skep::gateway::hooks",
                Level::Debug,
                false,
            ),
            (LevelFilter::Info, "pingora_proxy", Level::Info, false),
            (LevelFilter::Info, "pingora_proxy", Level::Error, false),
            (
                LevelFilter::Info,
                "pingora_load_balancing",
                Level::Warn,
                false,
            ),
            (LevelFilter::Info, "hickory_resolver::x", Level::Info, false),
            (LevelFilter::Error, "pingora_core", Level::Warn, false),
            (LevelFilter::Debug, "pingora_core", Level::Debug, true),
            (LevelFilter::Trace, "hickory_proto", Level::Trace, true),
            (LevelFilter::Off, "skep", Level::Error, false),
        ] {
            let written = logged(level, None, target, record);
            assert_eq!(written, expected, "{level} {target} {record}");
        }
    }

    #[test]
    fn rust_log_takes_the_place_of_the_configured_level() {
        let wanted = Some("warn,pingora_core=debug");
        assert!(logged(
            LevelFilter::Info,
            wanted,
            "pingora_core",
            Level::Debug
        ));
        assert!(!logged(LevelFilter::Info, wanted, "skep", Level::Info));
        assert!(logged(LevelFilter::Info, Some(" "), "skep", Level::Info));
    }

    #[test]
    fn a_line_has_its_own_facts_and_those_of_the_spans_around_it() {
        for (level, expected) in [
            (
                LevelFilter::Debug,
                "INFO  hello n=7 share=0.5 who=me request_id=b node=n1\n",
            ),
            (LevelFilter::Info, "INFO  hello n=7 share=0.5 who=me\n"),
        ] {
            let writes = Writes::default();
            let logger = logger(LogFormat::Text, level, None, Box::new(writes.clone()));
            let subscriber = Registry::default().with(logger);
            tracing::subscriber::with_default(subscriber, || {
                let request = tracing::debug_span!(target: "skep", "request", request_id = "a");
                let request = request.entered();
                request.record("request_id", "b");
                let _hop = tracing::debug_span!(target: "skep", "hop", node = "n1").entered();
                let none: Option<&str> = None;
                tracing::info!(target: "skep", n = 7, share = 0.5, none, who = "me", "hello");
                tracing::error!(target: "h2", "not ours");
            });
            let writes = writes.0.lock().unwrap();
            let [line] = &writes[..] else {
                panic!("one line, not {writes:?}");
            };
            let (_, line) = line.split_once(' ').unwrap();
            let of = |line: &str| -> Vec<String> {
                let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
                words.sort();
                words
            };
            assert_eq!(of(line), of(expected));
        }
    }
}
