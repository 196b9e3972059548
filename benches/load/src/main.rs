//! `make bench`: what skep costs beside HAProxy and beside bare Pingora, and
//! what a list of the whole cluster costs beside one node alone.
//!
//! All of it runs on one machine at the same time, front, engine and callers,
//! and so the ratios of one run mean something and its absolute numbers little.

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
    /// Measures, and prints tables.
    Run(Run),
    /// An engine that answers at once and always the same, on a Unix socket.
    Engine { socket: PathBuf },
    /// Pingora with nothing of skep's in it, as a TLS front of an engine.
    Bare(bare::Bare),
}

#[derive(Args)]
struct Run {
    /// The release program to measure.
    #[arg(long)]
    skep: PathBuf,
    /// Another release program of skep, to compare it with in the same run.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// How often every front has its turn with every answer.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long one turn lasts, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only the fronts, or only the cluster.
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
        // Goes with everything in it when this function ends, however it does.
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
        let fronts = fronts::start(folder, &self.skep, self.baseline.as_deref()).await?;
        // What the start took is given back a moment later.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let idle = fronts.skep_rss()?;
        let time = Duration::from_secs_f64(self.seconds);
        rounds::measure(&fronts, self.rounds, time).await?;
        policies::measure(&fronts, self.rounds, time).await?;
        size::print(&self.skep, idle, fronts.skep_rss()?)
    }
}

/// The callers have one thread, as each front has.
fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Ends early when told to, so that everything that was started is dropped.
async fn unless_stopped(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}

/// One line of the report.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}

/// A port of this machine that nobody listens on.
async fn free_address() -> io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    listener.local_addr()
}
