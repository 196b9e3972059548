//! Fuzzes mount options: a grant for reading covers no mount that can be written.
//!
//! The bytes are the options after a bind's paths, and the `o` of a volume.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::endpoint::{RequestPath, classify};
use crate::policy::mount_options::{Flags, Mode, Propagation};
use crate::policy::{BodyOf, EffectiveApi, May, RuleSet, Spec};

/// A policy that lets `/srv` be read.
static READER: LazyLock<Option<RuleSet>> = LazyLock::new(|| {
    let may = May {
        binds: vec!["/srv:ro".into()],
        ..May::default()
    };
    let spec = Spec {
        may: Some(may),
        ..Spec::allowing(["*"])
    };
    RuleSet::new(&spec).ok()
});

/// Reads the options, and judges a container and a volume that have them.
///
/// # Panics
/// If they are read in another way than word by word, or a mount is allowed that the
/// engine does not make read-only.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let words: Vec<_> = text.split(',').collect();
    let has = |word: &str| words.contains(&word);
    let last = words.iter().rev().find(|word| ["ro", "rw"].contains(*word));
    let is_read_only = last == Some(&"ro");

    let flags = Flags::parse(text);
    assert_eq!(flags.read_only(), is_read_only, "the last word wins");
    assert_eq!(flags.binds(), has("bind") || has("rbind"));
    assert_eq!(flags.remounts(), has("remount"));
    let mut rest = words.iter();
    for word in &flags.data {
        assert!(rest.any(|other| other == word), "{word:?} is out of order");
    }

    let mode = Mode::parse(text);
    if let Ok(mode) = &mode {
        assert_eq!(mode.read_only, is_read_only, "a mode");
        assert!(!(has("ro") && has("rw")), "both are taken");
        let is_known =
            |word: &&str| word.len() < 12 && word.bytes().all(|b| b.is_ascii_alphabetic());
        assert!(
            text.is_empty() || words.iter().all(is_known),
            "an unknown word is taken"
        );
    }

    let bind = json!({ "Image": "a", "HostConfig": { "Binds": [format!("/srv:/x:{text}")] } });
    if allows("/containers/create", &bind) {
        let is_safe = mode.is_ok_and(|mode| {
            mode.read_only && !mode.relabels && mode.propagation == Propagation::Private
        });
        assert!(is_safe, "a bind that can be written is allowed");
    }
    let options = json!({ "type": "none", "device": "/srv", "o": text });
    let volume = json!({ "Name": "v", "Driver": "local", "DriverOpts": options });
    if allows("/volumes/create", &volume) {
        // A recursive bind leaves the mounts below writable.
        let recursive = |word: &&str| {
            let known = ["rbind", "rprivate", "rslave", "rshared", "runbindable"];
            known.contains(word)
        };
        let is_safe = is_read_only && has("bind") && !words.iter().any(recursive);
        assert!(is_safe, "a volume that can be written is allowed");
        assert_eq!(flags.data, [""; 0], "a word for the file system is allowed");
    }
}

fn allows(path: &str, body: &Value) -> bool {
    let (Some(rules), Ok(path)) = (&*READER, RequestPath::parse(path)) else {
        return false;
    };
    let Some(found) = classify("POST", &path) else {
        return false;
    };
    let bytes = body.to_string();
    let body = BodyOf::json(bytes.as_bytes());
    rules
        .judge_body(&found, &body, EffectiveApi::NEWEST)
        .is_allowed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_for_reading_are_allowed_so_that_there_is_something_to_check() {
        let bind = |options: &str| json!({ "Image": "a", "HostConfig": { "Binds": [format!("/srv:/x:{options}")] } });
        assert!(allows("/containers/create", &bind("ro")));
        assert!(!allows("/containers/create", &bind("rw")));
        let volume = |o: &str| json!({ "Name": "v", "DriverOpts": { "type": "none", "device": "/srv", "o": o } });
        assert!(allows("/volumes/create", &volume("bind,ro")));
        assert!(!allows("/volumes/create", &volume("bind,ro,rw")));
    }
}
