//! Reports the errors of a configuration so that it can be corrected without the
//! manual: with file, line number, the line itself, the key, and a suggestion.

use std::error::Error;
use std::fmt;

use serde_saphyr::Location;

/// The most characters of a line that are shown around the fault.
const SHOWN: usize = 100;
/// How many characters are shown before the fault when the line is longer than
/// that.
const BEFORE: usize = 40;

/// All faults of one configuration, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigErrors {
    name: String,
    errors: Vec<ConfigError>,
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    /// The path of the setting, such as `auth.keys[0].policy`, if there is one.
    pub key: Option<String>,
    /// The line, from 1; `None` for the whole file.
    pub(crate) line: Option<u64>,
    /// The column in characters, from 1.
    pub(crate) column: Option<u64>,
    /// The fault.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line, and a marker under the value.
    snippet: Option<Snippet>,
}

/// Why a value is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValueError {
    /// The fault.
    pub(crate) message: String,
    /// Which values are valid.
    pub(crate) help: Option<String>,
}

/// A fault with its location, before the text of its line is added.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) key: Option<String>,
    pub(super) location: Location,
    pub(super) error: ValueError,
    /// Whether to hide the rest of the line: the value of an unknown key may be
    /// a secret.
    pub(super) hide_rest: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Snippet {
    text: String,
    /// How many characters stand before the marker.
    indent: usize,
    /// How wide the marker is.
    width: usize,
}

impl ConfigErrors {
    /// A fault of the whole file.
    pub(super) fn file(name: &str, message: String) -> Self {
        Self {
            name: name.to_owned(),
            errors: vec![ConfigError {
                key: None,
                line: None,
                column: None,
                message,
                help: None,
                snippet: None,
            }],
        }
    }

    /// Faults at places in the file.
    pub(super) fn in_text(name: &str, text: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|p| (p.location.line(), p.location.column()));
        let errors = faults.into_iter().map(|p| p.show(text)).collect();
        Self {
            name: name.to_owned(),
            errors,
        }
    }

    /// The faults, in the order of the file.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
                writeln!(f)?;
            }
            error.write(f, &self.name)?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}

impl ConfigError {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        write!(f, "{name}")?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        if let (Some(line), Some(snippet)) = (self.line, &self.snippet) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let indent = " ".repeat(snippet.indent);
            let marker = "^".repeat(snippet.width);
            write!(f, "\n {margin} |\n {number} | {}", snippet.text)?;
            write!(f, "\n {margin} | {indent}{marker}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = help: {help}")?;
        }
        Ok(())
    }
}

impl ValueError {
    /// An error without help.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    /// Adds help.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl Error for ValueError {}

impl Fault {
    fn show(self, text: &str) -> ConfigError {
        let known = self.location != Location::UNKNOWN;
        ConfigError {
            key: self.key,
            line: known.then(|| self.location.line()),
            column: known.then(|| self.location.column()),
            message: printable(&self.error.message),
            help: self.error.help.map(|help| printable(&help)),
            snippet: Snippet::cut(text, self.location, self.hide_rest),
        }
    }
}

impl Snippet {
    fn cut(text: &str, location: Location, hide_rest: bool) -> Option<Self> {
        let nth = usize::try_from(location.line()).ok()?.checked_sub(1)?;
        let start = usize::try_from(location.column()).ok()?.checked_sub(1)?;
        // The parser does not count a byte order mark.
        let line = text.trim_start_matches('\u{feff}').lines().nth(nth)?;
        let mut chars: Vec<char> = line.chars().map(visible).collect();
        let length = usize::try_from(location.span().len()).unwrap_or(usize::MAX);
        let end = start.saturating_add(length.max(1)).min(chars.len());
        if hide_rest && end < chars.len() {
            chars.truncate(end);
            chars.extend(": …".chars());
        }
        let first = if chars.len() > SHOWN {
            start.saturating_sub(BEFORE)
        } else {
            0
        };
        let last = chars.len().min(first + SHOWN);
        let shown: String = chars.get(first..last)?.iter().collect();
        Some(Self {
            text: shown,
            indent: start.saturating_sub(first),
            width: end.min(last).saturating_sub(start).max(1),
        })
    }
}

/// Replaces characters that would move the marker or the terminal's cursor.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// One line of bounded length: a message may quote any text of the file.
fn printable(text: &str) -> String {
    let mut chars = text.chars().map(visible);
    let mut out: String = chars.by_ref().take(1000).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
