//! Gathers what is wrong, so that all of it can be told at once.

use std::path::PathBuf;

use serde_saphyr::Location;

use super::{
    error::{Fault, ValueError},
    raw::Text,
    scalar,
};

/// What was found wrong so far.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn note(&mut self, key: &str, location: Location, error: ValueError) {
        self.0.push(Fault {
            key: Some(key.to_owned()),
            location,
            error,
            hide_rest: false,
        });
    }

    /// The value if there is one and it is right.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        text: Option<Text>,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let text = text?;
        match read(&text.value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(key, text.referenced, error);
                None
            }
        }
    }

    /// The value, or the default.
    pub(super) fn or<T>(
        &mut self,
        key: &str,
        text: Option<Text>,
        default: T,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> T {
        self.read(key, text, read).unwrap_or(default)
    }

    /// The values that are right.
    pub(super) fn each<T>(
        &mut self,
        key: &str,
        texts: Vec<Text>,
        read: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Vec<T> {
        texts
            .into_iter()
            .enumerate()
            .filter_map(|(i, text)| self.read(&format!("{key}[{i}]"), Some(text), &read))
            .collect()
    }

    /// A certificate and its key, of which neither is any use alone.
    pub(super) fn certificate(
        &mut self,
        key: &str,
        certificate: Option<Text>,
        private: Option<Text>,
    ) -> Option<(PathBuf, PathBuf)> {
        let locations = (
            certificate.as_ref().map(|text| text.referenced),
            private.as_ref().map(|text| text.referenced),
        );
        let (have, lack, location) = match locations {
            (Some(location), None) => ("certificate_file", "key_file", location),
            (None, Some(location)) => ("key_file", "certificate_file", location),
            _ => {
                let certificate = self.path(key, "certificate_file", certificate);
                let private = self.path(key, "key_file", private);
                return certificate.zip(private);
            }
        };
        let error = ValueError::new(format!("this needs `{lack}` beside it"));
        self.note(&format!("{key}.{have}"), location, error);
        None
    }

    pub(super) fn path(&mut self, parent: &str, key: &str, text: Option<Text>) -> Option<PathBuf> {
        self.read(&format!("{parent}.{key}"), text, scalar::path)
    }
}
