//! Builds and runs the reader that is written in Go.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A question for the reader.
pub(super) struct Question(pub(super) Value);

impl Question {
    pub(super) fn text(kind: &str, text: &[u8]) -> Self {
        Self(json!({"Kind": kind, "Text": STANDARD.encode(text)}))
    }
}

/// The running program.
pub(super) struct Reader {
    program: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Reader {
    /// Starts the program.
    ///
    /// # Errors
    /// If there is no Go on this machine.
    pub(super) fn start() -> Result<Self, &'static str> {
        static BUILT: OnceLock<Result<PathBuf, &'static str>> = OnceLock::new();
        let path = BUILT.get_or_init(build).as_ref().map_err(|why| *why)?;
        let mut program = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Ok(Self {
            questions: program.stdin.take().unwrap(),
            answers: BufReader::new(program.stdout.take().unwrap()),
            program,
        })
    }

    /// Asks all of them and returns the answers in the same order.
    pub(super) fn ask(&mut self, questions: Vec<Question>) -> Vec<Value> {
        let Self {
            questions: to,
            answers: from,
            ..
        } = self;
        let number = questions.len();
        // While one thread writes, the other reads: neither pipe fills up.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut lines = Vec::new();
                for question in questions {
                    serde_json::to_writer(&mut lines, &question.0).unwrap();
                    lines.push(b'\n');
                }
                to.write_all(&lines).unwrap();
                to.flush().unwrap();
            });
            let mut answers = Vec::with_capacity(number);
            let mut line = String::new();
            while answers.len() < number {
                line.clear();
                assert!(from.read_line(&mut line).unwrap() > 0, "the reader ended");
                answers.push(serde_json::from_str(&line).unwrap());
            }
            answers
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The bytes of a text in an answer.
pub(super) fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}

/// The same, as skep decodes what is not UTF-8.
pub(super) fn text(value: &Value) -> String {
    String::from_utf8_lossy(&bytes(value)).into_owned()
}

/// Builds the program below `target`.
fn build() -> Result<PathBuf, &'static str> {
    let go = go().ok_or("Go is not installed (Debian: golang-go)")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/differential");
    // This test is `target/PROFILE/deps/NAME`.
    let test = std::env::current_exe().unwrap();
    let work = test.ancestors().nth(3).unwrap().join("differential");
    let program = work.join("reader");
    let built = Command::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .env("GOCACHE", work.join("cache"))
        .env("GOPATH", work.join("path"))
        .env("GOFLAGS", "-mod=mod -trimpath")
        .env("GOTOOLCHAIN", "local")
        .env("GO111MODULE", "on")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(
        built.status.success(),
        "tests/differential does not build:\n{errors}"
    );
    Ok(program)
}

/// Go in the path, or where its own archive and Debian put it.
fn go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<_> = std::env::split_paths(&path)
        .map(|folder| folder.join("go"))
        .collect();
    all.push("/usr/local/go/bin/go".into());
    all.push("/usr/lib/go/bin/go".into());
    all.into_iter().find(|go| go.is_file())
}
