//! Commands with a deadline. The lab tests work as a person would: through programs.
//!
//! A command that takes too long is killed with all its children, and fails its test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The default deadline, far longer than any command here should take.
const DEADLINE: u32 = 20;

/// The exit code of timeout(1) for a command that it killed.
const TOO_LONG: i32 = 124;

/// A command that has not started yet.
pub(crate) struct Task {
    words: Vec<String>,
    env: Vec<(String, String)>,
    input: Vec<u8>,
    held: bool,
    seconds: u32,
}

/// A command that has ended.
pub(crate) struct Done {
    /// The command line, for messages.
    shown: String,
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// Standard error.
    pub(crate) err: String,
    /// The time that it took.
    pub(crate) took: Duration,
}

/// `program` with these words, which are split at spaces; see [`Task::arg`] for others.
pub(crate) fn task(program: impl Into<String>, words: &str) -> Task {
    let mut all = vec![program.into()];
    all.extend(words.split_whitespace().map(str::to_owned));
    Task {
        words: all,
        env: Vec::new(),
        input: Vec::new(),
        held: false,
        seconds: DEADLINE,
    }
}

impl Task {
    /// Adds one word, which may contain spaces.
    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// Adds words, split at spaces.
    pub(crate) fn arg_each(mut self, words: &str) -> Self {
        self.words
            .extend(words.split_whitespace().map(str::to_owned));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the standard input, which is empty by default.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Keeps standard input open until the command ends.
    pub(crate) fn hold_input(mut self) -> Self {
        self.held = true;
        self
    }

    /// Sets the deadline.
    pub(crate) fn within(mut self, seconds: u32) -> Self {
        self.seconds = seconds;
        self
    }

    /// The words as one quoted line for a shell.
    pub(crate) fn line(&self) -> String {
        let env = self
            .env
            .iter()
            .map(|(name, value)| quoted(&format!("{name}={value}")));
        let words = self.words.iter().map(|w| quoted(w));
        let all: Vec<_> = ["env".to_owned()]
            .into_iter()
            .chain(env)
            .chain(words)
            .collect();
        all.join(" ")
    }

    /// Runs it to its end, with any exit code.
    #[track_caller]
    pub(crate) fn run(self) -> Done {
        let started = Instant::now();
        let (input, held) = (self.input.clone(), self.held);
        let shown = self.shown();
        let seconds = self.seconds;
        let mut child = self.start(Stdio::piped(), Stdio::piped(), Stdio::piped());
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that does not read all of its input is not a failure.
        let feeder = thread::spawn(move || {
            drop(stdin.write_all(&input));
            held.then_some(stdin)
        });
        let output = child.wait_with_output().expect("a child can be waited for");
        drop(feeder.join());
        let done = Done {
            shown,
            // A signal has no code.
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        };
        if done.code == TOO_LONG {
            panic!("this took longer than {seconds} s: {done}");
        }
        done
    }

    /// Runs it, expects success, and returns standard output without the last newline.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        self.run().ok()
    }

    /// Starts it in the background; dropping the result ends it.
    #[track_caller]
    pub(crate) fn background(self) -> Running {
        let shown = self.shown();
        let mut child = self.start(Stdio::null(), Stdio::piped(), Stdio::piped());
        let (send, lines) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        for stream in streams {
            let send = send.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    drop(send.send(line));
                }
            });
        }
        Running {
            shown,
            child,
            lines,
        }
    }

    fn shown(&self) -> String {
        self.words.join(" ")
    }

    #[track_caller]
    fn start(&self, input: Stdio, out: Stdio, err: Stdio) -> Child {
        let mut command = Command::new("timeout");
        command.arg("--kill-after=2").arg(self.seconds.to_string());
        command.args(self.words.iter().map(OsStr::new));
        // The user's own settings of the docker CLI must not affect the tests.
        for name in [
            "HOST",
            "CONTEXT",
            "TLS",
            "TLS_VERIFY",
            "CERT_PATH",
            "API_VERSION",
            "BUILDKIT",
        ] {
            command.env_remove(format!("DOCKER_{name}"));
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(input).stdout(out).stderr(err).spawn();
        child.unwrap_or_else(|e| panic!("{}: {e}", self.shown()))
    }
}

impl Done {
    /// Expects success; returns standard output without the last newline.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "this failed: {self}");
        let mut text = self.text();
        text.truncate(text.trim_end().len());
        text
    }

    /// Expects a failure; returns standard error.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_ne!(self.code, 0, "this should have failed: {self}");
        self.err
    }

    /// Standard output.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: &str| text.trim_end().chars().take(4000).collect::<String>();
        write!(
            f,
            "{}\nexit code {} after {:?}\n{}\n{}",
            self.shown,
            self.code,
            self.took,
            cut(&self.text()),
            cut(&self.err)
        )
    }
}

/// A running command, whose output and errors arrive as lines.
pub(crate) struct Running {
    shown: String,
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// The next line that contains `text`.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str, within: Duration) -> String {
        let end = Instant::now() + within;
        let mut others = Vec::new();
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => others.push(line),
                Err(why) => {
                    let ended = matches!(why, RecvTimeoutError::Disconnected);
                    let ended = if ended { "it ended" } else { "it still runs" };
                    panic!(
                        "no line with {text:?} within {within:?} ({ended}): {}\n{}",
                        self.shown,
                        others.join("\n")
                    );
                }
            }
        }
    }

    /// Waits for its end; returns the exit code and the remaining lines.
    #[track_caller]
    pub(crate) fn end(mut self) -> (i32, Vec<String>) {
        // timeout(1) bounds the wait.
        let status = self.child.wait().expect("a child can be waited for");
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(2)) {
            rest.push(line);
        }
        (status.code().unwrap_or(-1), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // timeout(1) forwards a TERM to its command, but cannot forward a KILL.
        drop(
            Command::new("kill")
                .arg(self.child.id().to_string())
                .stderr(Stdio::null())
                .status(),
        );
        drop(self.child.wait());
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
