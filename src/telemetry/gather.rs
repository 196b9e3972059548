//! Gathers log lines for a moment and writes them in one piece.
//!
//! One write for every line costs more than making the line, and is paid by
//! the request that it tells of. Lines are at most [`MOMENT`] late, in order,
//! and none is dropped: if nobody reads them, whoever logs waits.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a line waits for others.
const MOMENT: Duration = Duration::from_millis(20);

/// The most bytes of lines that wait.
const MOST: usize = 256 << 10;

/// Takes lines, and gives them to a thread of its own that writes them.
#[derive(Clone)]
pub(crate) struct Gather(Arc<Shared>);

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

impl Gather {
    /// Writes to `out` from now on.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(crate) fn new(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
        });
        let writer = shared.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || {
            let _last = EndsTheProcess;
            loop {
                let lines = writer.next();
                // There is nowhere to say that it failed.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                writer.lock().writing = false;
                writer.written.notify_all();
            }
        })?;
        Ok(Self(shared))
    }

    /// Waits until everything that was logged is written.
    pub(crate) fn finish(&self) {
        let mut lines = self.0.lock();
        while lines.writing || !lines.waiting.is_empty() {
            lines = self.0.wait(&self.0.written, lines);
        }
    }
}

/// Without its thread everybody who logs would wait for ever. The message of the
/// panic, which names the thread, is out by then.
struct EndsTheProcess;

impl Drop for EndsTheProcess {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, what: &Condvar, lines: MutexGuard<'a, Lines>) -> MutexGuard<'a, Lines> {
        what.wait(lines).unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines that have gathered, a moment after the first of them.
    fn next(&self) -> Vec<u8> {
        let mut lines = self.lock();
        while lines.waiting.is_empty() {
            lines = self.wait(&self.filled, lines);
        }
        drop(lines);
        thread::sleep(MOMENT);
        let mut lines = self.lock();
        lines.writing = true;
        std::mem::take(&mut lines.waiting)
    }
}

impl Write for Gather {
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

    /// Is done by the thread, after each moment.
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

    struct Defect;

    impl Write for Defect {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a defect");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the next test runs in a process of its own.
    #[test]
    #[ignore = "it ends the process"]
    fn a_thread_that_panics() {
        let mut gather = Gather::new(Defect).unwrap();
        gather.write_all(b"line\n").unwrap();
        gather.finish();
    }

    #[test]
    fn a_thread_that_panics_ends_the_process_and_is_named() {
        let program = std::env::current_exe().unwrap();
        let mut process = std::process::Command::new(program);
        let only = "telemetry::gather::tests::a_thread_that_panics";
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
        let mut gather = Gather::new(written.clone()).unwrap();
        let mut expected = Vec::new();
        for n in 0..1000 {
            let line = format!("line {n}\n");
            gather.write_all(line.as_bytes()).unwrap();
            expected.extend_from_slice(line.as_bytes());
        }
        gather.finish();
        assert_eq!(*written.0.lock().unwrap(), expected);
        assert!(*written.1.lock().unwrap() < 1000);
    }

    #[test]
    fn more_than_may_wait_is_waited_for_and_not_dropped() {
        let written = Written::default();
        let gather = Gather::new(written.clone()).unwrap();
        let line = vec![b'x'; 10_000];
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (mut gather, line) = (gather.clone(), line.clone());
                thread::spawn(move || (0..20).for_each(|_| gather.write_all(&line).unwrap()))
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        gather.finish();
        assert_eq!(written.0.lock().unwrap().len(), 4 * 20 * line.len());
    }
}
