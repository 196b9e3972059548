//! Collects all faults of a configuration, so that they are reported together.

use std::collections::HashSet;
use std::path::PathBuf;

use serde_saphyr::{Location, Spanned};

use super::error::{Fault, ValueError};
use super::raw::Text;
use super::scalar;

/// The faults so far.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn report(&mut self, key: &str, location: Location, error: ValueError) {
        self.0.push(Fault {
            key: Some(key.to_owned()),
            location,
            error,
            hide_rest: false,
        });
    }

    /// The value, if there is one and it is valid.
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
                self.report(key, text.referenced, error);
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

    /// The valid values.
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

    /// The valid elements of a list. Each has a name in `field`, and no two the
    /// same.
    pub(super) fn distinct<R, T>(
        &mut self,
        key: &str,
        field: &str,
        list: Vec<Spanned<R>>,
        name: impl Fn(&R) -> Option<&Text>,
        read: impl Fn(&mut Self, &str, Spanned<R>) -> Option<T>,
    ) -> Vec<T> {
        let mut names = HashSet::new();
        let mut values = Vec::new();
        for (i, raw) in list.into_iter().enumerate() {
            let key = format!("{key}[{i}]");
            let name = name(&raw.value).cloned();
            let value = read(self, &key, raw);
            if let (Some(name), Some(_)) = (name, &value)
                && !names.insert(name.value.clone())
            {
                let error = ValueError::new(format!("`{}` is listed already", name.value));
                self.report(&format!("{key}.{field}"), name.referenced, error);
            }
            values.extend(value);
        }
        values
    }

    /// The files of a certificate and its key: both or neither.
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
        self.report(&format!("{key}.{have}"), location, error);
        None
    }

    pub(super) fn path(&mut self, parent: &str, key: &str, text: Option<Text>) -> Option<PathBuf> {
        self.read(&format!("{parent}.{key}"), text, scalar::path)
    }
}
