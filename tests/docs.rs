//! Checks the manual: its configurations, its commands, its links, and the tables that repeat the code.
//!
//! These tests run no command of the manual; the lab tests do.

use std::collections::BTreeSet;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

use clap::{CommandFactory, Parser};
use serde_json::Value;
use skep::cli::Cli;
use skep::config::{Config, portainer_env};
use skep_filters::auth::profile::{COVERED_HEADERS, DERIVED};
use skep_filters::endpoint::describe;

/// Pages outside of `docs/`.
const OTHER_PAGES: [&str; 9] = [
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "filters/fuzz/README.md",
    "tests/clients/README.md",
    "tests/conformance/README.md",
    "tests/lab/README.md",
];

/// The marks of fenced blocks.
const MARKS: [&str; 11] = [
    "console",
    "http",
    "http vector",
    "mermaid",
    "sh",
    "text",
    "text vector",
    "yaml",
    "yaml compose",
    "yaml defaults",
    "yaml refused",
];

#[test]
fn every_block_has_a_known_mark() {
    for (page, block) in blocks() {
        assert!(
            MARKS.contains(&block.mark.as_str()),
            "{}: `{}`",
            block.at(&page),
            block.mark
        );
    }
}

#[test]
fn every_configuration_is_valid() {
    let mut count = 0;
    for (page, block) in blocks() {
        if block.mark == "yaml" {
            Config::parse(&block.at(&page), &block.text).unwrap_or_else(|e| panic!("{e}"));
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} were found");
}

#[test]
fn every_compose_block_is_valid_yaml() {
    let mut count = 0;
    for (page, block) in blocks() {
        if block.mark == "yaml compose" {
            let read: Result<serde_json::Value, _> = serde_saphyr::from_str(&block.text);
            assert!(read.is_ok_and(|v| v.is_object()), "{}", block.at(&page));
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} were found");
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let (_, block) = marked("yaml defaults");
    assert_eq!(
        Config::parse("defaults", &block.text).unwrap(),
        Config::default()
    );
}

#[test]
fn an_invalid_configuration_gets_the_documented_errors() {
    let all = blocks();
    let at = all
        .iter()
        .position(|(_, b)| b.mark == "yaml refused")
        .unwrap();
    let errors = Config::parse("skep.yaml", &all[at].1.text).unwrap_err();
    assert_eq!(errors.to_string(), all[at + 1].1.text.trim_end());
}

#[test]
fn every_skep_command_is_accepted_by_the_program() {
    let mut count = 0;
    for (page, block) in blocks() {
        for command in commands(&block.script()) {
            if command[0] != "skep" && !command[0].ends_with("/skep") {
                continue;
            }
            count += 1;
            match Cli::try_parse_from(&command) {
                Err(e) if e.use_stderr() => panic!("{}: {command:?}\n{e}", block.at(&page)),
                _ => {}
            }
        }
    }
    assert!(count >= 15, "only {count} were found");
}

#[test]
fn a_shell_script_is_split_into_its_commands() {
    for (script, expected) in [
        ("skep secret > a 2>/dev/null # why", &["skep secret"][..]),
        (
            "A=b skep sign 'x y' \"z\"|curl -H @- &",
            &["skep sign x y z", "curl -H @-"],
        ),
        (
            "curl --cacert <(skep ca) x",
            &["skep ca", "curl --cacert … x"],
        ),
        (
            "echo \"$(skep secret)\" $(id -u)",
            &["skep secret", "id -u", "echo … …"],
        ),
        (
            "skep nodes \\\n  --to a && true",
            &["skep nodes --to a", "true"],
        ),
        ("a#b 2>&1 | c", &["a#b", "c"]),
    ] {
        let found: Vec<_> = commands(script).iter().map(|c| c.join(" ")).collect();
        assert_eq!(found, expected, "{script}");
    }
}

#[test]
fn every_link_between_pages_resolves() {
    let mut count = 0;
    for page in pages() {
        for target in links(&page.prose()) {
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => page.path.parent().unwrap().join(file),
            };
            assert!(path.exists(), "{}: {target}", page.path.display());
            if !fragment.is_empty() {
                let headings = Page::read(path).headings();
                assert!(
                    headings.contains(fragment),
                    "{}: {target}",
                    page.path.display()
                );
            }
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} were found");
}

#[test]
fn the_book_has_every_page_of_the_manual_once() {
    let mut listed: Vec<_> = links(&page("docs/SUMMARY.md").prose());
    let count = listed.len();
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), count, "a page is listed twice");
    let docs = fs::read_dir(root().join("docs")).unwrap().flatten();
    let names = docs.map(|entry| entry.file_name().into_string().unwrap());
    let is_page = |name: &String| name.ends_with(".md") && name != "SUMMARY.md";
    let mut names: Vec<_> = names.filter(is_page).collect();
    names.sort();
    assert_eq!(listed, names);
}

/// Folders of the repository. A code span that begins with one of them is a path.
const FOLDERS: [&str; 8] = [
    "benches/",
    "conf/",
    "docker/",
    "docs/",
    "filters/",
    "packaging/",
    "src/",
    "tests/",
];

#[test]
fn every_path_that_a_page_names_exists() {
    let mut missing = Vec::new();
    for page in pages() {
        // Every second piece between backticks is code.
        for code in page.prose().split('`').skip(1).step_by(2) {
            let is_path = FOLDERS.iter().any(|folder| code.starts_with(folder));
            let is_pattern = code.contains(['*', '<', ' ', '…']) || code.contains("NAME");
            if is_path && !is_pattern && !root().join(code).exists() {
                missing.push(format!("{}: {code}", page.path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_that_a_page_names_is_in_its_file() {
    let mut count = 0;
    for page in pages() {
        for (name, file) in named_tests(&page.text) {
            let source =
                fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let at = page.path.display();
            assert!(has_test(&source, name), "{at}: {name} in {file}");
            count += 1;
        }
    }
    assert!(count >= 50, "only {count} were found");
}

#[test]
fn every_attack_in_the_table_has_a_test() {
    let security = page("docs/security.md");
    let head = "| threat | what holds it | test |\n|---|---|---|\n";
    let (_, rows) = security.text.split_once(head).expect("the table is there");
    let rows = rows.lines().take_while(|line| line.starts_with('|'));
    let mut count = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [_, _, tests] = cells.as_slice() else {
            panic!("{row}");
        };
        assert!(named_tests(tests).next().is_some(), "{row}");
        count += 1;
    }
    assert!(count >= 20, "only {count} were found");
}

#[test]
fn a_named_test_is_found_with_its_attribute() {
    let source =
        "#[test]\nfn a() {}\n\nfn b() {}\n\n#[tokio::test(flavor = \"x\")]\nasync fn c() {}\n";
    for (name, expected) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        assert_eq!(has_test(source, name), expected, "{name}");
    }
    let text =
        "`x` and `a_b_c_d` (`src/a.rs`), `b` (`tests/b.rs`) (`tests/c.rs`), `E` (`src/e.rs`)";
    let named: Vec<_> = named_tests(text).collect();
    assert_eq!(named, [("a_b_c_d", "src/a.rs"), ("b", "tests/b.rs")]);
}

/// The tests that a text names, as `name` (`file`). A name beside a file of the
/// program is one if it is a sentence: other names there are types and functions.
fn named_tests(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.match_indices("` (`").filter_map(|(at, between)| {
        let name = text[..at].rsplit('`').next()?;
        let file = text[at + between.len()..].split('`').next()?;
        Some((name, file))
    });
    pairs.filter(|(name, file)| {
        let is_sentence = name.matches('_').count() >= 3;
        let in_program = ["filters/", "src/"].iter().any(|f| file.starts_with(f));
        file.ends_with(".rs") && (file.starts_with("tests/") || in_program && is_sentence)
    })
}

/// Whether a file has a test by this name.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    // `tests/lab.rs` lists those of the lab, and the compiler the ones that it does not.
    let of_the_lab = format!("pub(crate) fn {name}(");
    if lines
        .iter()
        .any(|line| line.starts_with(&of_the_lab) && line.ends_with(": &Lab) {"))
    {
        return true;
    }
    let head = format!("fn {name}(");
    let is_head = |line: &str| line.trim_start_matches("async ").starts_with(&head);
    let Some(at) = (0..lines.len()).find(|n| is_head(lines[*n])) else {
        return false;
    };
    let attributes = lines[..at]
        .iter()
        .rev()
        .take_while(|line| !line.is_empty() && !line.ends_with('}') && !line.ends_with('{'));
    attributes
        .into_iter()
        .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
}

/// The sections with settings, each with a text that has an unknown setting there.
const SECTIONS: &[(&str, &str)] = &[
    ("", "zz: 1"),
    ("listen[].", "listen: [ { zz: 1 } ]"),
    ("listen[].tls.", "listen: [ { tls: { zz: 1 } } ]"),
    ("listen[].uids[].", "listen: [ { uids: [ { zz: 1 } ] } ]"),
    (
        "listen[].callers[].",
        "listen: [ { callers: [ { zz: 1 } ] } ]",
    ),
    ("engine.", "engine: { zz: 1 }"),
    ("engine.tls.", "engine: { tls: { zz: 1 } }"),
    ("cluster.", "cluster: { zz: 1 }"),
    ("auth.", "auth: { zz: 1 }"),
    ("auth.keys[].", "auth: { keys: [ { zz: 1 } ] }"),
    ("auth.portainer.", "auth: { portainer: { zz: 1 } }"),
    (
        "auth.keys[].limits.",
        "auth: { keys: [ { limits: { zz: 1 } } ] }",
    ),
    ("audit.", "audit: { zz: 1 }"),
    ("auth.certificates.", "auth: { certificates: { zz: 1 } }"),
    (
        "auth.certificates.identities[].",
        "auth: { certificates: { identities: [ { zz: 1 } ] } }",
    ),
    ("browse.", "browse: { zz: 1 }"),
    ("aggregate.", "aggregate: { zz: 1 }"),
    ("log.", "log: { zz: 1 }"),
];

/// The sections of policies, which have their own page.
const POLICY_SECTIONS: &[(&str, &str)] = &[
    ("policies.NAME.", "policies: { p: { zz: 1 } }"),
    (
        "policies.NAME.rules[].",
        "policies: { p: { rules: [ { zz: 1 } ] } }",
    ),
    (
        "policies.NAME.rules[].node.",
        "policies: { p: { rules: [ { node: { zz: 1 } } ] } }",
    ),
    ("policies.NAME.may.", "policies: { p: { may: { zz: 1 } } }"),
    (
        "policies.NAME.must.",
        "policies: { p: { must: { zz: 1 } } }",
    ),
];

/// The settings that the parser knows in a section. Its error for an unknown
/// setting names them.
fn known(text: &str) -> BTreeSet<String> {
    let errors = Config::parse("skep.yaml", text).expect_err(text);
    let help = errors.errors()[0].help.clone().expect(text);
    let help = help.rsplit("? ").next().unwrap_or_default();
    let known: BTreeSet<_> = help
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(!known.is_empty(), "{help}");
    known
}

#[test]
fn every_setting_has_a_row() {
    let page = page("docs/configuration.md");
    for (section, text) in SECTIONS {
        for setting in known(text) {
            let rows = [
                format!("| `{section}{setting}` |"),
                format!("| `{section}{setting}."),
            ];
            let documented = rows.iter().any(|row| page.text.contains(row));
            assert!(documented, "{section}{setting}");
        }
    }
}

#[test]
fn every_setting_of_a_policy_is_named_on_its_page() {
    let page = page("docs/policies.md");
    for (section, text) in POLICY_SECTIONS {
        for setting in known(text) {
            let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let named = page.text.split(word).any(|own| own == setting);
            assert!(named, "{section}{setting}");
        }
    }
}

#[test]
fn the_schema_has_exactly_the_settings_of_the_parser() {
    let text = std::fs::read_to_string("conf/skep.schema.json").unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    for (section, text) in SECTIONS.iter().chain(POLICY_SECTIONS) {
        let mut at = &schema;
        for step in section.split('.').filter(|step| !step.is_empty()) {
            at = match step {
                "NAME" => &at["additionalProperties"],
                step => &at["properties"][step.trim_end_matches("[]")],
            };
            at = resolved(&schema, at);
            if step.ends_with("[]") {
                at = resolved(&schema, &at["items"]);
            }
        }
        let own = at["properties"].as_object();
        let own: BTreeSet<_> = own
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(own, known(text), "{section}");
        assert_eq!(at["additionalProperties"], false, "{section}");
    }
    let groups = schema["$defs"]["entry"]["examples"].as_array().unwrap();
    for group in skep_filters::policy::groups() {
        assert!(groups.iter().any(|known| known == group), "{group}");
    }
    let names = schema["$defs"]["policy_name"]["examples"]
        .as_array()
        .unwrap();
    for preset in skep_filters::policy::presets::names() {
        assert!(names.iter().any(|known| known == preset), "{preset}");
    }
}

/// The part of the schema behind a reference; of several forms, the one with settings.
fn resolved<'s>(schema: &'s Value, part: &'s Value) -> &'s Value {
    let part = match part["$ref"].as_str() {
        Some(name) => &schema["$defs"][name.trim_start_matches("#/$defs/")],
        None => part,
    };
    let forms = part["anyOf"].as_array();
    let mut forms = forms.into_iter().flatten();
    forms
        .find(|form| form["properties"].is_object())
        .unwrap_or(part)
}

#[test]
fn every_documented_range_is_enforced() {
    let page = page("docs/configuration.md");
    for (setting, text) in [
        ("cluster.interval", "cluster: { interval: 999d }"),
        ("cluster.probe_timeout", "cluster: { probe_timeout: 999d }"),
        (
            "cluster.certificate_lifetime",
            "cluster: { certificate_lifetime: 999d }",
        ),
        ("auth.window", "auth: { window: 999d }"),
        ("aggregate.deadline", "aggregate: { deadline: 999d }"),
        ("aggregate.max_bytes", "aggregate: { max_bytes: 999GiB }"),
        ("drain", "drain: 999d"),
        ("threads", "threads: 0"),
    ] {
        let error = Config::parse("skep.yaml", text).unwrap_err().errors()[0].clone();
        let message = format!("{} {}", error.message, error.help.unwrap_or_default());
        let range = &message[message.find("from ").unwrap()..];
        let row = page.row(setting);
        assert!(row.contains(range.trim_end()), "{row}: {range}");
    }
}

#[test]
fn every_environment_variable_has_a_row() {
    let page = page("docs/configuration.md");
    let mut variables = BTreeSet::new();
    let program = Cli::command();
    let below = program
        .get_subcommands()
        .flat_map(clap::Command::get_subcommands);
    for command in program.get_subcommands().chain(below) {
        for argument in command.get_arguments() {
            variables.extend(argument.get_env().map(|v| v.to_string_lossy().into_owned()));
        }
    }
    assert!(variables.len() >= 5, "{variables:?}");
    for variable in variables {
        assert!(!page.row(&variable).is_empty());
    }
}

#[test]
fn every_supported_variable_of_portainers_agent_has_a_row() {
    let page = page("docs/portainer.md");
    for variable in portainer_env::SUPPORTED {
        assert!(!page.row(variable).is_empty());
    }
}

#[test]
fn the_page_names_the_ignored_variables_of_portainers_agent() {
    let page = page("docs/portainer.md");
    let (_, rest) = page
        .text
        .split_once("If one of these is set, the log names it")
        .unwrap();
    let (logged, rest) = rest.split_once("ignored silently").unwrap();
    let (silent, _) = rest.split_once("\n## ").unwrap();
    // Every second piece between backticks is code.
    let named = |text: &str| -> BTreeSet<String> {
        let code = text.split('`').skip(1).step_by(2);
        let variables =
            code.filter(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        variables.map(str::to_owned).collect()
    };
    let expected = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named(logged), expected(&portainer_env::IGNORED));
    assert_eq!(named(silent), expected(&portainer_env::SILENTLY_IGNORED));
}

#[test]
fn every_example_configuration_is_valid() {
    let files = fs::read_dir(root().join("conf")).unwrap();
    let mut count = 0;
    for file in files.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|e| e == "yaml") {
            Config::load(Some(&file)).unwrap_or_else(|e| panic!("{e}"));
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} were found");
}

#[test]
fn every_reason_of_a_refusal_has_a_row() {
    let page = page("docs/operating.md");
    let mut count = 0;
    for (file, list) in [
        ("src/exchange/reject/reason.rs", "fn as_str("),
        ("filters/src/auth/error.rs", "pub fn reason("),
        ("filters/src/auth/portainer.rs", "pub fn reason("),
    ] {
        let source = fs::read_to_string(root().join(file)).unwrap();
        let body = source.split(list).nth(1).unwrap();
        let body = body.split("\n    }\n").next().unwrap();
        for reason in body.split('"').skip(1).step_by(2) {
            assert!(!page.row(reason).is_empty());
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} were found");
}

#[test]
fn the_api_page_matches_the_endpoint_table() {
    assert!(
        page("docs/api.md").text == describe::reference(),
        "docs/api.md is out of date: cargo run -p skep-filters --example api > docs/api.md"
    );
}

#[test]
fn the_example_signature_is_one_of_the_vectors() {
    let vectors = fs::read(root().join("filters/tests/vectors/profile.json")).unwrap();
    let vectors: Vec<serde_json::Value> = serde_json::from_slice(&vectors).unwrap();
    let vector = vectors.iter().find(|v| v["name"] == "a JSON body").unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();

    let base: Vec<_> = vector["base"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let (page, shown) = marked("text vector");
    assert_eq!(shown.text.trim_end(), base.join("\n"));
    assert!(page.text.contains(&text(&vector["key"]["secret"])));
    assert!(
        page.text
            .contains(&text(&vector["request"]["body"]["text"]))
    );

    let added = vector["added"].as_object().unwrap().iter();
    let added: BTreeSet<_> = added
        .map(|(name, value)| format!("{name}: {}", text(value)))
        .collect();
    let (_, shown) = marked("http vector");
    assert_eq!(
        shown
            .text
            .lines()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        added
    );
}

#[test]
fn the_covered_components_are_listed_in_their_order() {
    let page = page("docs/security.md");
    let listed: Vec<_> = page
        .text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|line| line.split("`\"").nth(1)?.split("\"`").next())
        .collect();
    let headers = COVERED_HEADERS.iter().map(|name| name.as_str());
    assert_eq!(
        listed,
        DERIVED.into_iter().chain(headers).collect::<Vec<_>>()
    );
}

/// One file of the manual.
#[derive(Clone)]
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block.
struct Block {
    mark: String,
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> Page {
    Page::read(root().join(name))
}

fn pages() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    let mut paths: Vec<_> = docs.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "md"));
    paths.extend(OTHER_PAGES.map(|name| root().join(name)));
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

fn blocks() -> Vec<(Page, Block)> {
    let of = |page: Page| {
        page.blocks()
            .into_iter()
            .map(move |block| (page.clone(), block))
    };
    pages().into_iter().flat_map(of).collect()
}

/// The one block with this mark.
fn marked(mark: &str) -> (Page, Block) {
    let mut found: Vec<_> = blocks()
        .into_iter()
        .filter(|(_, b)| b.mark == mark)
        .collect();
    assert_eq!(found.len(), 1, "{mark}");
    found.remove(0)
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { path, text }
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (n, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(mark), None) => {
                    open = Some(Block {
                        mark: mark.to_owned(),
                        line: n + 1,
                        text: String::new(),
                    });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        assert!(
            open.is_none(),
            "{}: a block does not end",
            self.path.display()
        );
        blocks
    }

    /// The text outside blocks.
    fn prose(&self) -> String {
        self.text.split("\n```").step_by(2).collect()
    }

    /// The row of a table whose first cell is this name.
    fn row(&self, name: &str) -> &str {
        let start = format!("| `{name}` |");
        let row = self.text.lines().find(|line| line.starts_with(&start));
        row.unwrap_or_else(|| panic!("{}: there is no row for {name}", self.path.display()))
    }

    /// The anchors of the headings (GitHub's rule).
    fn headings(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let titles = prose.lines().filter(|line| line.starts_with('#'));
        let slug = |line: &str| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        titles.map(slug).collect()
    }
}

impl Block {
    fn at(&self, page: &Page) -> String {
        format!("{}:{}", page.path.display(), self.line)
    }

    /// The commands in it; of a console, without their output.
    fn script(&self) -> String {
        match self.mark.as_str() {
            "sh" => self.text.clone(),
            "console" => {
                let mut script = String::new();
                let mut continued = false;
                for line in self.text.lines() {
                    let typed = line.strip_prefix("$ ").or(continued.then_some(line));
                    continued = typed.is_some_and(|t| t.ends_with('\\'));
                    script.extend(typed.into_iter().chain(["\n"]));
                }
                script
            }
            _ => String::new(),
        }
    }
}

/// The targets of a page's links, in both of Markdown's forms.
fn links(prose: &str) -> Vec<String> {
    let inline = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let defined = prose.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split("]: ").nth(1));
    inline.chain(defined).map(str::to_owned).collect()
}

/// The commands in a shell script, including those of pipelines and substitutions.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut shell = Shell {
        rest: script.chars().peekable(),
        found: Vec::new(),
    };
    shell.list(false);
    shell.found
}

/// The part of the shell's grammar that the manual uses.
struct Shell<'a> {
    rest: Peekable<Chars<'a>>,
    found: Vec<Vec<String>>,
}

/// The words of an unfinished command.
#[derive(Default)]
struct Words {
    all: Vec<String>,
    word: Option<String>,
    /// The next word names a file to read or write.
    redirected: bool,
}

impl Shell<'_> {
    /// Reads commands until the end, or until the bracket that ends a substitution.
    fn list(&mut self, nested: bool) {
        let mut words = Words::default();
        while let Some(c) = self.rest.next() {
            match c {
                ')' if nested => break,
                ' ' | '\t' => words.end_word(),
                '|' | ';' | '&' | '\n' => self.end_command(&mut words),
                '#' if words.word.is_none() => while self.rest.next_if(|c| *c != '\n').is_some() {},
                '\'' => words.push(&self.until('\'')),
                '"' => self.quoted(&mut words),
                '\\' => {
                    let escaped = self.rest.next().filter(|c| *c != '\n');
                    words.word = words.word.take().or(escaped.map(|_| String::new()));
                    words.word.iter_mut().for_each(|w| w.extend(escaped));
                }
                '$' | '<' | '>' if self.rest.next_if_eq(&'(').is_some() => {
                    self.list(true);
                    words.push("…");
                }
                '<' | '>' => {
                    // A number before it is a file descriptor.
                    words
                        .word
                        .take_if(|w| w.bytes().all(|b| b.is_ascii_digit()));
                    words.end_word();
                    while self.rest.next_if(|c| ">&".contains(*c)).is_some() {}
                    words.redirected = true;
                }
                c => words.push(c.encode_utf8(&mut [0; 4])),
            }
        }
        self.end_command(&mut words);
    }

    fn quoted(&mut self, words: &mut Words) {
        words.push("");
        while let Some(c) = self.rest.next() {
            match c {
                '"' => return,
                '$' if self.rest.next_if_eq(&'(').is_some() => {
                    self.list(true);
                    words.push("…");
                }
                c => words.push(c.encode_utf8(&mut [0; 4])),
            }
        }
    }

    fn until(&mut self, end: char) -> String {
        self.rest.by_ref().take_while(|c| *c != end).collect()
    }

    fn end_command(&mut self, words: &mut Words) {
        words.end_word();
        let mut all = std::mem::take(words).all;
        let assigns = |word: &String| {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b))
        };
        let leading = all.iter().take_while(|word| assigns(word)).count();
        all.drain(..leading);
        if !all.is_empty() {
            self.found.push(all);
        }
    }
}

impl Words {
    fn push(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else {
            return;
        };
        if !std::mem::take(&mut self.redirected) {
            self.all.push(word);
        }
    }
}
