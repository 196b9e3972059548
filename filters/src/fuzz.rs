//! The fuzz targets: one function for each part that reads input of callers or
//! engines.
//!
//! Each takes any bytes and must return. It panics if a result breaks a promise of
//! the code under test. They are compiled for tests and with the feature `fuzz`
//! only. `filters/fuzz` runs them with libFuzzer and keeps its findings. The test
//! here replays these, so that no fault returns.

pub mod audience;
pub mod body;
mod head;
pub mod media;
pub mod merge;
pub mod mounts;
pub mod portainer;
mod reading;
pub mod request;
pub mod rewrite;
mod rules;
pub mod signature;
pub mod spelling;
pub mod stream;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name in `filters/fuzz`.
pub const TARGETS: [(&str, Target); 11] = [
    ("audience", audience::run),
    ("body", body::run),
    ("media", media::run),
    ("merge", merge::run),
    ("mounts", mounts::run),
    ("portainer", portainer::run),
    ("request", request::run),
    ("rewrite", rewrite::run),
    ("signature", signature::run),
    ("spelling", spelling::run),
    ("stream", stream::run),
];

fn is_json(bytes: &[u8]) -> bool {
    // From bytes, serde_json does not check the encoding of texts that it ignores.
    std::str::from_utf8(bytes)
        .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(name)
    }

    fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        entries.map(|entry| entry.unwrap().path())
    }

    #[test]
    fn no_input_that_fuzzing_found_fails_again() {
        for (name, target) in TARGETS {
            let mut replayed = 0;
            for path in files(&folder("corpus").join(name)) {
                let bytes = fs::read(&path).unwrap();
                let outcome = std::panic::catch_unwind(|| target(&bytes));
                assert!(outcome.is_ok(), "{name} fails on {}", path.display());
                replayed += 1;
            }
            assert!(replayed > 0, "{name} has no corpus");
        }
    }

    #[test]
    fn every_target_has_its_program() {
        let programs: BTreeSet<_> = files(&folder("fuzz_targets"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(programs, targets);
    }

    #[test]
    fn the_kept_corpus_is_small() {
        let sizes: Vec<u64> = files(&folder("corpus"))
            .flat_map(|target| files(&target).collect::<Vec<_>>())
            .map(|path| fs::metadata(path).unwrap().len())
            .collect();
        assert!(sizes.len() <= 256, "{} files", sizes.len());
        assert!(sizes.iter().sum::<u64>() <= 300 << 10);
    }
}
