//! `make scale`: one real agent among stand-ins that speak the agents' API, at loopback
//! addresses. It prints what the agent costs while nothing happens, and how it answers,
//! beside its bounds, and fails where one is not met.
//!
//! All stand-ins are one process on the same machine, so times of answers include their
//! work; what the agent itself uses is measured from outside, by the kernel.

mod caller;
mod cluster;
mod curve;
mod door;
mod idle;
mod loads;
#[path = "../../load/src/process.rs"]
mod process;
mod report;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use cluster::{Role, Rows};
use report::Report;

#[derive(Parser)]
struct Cli {
    /// The release program to measure.
    #[arg(long)]
    skep: PathBuf,
    /// The numbers of nodes.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 200, 1000, 5000])]
    sizes: Vec<usize>,
    /// How long the idle agent is measured, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Measure only what the agent uses while nothing happens.
    #[arg(long)]
    idle: bool,
    /// The folder for the curves.
    #[arg(long)]
    curves: Option<PathBuf>,
}

/// Larger clusters are left out on a machine with less free memory.
const MEMORY: u64 = 3 << 30;
const LARGE: usize = 2000;

/// The cluster whose lists are long as well.
const WITH_LONG_LISTS: usize = 200;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(unless_stopped(measure(&cli)));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let report = report?;
    say(&report.table())?;
    if let Some(folder) = &cli.curves {
        report.draw(folder)?;
    }
    if report.falls_short() {
        bail!("the agent costs more than it may, or nodes are missing");
    }
    Ok(())
}

async fn measure(cli: &Cli) -> anyhow::Result<Report> {
    let folder = tempfile::Builder::new().prefix("skep-scale-").tempdir()?;
    let mut report = Report::default();
    let helper = caller::Helper::start(folder.path()).await?;
    for size in &cli.sizes {
        if *size > LARGE && free_memory()? < MEMORY {
            say(&format!("{size} nodes: left out, for want of memory"))?;
            continue;
        }
        for role in [Role::Worker, Role::Manager] {
            say(&format!("{size} nodes, the agent of a {role}"))?;
            let cluster = cluster::Cluster::start(&cli.skep, &helper, *size, role).await?;
            let complete = cluster.complete().await?;
            let traffic = cluster.traffic(&helper).await?;
            let idle = idle::measure(&cluster, Duration::from_secs(cli.seconds)).await?;
            drop(traffic);
            report.idle(*size, role, complete, idle);
            if role == Role::Worker && *size == WITH_LONG_LISTS && !cli.idle {
                for rows in [Rows::MANY, Rows::MORE] {
                    report.long(*size, loads::long(&cluster, &helper, rows).await?);
                }
            }
            if role == Role::Worker && !cli.idle {
                report.loads(*size, loads::measure(&cluster, &helper).await?);
            }
        }
    }
    Ok(report)
}

/// The memory that programs can still take, in bytes.
fn free_memory() -> anyhow::Result<u64> {
    let info = std::fs::read_to_string("/proc/meminfo")?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("no MemAvailable")?.trim().parse::<u64>()? * 1024)
}

/// Ends early on a signal, so that everything that was started is dropped.
async fn unless_stopped<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

/// Prints one line.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}
