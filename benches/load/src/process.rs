//! A measured program: it ends with its handle, and the kernel reports its use of
//! processor and memory.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The number of checks whether a program listens, one every 50 ms.
const CHECKS: usize = 200;

pub(crate) struct Process(Child);

impl Process {
    /// Starts a program with its standard error in a file.
    pub(crate) fn start(mut command: Command, errors: &Path) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(errors)?)
            .spawn();
        let named = || command.get_program().to_string_lossy().into_owned();
        Ok(Self(child.with_context(named)?))
    }

    /// Waits until it listens on this address.
    pub(crate) async fn listens(
        &mut self,
        address: SocketAddr,
        errors: &Path,
    ) -> anyhow::Result<()> {
        for _ in 0..CHECKS {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            if self.0.try_wait()?.is_some() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "the program does not listen on {address}: {}",
            fs::read_to_string(errors)?
        )
    }

    /// The processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let line = fs::read_to_string(thread?.path().join("schedstat"))?;
            let running = line.split(' ').next().unwrap_or_default();
            nanos += running.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Its current memory, in bytes.
    pub(crate) fn rss(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// A line of proc(5)'s `status`, in bytes.
    pub(crate) fn memory(&self, name: &'static str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context(name)?.trim().parse::<u64>()? * 1024)
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the program has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
