//! Only `skep_filters::json` reads a client's body, because it treats a field in
//! two spellings as the engine does.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// A map may return another spelling of a field than the engine uses. Code reads
/// answers of engines into structs.
const MAPS: [&str; 7] = [
    "serde_json::Map",
    "<String, Value>",
    "<String, serde_json::Value>",
    "::<Value>",
    "::<serde_json::Value>",
    ": Value = serde_json::from",
    ": serde_json::Value = serde_json::from",
];

#[test]
fn no_json_is_read_into_a_map() {
    let files = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 100, "only {} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for map in MAPS {
            assert!(!code.contains(map), "{} reads a {map}", file.display());
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}
