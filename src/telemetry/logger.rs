//! Writes log lines from two sources: skep's own come from `tracing`, those of the
//! libraries from the `log` facade that they use.
//!
//! Both become a `log` record, so that [`line`] has one format to write. A line of
//! skep's also has the fields of the enclosing spans: spans exist at `debug`
//! only, and cost nothing while that is off.

use std::cell::Cell;
use std::fmt::{self, Debug, Display};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use env_filter::Filter;
use log::kv::{self, Value};
use log::{Log, Metadata, Record};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as Recorded};
use tracing::{Event, Subscriber, subscriber::Interest};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::line::{self, Take};
use crate::config::LogFormat;
use crate::platform::clock;

/// The prefix of the targets of skep's own lines. Events of libraries are ignored:
/// these libraries log the same through `log`.
const OWN: &str = "skep";

/// Filters, formats and writes lines.
#[derive(Clone)]
pub(super) struct Logger(Arc<Inner>);

struct Inner {
    format: LogFormat,
    filter: Filter,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Logger {
    pub(super) fn new(format: LogFormat, filter: Filter, out: Box<dyn Write + Send>) -> Self {
        let out = Mutex::new(out);
        Self(Arc::new(Inner {
            format,
            filter,
            out,
        }))
    }

    /// The most verbose level of the filter.
    pub(super) fn max_level(&self) -> log::LevelFilter {
        self.0.filter.filter()
    }

    fn is_written(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with(OWN)
            && self.0.filter.enabled(
                &Metadata::builder()
                    .level(level(*metadata.level()))
                    .target(metadata.target())
                    .build(),
            )
    }

    /// Writes a line in one piece.
    fn write(&self, record: &Record<'_>, message: &dyn Display, facts: &line::Facts<'_>) {
        thread_local! {
            static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        let mut buffer = BUFFER.take();
        buffer.clear();
        let now = clock::wall();
        if line::write(&mut buffer, self.0.format, now, record, message, facts).is_ok() {
            let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
            // A failure here cannot be logged.
            let _ = out.write_all(&buffer);
        }
        BUFFER.set(buffer);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.0.filter.matches(record) {
            self.write(record, record.args(), &line::facts_of(record));
        }
    }

    fn flush(&self) {}
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logger {
    fn register_callsite(&self, metadata: &'static tracing::Metadata<'static>) -> Interest {
        if self.is_written(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        self.is_written(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.max_level() {
            log::LevelFilter::Off => LevelFilter::OFF,
            log::LevelFilter::Error => LevelFilter::ERROR,
            log::LevelFilter::Warn => LevelFilter::WARN,
            log::LevelFilter::Info => LevelFilter::INFO,
            log::LevelFilter::Debug => LevelFilter::DEBUG,
            log::LevelFilter::Trace => LevelFilter::TRACE,
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut facts = SpanFacts::default();
        attributes.record(&mut facts);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(facts);
        }
    }

    fn on_record(&self, id: &Id, values: &Recorded<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(facts) = span.extensions_mut().get_mut::<SpanFacts>()
        {
            values.record(facts);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut inherited = Vec::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFacts(facts)) = span.extensions().get() {
                inherited.extend(facts.iter().cloned());
            }
        }
        let metadata = event.metadata();
        // A field of the event overrides the span's: the line of a request has its id.
        inherited.retain(|(key, _)| metadata.fields().field(key).is_none());
        let record = Record::builder()
            .level(level(*metadata.level()))
            .target(metadata.target())
            .build();
        let facts = |take: &mut Take<'_>| {
            let mut facts = Facts(take, Ok(()));
            event.record(&mut facts);
            let Facts(take, result) = facts;
            result?;
            inherited
                .iter()
                .try_for_each(|(key, value)| take(key, Value::from(value.as_str())))
        };
        self.write(&record, &Message(event), &facts);
    }
}

fn level(level: tracing::Level) -> log::Level {
    match level {
        tracing::Level::ERROR => log::Level::Error,
        tracing::Level::WARN => log::Level::Warn,
        tracing::Level::INFO => log::Level::Info,
        tracing::Level::DEBUG => log::Level::Debug,
        tracing::Level::TRACE => log::Level::Trace,
    }
}

/// The fields of a span.
#[derive(Default)]
struct SpanFacts(Vec<(&'static str, String)>);

impl SpanFacts {
    fn set(&mut self, field: &Field, value: String) {
        self.0.retain(|(name, _)| *name != field.name());
        self.0.push((field.name(), value));
    }
}

impl Visit for SpanFacts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}"));
    }
}

/// The message of an event.
struct Message<'a>(&'a Event<'a>);

impl Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Write<'f, 'g>(&'f mut fmt::Formatter<'g>, fmt::Result);

        impl Visit for Write<'_, '_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == MESSAGE {
                    self.1 = write!(self.0, "{value:?}");
                }
            }
        }

        let mut write = Write(f, Ok(()));
        self.0.record(&mut write);
        write.1
    }
}

/// The field that holds the message.
const MESSAGE: &str = "message";

/// Passes on the other fields of an event unchanged.
struct Facts<'t, 'a>(&'t mut Take<'a>, Result<(), kv::Error>);

impl Facts<'_, '_> {
    fn take(&mut self, field: &Field, value: Value<'_>) {
        if self.1.is_ok() && field.name() != MESSAGE {
            self.1 = (self.0)(field.name(), value);
        }
    }
}

impl Visit for Facts<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, Value::from_dyn_debug(&value));
    }
}
