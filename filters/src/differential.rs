//! Compares skep's reading of requests with that of Go's own packages.
//!
//! Engines are written in Go. If they read a request differently than skep, they
//! carry out another request than the one that was judged. Here thousands of
//! generated requests are read by both, and the test fails for a difference in
//! anything that is judged. A request that skep refuses may have any reading.
//!
//! The other reader is `tests/differential`. Without Go on the machine the tests
//! are skipped, with a line on the standard error. `make differential` runs many
//! more cases than `make test`; `DIFFERENTIAL_SEED` repeats a run.

mod body;
mod generate;
mod mounts;
mod reader;
mod request;

use std::collections::BTreeMap;
use std::io::Write;

use generate::Dice;
use reader::{Question, Reader};

/// Cases of a kind in the short run.
const CASES: usize = 5_000;

/// The seed of the short run: the same cases each time.
const SEED: u64 = 1;

/// Answers are compared this many at a time.
const BATCH: usize = 2_000;

/// Reads a number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

/// A line that is shown although the test passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Generates cases, asks Go, and compares. `compare` returns a difference.
fn differ<Case>(
    what: &str,
    setup: Option<Question>,
    case: impl Fn(&mut Dice) -> Case,
    ask: impl Fn(&Case) -> Question,
    compare: impl Fn(&Case, &serde_json::Value) -> Outcome,
) {
    let seed = number("DIFFERENTIAL_SEED").unwrap_or(SEED);
    let cases = number("DIFFERENTIAL_CASES").map_or(CASES, |cases| cases as usize);
    let mut reader = match Reader::start() {
        Ok(reader) => reader,
        Err(why) => {
            say(&format!(
                "skipped: the comparison of {what} with Go's reading: {why}"
            ));
            return;
        }
    };
    let mut dice = Dice::new(seed);
    let mut counts = BTreeMap::new();
    if let Some(setup) = setup {
        reader.ask(vec![setup]);
    }
    let mut left = cases;
    while left > 0 {
        let batch: Vec<_> = (0..left.min(BATCH)).map(|_| case(&mut dice)).collect();
        left -= batch.len();
        let answers = reader.ask(batch.iter().map(&ask).collect());
        for (case, answer) in batch.iter().zip(&answers) {
            let outcome = compare(case, answer);
            if let Outcome::Differs(how) = &outcome {
                panic!(
                    "Go reads {what} differently (DIFFERENTIAL_SEED={seed}): {how}\nGo: {answer}"
                );
            }
            *counts.entry(outcome.name()).or_insert(0) += 1;
        }
    }
    say(&format!(
        "{what}: {cases} cases with seed {seed}, {counts:?}"
    ));
    // A generator whose cases are all refused compares nothing.
    let alike = counts.get("alike").copied().unwrap_or(0);
    assert!(
        alike * 1000 > cases,
        "{what}: only {alike} of {cases} cases were read by both"
    );
}

/// The outcome of one comparison.
enum Outcome {
    /// Both read the same.
    Alike,
    /// skep refuses it.
    Refused,
    /// The engine refuses it.
    RefusedByGo,
    /// A difference, described.
    Differs(String),
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Refused => "refused",
            Self::RefusedByGo => "refused by Go",
            Self::Differs(_) => "different",
        }
    }

    /// Alike if both are equal.
    fn of<T: PartialEq + std::fmt::Debug>(what: &str, case: &str, own: &T, other: &T) -> Self {
        if own == other {
            return Self::Alike;
        }
        Self::Differs(format!("{what} of {case}\nskep: {own:?}\nGo:   {other:?}"))
    }
}
