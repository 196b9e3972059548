//! Reads a configuration from a file or a text.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ConfigErrors;
use super::settings::Config;
use super::{locations, raw, validate};

/// The largest configuration file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

impl Config {
    /// Reads the file at `path`; without one, every setting has its default.
    ///
    /// # Errors
    /// The file cannot be read, is larger than [`MAX_FILE_BYTES`], or is
    /// refused by [`Config::parse`].
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let name = path.display().to_string();
        match read_bounded(path) {
            Ok(text) => Self::parse(&name, &text).map(|config| Self {
                file: Some(path.to_owned()),
                ..config
            }),
            Err(e) => Err(ConfigErrors::file(&name, format!("cannot be read: {e}"))),
        }
    }

    /// Reads `text`; errors call it `name`.
    ///
    /// # Errors
    /// The text is not YAML, has an unknown setting, or wrong values. Of YAML
    /// and settings the first error is reported, of values all of them.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        if text.len() > MAX_FILE_BYTES {
            let message = format!("is larger than {} KiB", MAX_FILE_BYTES / 1024);
            return Err(ConfigErrors::file(name, message));
        }
        let read = raw::read(text).and_then(validate::validate);
        read.map_err(|mut faults| {
            locations::refine(text, &mut faults);
            ConfigErrors::in_text(name, text, faults)
        })
    }
}

/// Reads one byte more than the limit at most, also of an endless file such as
/// /dev/zero.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}
