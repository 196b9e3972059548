//! Behaviour that depends on the endpoint is in the columns of the endpoint
//! table (`filters/src/endpoint/table.rs`). Other code names no row, so that no
//! match over rows can hide a missing one behind `_`.

use std::fs;
use std::path::{Path, PathBuf};

/// Rows that code may name, each with the reason.
const NAMED: [&str; 1] = [
    // Portainer reads the message of one refused inspect.
    "ContainerInspect",
];

#[test]
fn code_names_no_row_of_the_endpoint_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "filters/src"] {
        collect(&root.join(folder), &mut files);
    }
    assert!(files.len() > 150, "only {} files were found", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for row in rows(&text) {
            assert!(
                NAMED.contains(&row),
                "{}: EndpointId::{row}: make it a column of the endpoint table",
                file.strip_prefix(root).unwrap().display()
            );
        }
    }
}

#[test]
fn every_form_of_naming_a_row_is_found() {
    for (text, expected) in [
        (
            "match id { EndpointId::VolumeList => 1,",
            &["VolumeList"][..],
        ),
        ("use EndpointId::*;", &["*"]),
        ("use EndpointId::{A, B};", &["{"]),
        ("use EndpointId as Id;", &["as"]),
        ("x.map(EndpointId::endpoint) == EndpointId::COUNT", &[]),
        ("fn f(id: EndpointId) {}", &[]),
        ("f();\n#[cfg(test)]\nmod tests { EndpointId::A }", &[]),
    ] {
        assert_eq!(rows(text), expected, "{text}");
    }
}

/// The word after each `EndpointId` outside tests, if it can name a row.
fn rows(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let mut found = Vec::new();
    for rest in code.split("EndpointId").skip(1) {
        let Some(path) = rest.strip_prefix("::") else {
            found.extend(rest.starts_with(" as ").then_some("as"));
            continue;
        };
        let end = path
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(path.len());
        let word = &path[..end.max(1)];
        let constant = word.len() > 1 && word.chars().all(char::is_uppercase);
        if !word.starts_with(char::is_lowercase) && !constant {
            found.push(word);
        }
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // The table itself, and tests.
        let skipped = ["table.rs", "table", "tests.rs", "tests", "classify.rs"];
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        if path.is_dir() && !skipped.contains(&name) {
            collect(&path, files);
        } else if name.ends_with(".rs") && !skipped.contains(&name) {
            files.push(path);
        }
    }
}
