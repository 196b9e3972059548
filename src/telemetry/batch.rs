//! Collects log lines for a moment and writes them in one piece.
//!
//! A write for each line takes longer than formatting it, and delays the request
//! that logs it. Lines are at most [`DELAY`] late, in order, and none is dropped:
//! if the reader stops, the threads that log wait.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The time that a line waits for others.
const DELAY: Duration = Duration::from_millis(20);

/// The most bytes of waiting lines.
const MOST: usize = 256 << 10;

/// Takes lines, which a thread of its own writes.
#[derive(Clone)]
pub(crate) struct BatchWriter(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    writing: bool,
}

impl BatchWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn new(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
        });
        let writer = shared.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || {
            let _abort = AbortOnDrop;
            loop {
                let lines = writer.next();
                // A failure here cannot be logged.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                writer.lock().writing = false;
                writer.written.notify_all();
            }
        })?;
        Ok(Self(shared))
    }

    /// Waits until all lines are written.
    pub(crate) fn finish(&self) {
        let mut lines = self.0.lock();
        while lines.writing || !lines.waiting.is_empty() {
            lines = self.0.wait(&self.0.written, lines);
        }
    }
}

/// Aborts the process if the thread panics: the threads that log would wait for
/// ever. The panic's message, which names the thread, is printed before.
struct AbortOnDrop;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, event: &Condvar, lines: MutexGuard<'a, Lines>) -> MutexGuard<'a, Lines> {
        event.wait(lines).unwrap_or_else(PoisonError::into_inner)
    }

    /// The collected lines, [`DELAY`] after the first of them.
    fn next(&self) -> Vec<u8> {
        let mut lines = self.lock();
        while lines.waiting.is_empty() {
            lines = self.wait(&self.filled, lines);
        }
        drop(lines);
        thread::sleep(DELAY);
        let mut lines = self.lock();
        lines.writing = true;
        std::mem::take(&mut lines.waiting)
    }
}

impl Write for BatchWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock();
        while !lines.waiting.is_empty() && lines.waiting.len() + line.len() > MOST {
            lines = self.0.wait(&self.0.written, lines);
        }
        if lines.waiting.is_empty() {
            self.0.filled.notify_one();
        }
        lines.waiting.extend_from_slice(line);
        Ok(line.len())
    }

    /// Does nothing: the thread flushes after each write.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>, Arc<Mutex<usize>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            *self.1.lock().unwrap() += 1;
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Panics;

    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a defect");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The next test runs this one in a process of its own.
    #[test]
    #[ignore = "it ends the process"]
    fn a_thread_that_panics() {
        let mut batch = BatchWriter::new(Panics).unwrap();
        batch.write_all(b"line\n").unwrap();
        batch.finish();
    }

    #[test]
    fn a_thread_that_panics_ends_the_process_and_is_named() {
        let program = std::env::current_exe().unwrap();
        let mut process = std::process::Command::new(program);
        let only = "telemetry::batch::tests::a_thread_that_panics";
        process.args([only, "--exact", "--ignored", "--nocapture"]);
        let ended = process.output().unwrap();
        assert!(!ended.status.success());
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            said.contains("thread 'log'") && said.contains("a defect"),
            "{said}"
        );
    }

    #[test]
    fn every_line_is_written_in_order_and_many_in_one_piece() {
        let written = Written::default();
        let mut batch = BatchWriter::new(written.clone()).unwrap();
        let mut expected = Vec::new();
        for n in 0..1000 {
            let line = format!("line {n}\n");
            batch.write_all(line.as_bytes()).unwrap();
            expected.extend_from_slice(line.as_bytes());
        }
        batch.finish();
        assert_eq!(*written.0.lock().unwrap(), expected);
        assert!(*written.1.lock().unwrap() < 1000);
    }

    #[test]
    fn callers_wait_while_the_batch_is_full_and_no_line_is_dropped() {
        let written = Written::default();
        let batch = BatchWriter::new(written.clone()).unwrap();
        let line = vec![b'x'; 10_000];
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (mut batch, line) = (batch.clone(), line.clone());
                thread::spawn(move || (0..20).for_each(|_| batch.write_all(&line).unwrap()))
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        batch.finish();
        assert_eq!(written.0.lock().unwrap().len(), 4 * 20 * line.len());
    }
}
