//! Imports run down: from an area to those below it in `lib.rs`, and never in
//! a circle. A file may use what a file above it in the folders defines.

#![allow(clippy::unwrap_used)]

#[path = "layers/counts.rs"]
mod counts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// `["crate", "json", "Edit"]`
type Names = Vec<String>;

/// A module, and the modules that it imports from.
type Arrows = BTreeMap<Names, BTreeSet<Names>>;

/// A module of the crate, and what its `use` lines name.
struct Module {
    uses: Vec<Names>,
    /// Its re-exports: the name, and the path behind it.
    exports: BTreeMap<String, Names>,
}

#[test]
fn imports_of_the_agent_run_down_and_in_no_circle() {
    check("src", 150);
}

#[test]
fn imports_of_the_filters_run_down_and_in_no_circle() {
    check("filters/src", 80);
}

fn check(folder: &str, at_least: usize) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let order = areas(&fs::read_to_string(source.join("lib.rs")).unwrap());
    let arrows = arrows(&source);
    assert!(arrows.len() > at_least, "only {} files", arrows.len());
    let mut upward = Vec::new();
    for (from, to) in arrows
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
    {
        let place = |module: &Names| {
            let place = order.iter().position(|area| *area == module[0]);
            place.unwrap_or_else(|| panic!("{} is not in {folder}/lib.rs", module[0]))
        };
        if from[0] != to[0] && place(from) >= place(to) {
            upward.push(format!(
                "{} may not use {}: {} is above {} in {folder}/lib.rs, and imports run down",
                from.join("::"),
                to.join("::"),
                to[0],
                from[0],
            ));
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
    let mut done = BTreeSet::new();
    for from in arrows.keys() {
        descend(&arrows, from, &mut Vec::new(), &mut done);
    }
}

/// Which modules each module of a crate imports from.
fn arrows(source: &Path) -> Arrows {
    let mut modules = BTreeMap::new();
    read(source, &[], &mut modules);
    let mut arrows = Arrows::new();
    for (from, module) in &modules {
        let resolved = module
            .uses
            .iter()
            .filter_map(|path| resolve(&modules, from, path));
        // A child may use what its ancestors define.
        let others = resolved.filter(|to| !from.starts_with(to));
        arrows.insert(from.clone(), others.collect());
    }
    arrows
}

fn descend(arrows: &Arrows, at: &Names, way: &mut Vec<String>, done: &mut BTreeSet<Names>) {
    let name = at.join("::");
    assert!(
        !way.contains(&name),
        "a circle: {} -> {name}",
        way.join(" -> ")
    );
    if done.contains(at) {
        return;
    }
    way.push(name);
    for next in &arrows[at] {
        descend(arrows, next, way, done);
    }
    way.pop();
    done.insert(at.clone());
}

/// The areas in the order of `lib.rs`, from the top down.
fn areas(lib: &str) -> Vec<String> {
    let names = lib.lines().filter_map(|line| line.split_once("mod "));
    names
        .filter(|(visibility, _)| visibility.is_empty() || visibility.starts_with("pub"))
        .map(|(_, name)| name.trim_end_matches(';').to_owned())
        .collect()
}

/// The module that defines what a path names; `None` outside of this crate.
fn resolve(modules: &BTreeMap<Names, Module>, from: &[String], path: &[String]) -> Option<Names> {
    let mut at = match path[0].as_str() {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from[..from.len() - 1].to_vec(),
        child => [from, &[child.to_owned()]].concat(),
    };
    if !at.is_empty() && !modules.contains_key(&at) {
        return None;
    }
    for name in &path[1..] {
        let inner = [&at[..], std::slice::from_ref(name)].concat();
        if name == "super" {
            at.pop();
        } else if modules.contains_key(&inner) {
            at = inner;
        } else {
            let export = modules.get(&at).and_then(|module| module.exports.get(name));
            return match export {
                Some(path) => resolve(modules, &at, path),
                None => Some(at),
            };
        }
    }
    Some(at)
}

fn read(folder: &Path, parent: &[String], modules: &mut BTreeMap<Names, Module>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // Tests may look at anything.
        if ["lib", "main", "tests", "properties"].contains(&name.as_str()) {
            continue;
        }
        let module = [parent, &[name]].concat();
        if path.is_dir() {
            read(&path, &module, modules);
        } else if path.extension().is_some_and(|e| e == "rs") {
            modules.insert(module, parse(&fs::read_to_string(&path).unwrap()));
        }
    }
}

fn parse(text: &str) -> Module {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = code
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .map(|l| format!("{l}\n"))
        .collect();
    let code = code.as_str();
    let mut module = Module {
        uses: Vec::new(),
        exports: BTreeMap::new(),
    };
    // Also what is named where it is used.
    for path in code.split("crate::").skip(1) {
        let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let names = path[..end.unwrap_or(path.len())].split("::");
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        module
            .uses
            .push(["crate".to_owned()].into_iter().chain(names).collect());
    }
    let mut rest = code;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let is_public = line.starts_with("pub");
        let Some(at) = line
            .find("use ")
            .filter(|at| *at == 0 || is_public && *at < 20)
        else {
            continue;
        };
        let start = code.len() - rest.len() - line.len() - 1 + at + 4;
        let tree = code[start..].split(';').next().unwrap();
        let mut paths = Vec::new();
        expand(
            &tree.split_whitespace().collect::<String>(),
            &[],
            &mut paths,
        );
        for path in paths {
            if is_public {
                module.exports.insert(path.last().unwrap().clone(), path);
            } else {
                module.uses.push(path);
            }
        }
    }
    module
}

/// The paths of `a::{b, c::d}`.
fn expand(tree: &str, before: &[String], paths: &mut Vec<Names>) {
    let (head, list) = match tree.split_once('{') {
        Some((head, list)) => (head, list.strip_suffix('}')),
        None => (tree, None),
    };
    let names = head
        .split("::")
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    let path = before.iter().cloned().chain(names).collect::<Names>();
    let Some(list) = list else {
        return paths.push(path);
    };
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in list.bytes().chain([b',']).enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                if start < at {
                    expand(&list[start..at], &path, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}
