//! `make bench`: the cost of skep compared with HAProxy and with bare Pingora, and
//! the cost of a list of the whole cluster compared with that of one node.
//!
//! Front, engine and callers run on one machine at the same time. So the ratios of
//! one run are meaningful, and its absolute numbers are not.

mod bare;
mod cluster;
mod connection;
mod engine;
mod fronts;
mod load;
mod numbers;
mod policies;
mod process;
mod rounds;
mod signed;
mod size;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print tables.
    Run(Run),
    /// Run an engine with fixed answers on a Unix socket.
    Engine { socket: PathBuf },
    /// Run Pingora without skep as a TLS front of an engine.
    Bare(bare::Bare),
}

#[derive(Args)]
struct Run {
    /// The release program to measure.
    #[arg(long)]
    skep: PathBuf,
    /// Another release build of skep to compare with in the same run.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// The baseline knows only signatures without an audience (before 0.2).
    #[arg(long, requires = "baseline")]
    baseline_is_old: bool,
    /// The number of turns of every front with every answer.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The duration of one turn, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Measure only the fronts, or only the cluster.
    #[arg(long)]
    only: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Fronts,
    Cluster,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Engine { socket } => one_thread()?.block_on(engine::serve(&socket)),
        Command::Bare(bare) => one_thread()?.block_on(bare.serve()),
        Command::Run(run) => run.measure(),
    }
}

impl Run {
    fn measure(&self) -> anyhow::Result<()> {
        // Removed with its content when this function ends in any way.
        let folder = tempfile::Builder::new().prefix("skep-bench-").tempdir()?;
        if self.only != Some(Part::Cluster) {
            one_thread()?.block_on(unless_stopped(self.fronts(folder.path())))?;
        }
        if self.only != Some(Part::Fronts) {
            let runtime = Builder::new_multi_thread().enable_all().build()?;
            let measured = runtime.block_on(unless_stopped(cluster::measure(folder.path())));
            runtime.shutdown_timeout(Duration::from_secs(1));
            measured?;
        }
        Ok(())
    }

    async fn fronts(&self, folder: &Path) -> anyhow::Result<()> {
        let fronts = fronts::start(
            folder,
            &self.skep,
            self.baseline.as_deref(),
            self.baseline_is_old,
        )
        .await?;
        // skep returns the memory of its start a moment later.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let idle = size::Idle::measure(&fronts).await?;
        let waiting = size::Waiting::measure(&fronts).await?;
        let time = Duration::from_secs_f64(self.seconds);
        rounds::measure(&fronts, self.rounds, time).await?;
        policies::measure(&fronts, self.rounds, time).await?;
        size::print(&self.skep, &idle, &waiting, fronts.skep_rss()?)
    }
}

/// The callers have one thread, like each front.
fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Ends early on a signal, so that everything that was started is dropped.
async fn unless_stopped(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}

/// Prints one line of the report.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}

/// A free port of this machine.
async fn free_address() -> io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    listener.local_addr()
}
