//! The memory of an agent as one sum: the constants, the shipped files and the
//! documentation say the same.

use std::fs;

use skep::listen::bounds;

const MIB: usize = 1 << 20;

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The number before `M` in the line of this setting.
fn limit(file: &str, setting: &str) -> usize {
    let text = read(file);
    let line = text.lines().map(str::trim);
    let value = line.filter_map(|line| line.strip_prefix(setting)).next();
    let value = value.unwrap_or_else(|| panic!("{file} has no {setting}"));
    let digits = value.trim().trim_end_matches(['m', 'M']);
    digits.parse::<usize>().expect("a number") * MIB
}

#[test]
fn the_sum_of_all_bounds_fits_the_limit_of_the_shipped_files() {
    assert_eq!(limit("docker/compose.yml", "mem_limit:"), bounds::LIMIT);
    assert_eq!(limit("docker/stack.yml", "memory:"), bounds::LIMIT);
    let sum = bounds::BASE
        + (bounds::UNPROVEN + bounds::CALLERS + bounds::RESERVED) * bounds::EACH_CONNECTION
        + bounds::HEADS
        + bounds::REQUESTS;
    assert_eq!(sum, bounds::SUM);
    assert!(sum <= bounds::LIMIT, "{sum}");
}

#[test]
fn the_documentation_has_the_numbers_of_the_sum() {
    let page = read("docs/operating.md");
    let begin = page.find("\n## Memory\n").expect("a section");
    let section = &page[begin..];
    let section = &section[..section[4..]
        .find("\n## ")
        .map_or(section.len(), |end| end + 4)];
    let mib = |bytes: usize| format!("{} MiB", bytes / MIB);
    for expected in [
        format!("add up to {}", mib(bounds::SUM)),
        format!("the {} of the shipped", mib(bounds::LIMIT)),
        format!("| | {} |", mib(bounds::BASE)),
        format!(
            "| {}, {} KiB each | {} |",
            bounds::UNPROVEN,
            bounds::EACH_CONNECTION >> 10,
            mib(bounds::UNPROVEN * bounds::EACH_CONNECTION)
        ),
        format!(
            "{} of callers, and {} kept",
            bounds::CALLERS,
            bounds::RESERVED
        ),
        format!(
            "and health checks; {} KiB each | {} |",
            bounds::EACH_CONNECTION >> 10,
            mib((bounds::CALLERS + bounds::RESERVED) * bounds::EACH_CONNECTION)
        ),
        format!("| {} |", mib(bounds::HEADS)),
        format!("requests: {} KiB each", bounds::EACH_REQUEST >> 10),
        format!("{} times the held body", bounds::BODY_FACTOR),
        format!("{} times the list", bounds::LIST_FACTOR),
        format!(
            "may use {} | {} |",
            mib(bounds::REQUESTS_OF_ONE),
            mib(bounds::REQUESTS)
        ),
    ] {
        assert!(
            section.contains(&expected),
            "{expected:?} is not in:{section}"
        );
    }
}

#[test]
fn the_shipped_files_bound_their_logs() {
    for file in ["docker/compose.yml", "docker/stack.yml"] {
        let text = read(file);
        assert!(
            text.contains("max-size:") && text.contains("max-file:"),
            "{file}"
        );
    }
}
