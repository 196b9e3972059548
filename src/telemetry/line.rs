//! Formats one log line.
//!
//! A record may have text from outside: a path, a header, an engine's message.
//! So characters that a terminal or a log collector would act on are escaped,
//! and every value is bounded.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};
use std::time::SystemTime;

use log::Record;
use log::kv::{self, Key, Value, VisitSource, VisitValue};
use time::OffsetDateTime;

use crate::config::LogFormat;

/// The most bytes of a message or of a value.
const MAX: usize = 4096;

/// The members that every JSON line has; a fact of the same name gets an
/// underscore.
const OWN: [&str; 4] = ["time", "level", "target", "message"];

/// Writes one line and its line break.
pub(super) fn write(
    out: &mut impl Write,
    format: LogFormat,
    now: SystemTime,
    record: &Record<'_>,
    message: &dyn Display,
    facts: &Facts<'_>,
) -> io::Result<()> {
    let message = bounded(message);
    match format {
        LogFormat::Json => json(out, now, record, &message, facts),
        LogFormat::Text => text(out, now, record, &message, facts),
    }
}

fn text(
    out: &mut impl Write,
    now: SystemTime,
    record: &Record<'_>,
    message: &str,
    facts: &Facts<'_>,
) -> io::Result<()> {
    let level = record.level();
    write!(out, "{} {level:<5} ", timestamp(now))?;
    out.write_all(message.as_bytes())?;
    each(facts, |key, fact| {
        for piece in [" ", key, "="] {
            out.write_all(piece.as_bytes())?;
        }
        match fact {
            Fact::Text(text) if is_word(text) => out.write_all(text.as_bytes()),
            Fact::Text(text) => write!(out, "\"{}\"", text.replace('"', "\\\"")),
            Fact::Plain(plain) => out.write_fmt(plain),
        }
    })?;
    out.write_all(b"\n")
}

fn json(
    out: &mut impl Write,
    now: SystemTime,
    record: &Record<'_>,
    message: &str,
    facts: &Facts<'_>,
) -> io::Result<()> {
    let level = record.level().as_str().to_ascii_lowercase();
    write!(out, r#"{{"time":"{}","level":"{level}""#, timestamp(now))?;
    out.write_all(br#","target":"#)?;
    serde_json::to_writer(&mut *out, record.target())?;
    out.write_all(br#","message":"#)?;
    serde_json::to_writer(&mut *out, message)?;
    each(facts, |key, fact| {
        let suffix = if OWN.contains(&key) { "_" } else { "" };
        out.write_all(b",")?;
        serde_json::to_writer(&mut *out, &format!("{key}{suffix}"))?;
        out.write_all(b":")?;
        match fact {
            Fact::Text(text) => Ok(serde_json::to_writer(&mut *out, text)?),
            Fact::Plain(plain) => out.write_fmt(plain),
        }
    })?;
    out.write_all(b"}\n")
}

/// RFC 3339 in UTC with milliseconds. All lines have the same width, so that
/// they sort as text.
pub(crate) fn timestamp(now: SystemTime) -> String {
    let now = OffsetDateTime::from(now);
    let mut text = String::with_capacity(24);
    for (number, digits, end) in [
        (now.year().unsigned_abs(), 4, '-'),
        (u8::from(now.month()).into(), 2, '-'),
        (now.day().into(), 2, 'T'),
        (now.hour().into(), 2, ':'),
        (now.minute().into(), 2, ':'),
        (now.second().into(), 2, '.'),
        (now.millisecond().into(), 3, 'Z'),
    ] {
        // `write!` takes ten times as long, and this runs for every request.
        for place in (0..digits).rev() {
            text.extend(char::from_digit(number / 10_u32.pow(place) % 10, 10));
        }
        text.push(end);
    }
    text
}

/// The value of a fact, as JSON writes it.
enum Fact<'v> {
    /// Text, bounded and escaped.
    Text(&'v str),
    /// A value without quotes: a number, a boolean or null.
    Plain(fmt::Arguments<'v>),
}

/// Called with a name and its value.
pub(super) type Take<'w> = dyn FnMut(&str, Value<'_>) -> Result<(), kv::Error> + 'w;

/// Passes all facts of a line to the callback, one after the other.
pub(super) type Facts<'f> = dyn Fn(&mut Take<'_>) -> Result<(), kv::Error> + 'f;

/// The facts of a record.
pub(super) fn facts_of(record: &Record<'_>) -> impl Fn(&mut Take<'_>) -> Result<(), kv::Error> {
    struct Pairs<'t, 'w>(&'t mut Take<'w>);

    impl<'kvs> VisitSource<'kvs> for Pairs<'_, '_> {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
            (self.0)(key.as_str(), value)
        }
    }

    move |take: &mut Take<'_>| record.key_values().visit(&mut Pairs(take))
}

/// Called with a name and its fact.
type TakeFact<'w> = dyn FnMut(&str, Fact<'_>) -> io::Result<()> + 'w;

fn each(
    facts: &Facts<'_>,
    mut write: impl FnMut(&str, Fact<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut take = |key: &str, value: Value<'_>| {
        value.visit(FactReader {
            key: &escaped(key),
            take: &mut write,
        })
    };
    facts(&mut take).map_err(io::Error::other)
}

struct FactReader<'r, 'w> {
    key: &'r str,
    take: &'r mut TakeFact<'w>,
}

impl FactReader<'_, '_> {
    fn plain(&mut self, value: impl fmt::Display) -> Result<(), kv::Error> {
        self.fact(Fact::Plain(format_args!("{value}")))
    }

    fn fact(&mut self, fact: Fact<'_>) -> Result<(), kv::Error> {
        (self.take)(self.key, fact).map_err(kv::Error::boxed)
    }
}

impl<'v> VisitValue<'v> for FactReader<'_, '_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.fact(Fact::Text(&bounded(value)))
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.fact(Fact::Text(&escaped(value)))
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.plain(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        if value.is_finite() {
            self.plain(value)
        } else {
            // JSON cannot represent NaN and the infinities.
            self.visit_any(Value::from_display(&value))
        }
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.plain(value)
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.plain("null")
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.plain(value)
    }
}

/// Whether a text needs no quotes in a text line.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=')
}

/// The text, escaped and bounded where it has to be.
fn escaped(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX && is_plain(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(bounded(text))
    }
}

/// Whether a text is printable ASCII only, as almost every one is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Formats at most [`MAX`] bytes, and escapes the characters that break a line or
/// control a terminal.
fn bounded(value: impl fmt::Display) -> String {
    let mut bounded = Bounded(String::new());
    // The error means that the bound was reached; it stops the formatting.
    if write!(bounded, "{value}").is_err() {
        bounded.0.push('…');
    }
    bounded.0
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() <= MAX && is_plain(text) {
            self.0.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            let before = self.0.len();
            if is_control(c) {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
            if self.0.len() > MAX {
                self.0.truncate(before);
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Whether a character is a control character (C0, C1), a line separator of
/// Unicode, a directional formatting character
/// (<https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>), or
/// has no width and hides in a text, as a byte order mark or a tag does.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Escapes the same characters inside the strings of a JSON text.
pub(super) fn escape_json(json: Vec<u8>) -> Vec<u8> {
    if json.iter().all(|b| matches!(b, b' '..=b'~')) {
        return json;
    }
    let text = String::from_utf8_lossy(&json);
    let mut escaped = String::with_capacity(json.len());
    for c in text.chars() {
        if is_control(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use log::Level;
    use proptest::prelude::*;

    use super::*;

    fn line(format: LogFormat, message: &str, facts: &[(&str, Value<'_>)]) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_363_200_123);
        let mut out = Vec::new();
        let record = Record::builder()
            .level(Level::Info)
            .target("skep::gateway::hooks")
            .key_values(&facts)
            .build();
        let result = write(&mut out, format, now, &record, &message, &facts_of(&record));
        result.unwrap();
        String::from_utf8(out).unwrap()
    }

    fn facts() -> [(&'static str, Value<'static>); 6] {
        [
            ("node", Value::from("w1")),
            ("path", Value::from("/a b")),
            ("status", Value::from(200u16)),
            ("offset", Value::from(-5)),
            ("share", Value::from(0.5)),
            ("warm", Value::from(true)),
        ]
    }

    #[test]
    fn a_text_line_is_time_level_message_and_facts() {
        assert_eq!(
            line(LogFormat::Text, "answered", &facts()),
            "2026-11-22T16:00:00.123Z INFO  answered node=w1 path=\"/a b\" status=200 offset=-5 share=0.5 warm=true\n"
        );
    }

    #[test]
    fn a_json_line_has_facts_as_members_and_numbers_as_numbers() {
        assert_eq!(
            line(LogFormat::Json, "answered", &facts()),
            concat!(
                r#"{"time":"2026-11-22T16:00:00.123Z","level":"info","target":"skep::gateway::hooks","message":"answered","#,
                r#""node":"w1","path":"/a b","status":200,"offset":-5,"share":0.5,"warm":true}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_fact_cannot_replace_the_line_s_own_members() {
        let line = line(LogFormat::Json, "m", &[("level", Value::from("error"))]);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["level"], "info");
        assert_eq!(read["level_"], "error");
    }

    #[test]
    fn a_number_that_json_cannot_represent_becomes_text() {
        let facts = [("share", Value::from(f64::NAN))];
        assert!(line(LogFormat::Json, "m", &facts).ends_with(",\"share\":\"NaN\"}\n"));
    }

    #[test]
    fn text_cannot_forge_a_line() {
        // A table of its own: the function under test must not choose the cases.
        let hidden = [
            '\r',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ];
        let forged: String = hidden.iter().collect();
        let forged = format!("a{forged}2026-11-22T16:00:00.123Z ERROR [2Jb");
        let forged = forged.as_str();
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(format, forged, &[("path", Value::from(forged))]);
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(!line.trim_end().contains(hidden), "{line:?}");
            assert!(!line.trim_end().contains(is_control), "{line:?}");
        }
    }

    #[test]
    fn a_quote_does_not_end_a_value() {
        let facts = [("path", Value::from("a\" level=\"b"))];
        assert!(line(LogFormat::Text, "m", &facts).ends_with("m path=\"a\\\" level=\\\"b\"\n"));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "é".repeat(MAX);
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(format, &long, &[("path", Value::from(long.as_str()))]);
            assert!(line.len() < 2 * MAX + 200, "{}", line.len());
            assert_eq!(line.matches('…').count(), 2);
        }
    }

    proptest! {
        #[test]
        fn every_json_line_is_one_object(message in ".{0,50}", key in ".{1,10}", value in any::<String>()) {
            let line = line(LogFormat::Json, &message, &[(&key, Value::from(value.as_str()))]);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert!(read.is_object());
            prop_assert_eq!(line.matches('\n').count(), 1);
        }
    }
}
