//! The structure of `src/` in numbers. `tests/rooms` prints them, also of an older tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use super::{Arrows, Names, areas, arrows};

/// The figures of one tree.
struct Counts {
    /// The files and folders on the top level.
    rooms: usize,
    /// The pairs of rooms of which one imports from the other.
    arrows: usize,
    /// Those that do not run down in the order of `lib.rs`.
    up: usize,
    /// The files of each import circle.
    circles: Vec<usize>,
    /// The lines that begin with `pub `.
    public: usize,
}

#[test]
#[allow(clippy::print_stdout)] // With `--nocapture`, the table is the output.
fn the_counts_of_rooms_arrows_and_circles() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let other = env::var_os("SKEP_SRC").map(PathBuf::from);
    let counts = Counts::of(other.as_ref().unwrap_or(&ours));
    println!("{counts}");
    if other.is_none() {
        assert_eq!((counts.up, counts.circles), (0, Vec::new()));
        assert!(counts.arrows > counts.rooms && counts.public > 0);
    }
}

#[test]
fn modules_that_reach_each_other_are_one_circle() {
    let imports = [
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("d", "a"),
        ("e", "f"),
        ("f", "e"),
    ];
    let imports =
        imports.map(|(from, to)| (vec![from.to_owned()], BTreeSet::from([vec![to.to_owned()]])));
    let arrows = Arrows::from(imports);
    assert_eq!(circles(&arrows), [3, 2]);
}

impl Counts {
    fn of(source: &Path) -> Self {
        let files = arrows(source);
        let rooms: BTreeSet<_> = files.keys().map(|module| &module[0]).collect();
        let pairs = files.iter().flat_map(|(from, all)| {
            let rooms = all.iter().map(move |to| (&from[0], &to[0]));
            rooms.filter(|(from, to)| from != to)
        });
        let pairs: BTreeSet<_> = pairs.collect();
        let order = areas(&fs::read_to_string(source.join("lib.rs")).unwrap());
        let place = |room: &String| order.iter().position(|area| area == room);
        let up = pairs.iter().filter(|(from, to)| place(from) >= place(to));
        Self {
            rooms: rooms.len(),
            arrows: pairs.len(),
            up: up.count(),
            circles: circles(&files),
            public: public(source),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rooms,
            arrows,
            up,
            circles,
            public,
        } = self;
        let files: usize = circles.iter().sum();
        let circles = circles.len();
        writeln!(f, "rooms  arrows  up   circles  files in circles  pub")?;
        write!(
            f,
            "{rooms:<6} {arrows:<7} {up:<4} {circles:<8} {files:<17} {public}"
        )
    }
}

/// The sizes of all circles: groups of modules that reach each other.
fn circles(arrows: &Arrows) -> Vec<usize> {
    let mut left: BTreeSet<_> = arrows.keys().collect();
    let mut sizes = Vec::new();
    while let Some(module) = left.pop_first() {
        let candidates = reached(arrows, module).into_iter();
        let candidates = candidates.filter(|to| left.contains(to));
        let circle: Vec<_> = candidates
            .filter(|to| reached(arrows, to).contains(module))
            .collect();
        for member in &circle {
            left.remove(member);
        }
        if !circle.is_empty() {
            sizes.push(circle.len() + 1);
        }
    }
    sizes
}

/// The modules that one imports from, and those that they import from.
fn reached<'a>(arrows: &'a Arrows, from: &Names) -> BTreeSet<&'a Names> {
    let mut found = BTreeSet::new();
    let mut next: Vec<_> = arrows[from].iter().collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(&arrows[module]);
        }
    }
    found
}

/// Counts the lines of all files below that begin with `pub `.
fn public(folder: &Path) -> usize {
    let count = |path: PathBuf| match path.is_dir() {
        true => public(&path),
        false => {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.lines().map(str::trim_start);
            lines.filter(|line| line.starts_with("pub ")).count()
        }
    };
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| count(entry.unwrap().path())).sum()
}
