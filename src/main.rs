//! Runs the command of the command line, and turns errors into messages and exit
//! codes.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;
use skep::cli::{self, Cli, Command, ConfigArgs};
use skep::config::portainer_env::{self, FromEnvironment};
use skep::config::wollomatic::arguments::is_one_of;
use skep::config::{Config, DEFAULT_SECRET_FILE, LogFormat, Socket, environment, wollomatic};
use skep::connect::access;
use skep::trust::Secret;
use skep::{platform, telemetry};

/// A request makes some two hundred allocations; the system's allocator would take
/// a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The JSON Schema of configuration files. A test compares it with the parser.
const SCHEMA: &str = include_str!("../conf/skep.schema.json");

fn main() -> ExitCode {
    platform::disable_huge_pages();
    platform::forbid_memory_dumps();
    let arguments = std::env::args_os().skip(1);
    let arguments: Vec<_> = arguments
        .map(|one| one.to_string_lossy().into_owned())
        .collect();
    let result = match wollomatic::arguments::variables(&arguments) {
        Some(read) => read
            .map_err(Into::into)
            .and_then(|variables| serve(&ConfigArgs { config: None }, &variables)),
        None => run(Cli::parse().command),
    };
    telemetry::finish();
    match result {
        Ok(code) => code,
        Err(e) => {
            let _ = writeln!(io::stderr(), "skep: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    match command {
        Command::Serve(args) => return serve(&args, &[]),
        Command::Check(args) => {
            if !cli::check::run(&args.files, out, &mut io::stderr())? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Bootstrap(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            if !runtime(Some(1))?.block_on(cli::bootstrap::run(args, out))? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Completions(args) => out.write_all(&cli::completions::run(&args))?,
        Command::Man(args) => out.write_all(&cli::man::run(&args)?)?,
        Command::Connect(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Info)?;
            runtime(None)?.block_on(cli::connect::run(args))?;
        }
        Command::Doctor(args) => {
            // Its findings say what the log would.
            telemetry::init(LogFormat::Text, LevelFilter::Off)?;
            let load = || Ok(load(&args.config, &[])?.0);
            let report = runtime(Some(1))?.block_on(cli::doctor::run(&args, load))?;
            let shown = if args.json {
                report.json()
            } else {
                report.text()
            };
            write!(out, "{shown}")?;
            if !report.is_healthy() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Nodes(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            let table = runtime(Some(1))?.block_on(cli::nodes::run(args))?;
            write!(out, "{table}")?;
        }
        Command::Spread(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            runtime(Some(1))?.block_on(cli::spread::run(args, out))?;
        }
        Command::Forward(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Info)?;
            runtime(None)?.block_on(cli::forward::run(args, out))?;
        }
        Command::Relay => {
            platform::forbid_new_privileges();
            runtime(Some(1))?.block_on(cli::relay::run())?;
        }
        Command::Health(args) => {
            let config = load(&args.config, &[])?.0;
            let runtime = runtime(Some(1))?;
            let health = match args.hold {
                Some(time) => runtime.block_on(cli::health::hold(&config, time))?,
                None => runtime.block_on(cli::health::run(&config))?,
            };
            write!(out, "{health}")?;
        }
        Command::Explain(args) => {
            let explanation = cli::explain::run(&args)?;
            write!(out, "{}", explanation.text)?;
            if !explanation.allowed {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Policy(mut args) => match args.command.take() {
            Some(command) => {
                telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
                let text = runtime(Some(1))?.block_on(cli::policy::run_people(command))?;
                write!(out, "{text}")?;
            }
            None => write!(out, "{}", cli::policy::run(&args)?)?,
        },
        Command::Join(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            write!(out, "{}", runtime(Some(1))?.block_on(cli::join::run(args))?)?;
        }
        Command::State(command) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            write!(
                out,
                "{}",
                runtime(Some(1))?.block_on(cli::state::run(command))?
            )?;
        }
        Command::User(command) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            write!(
                out,
                "{}",
                runtime(Some(1))?.block_on(cli::user::run(command))?
            )?;
        }
        Command::Ps(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            let mut ps = cli::ps::Ps::new(args)?;
            let runtime = runtime(Some(1))?;
            let clears = ps.clears();
            while let Some(look) = runtime.block_on(ps.next())? {
                let clear = if clears { "\x1b[H\x1b[2J" } else { "" };
                write!(out, "{clear}{}", look.text)?;
                out.flush()?;
                if let Some(missing) = &look.missing {
                    tracing::warn!("without nodes that did not answer: {missing}");
                }
            }
        }
        Command::Schema => write!(out, "{SCHEMA}")?,
        Command::Sign(args) => write!(out, "{}", cli::sign::run(args)?)?,
        Command::Secret => writeln!(out, "{}", Secret::generate()?)?,
        Command::Cert(command) => write!(out, "{}", cli::cert::run(command)?)?,
        Command::Whoami(args) => {
            telemetry::init(LogFormat::Text, LevelFilter::Warn)?;
            let said = runtime(Some(1))?.block_on(cli::whoami::run(args))?;
            write!(out, "{said}")?;
        }
        Command::Ca(args) => {
            let generation = access::generation(&args.secret.secret_file)?;
            if args.audience {
                writeln!(out, "{}", generation.audience())?;
            } else {
                write!(out, "{}", generation.ca_pem())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the agent. `given` are variables that the arguments stand for.
fn serve(args: &ConfigArgs, given: &[(String, String)]) -> anyhow::Result<ExitCode> {
    platform::forbid_new_privileges();
    let (config, notes) = load(args, given)?;
    telemetry::init(config.log.format, config.log.level)?;
    for note in notes {
        tracing::warn!("{note}");
    }
    let threads = config.threads.map(usize::from);
    runtime(threads)?.block_on(cli::serve::run(config))?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration, with notes for the log. Without a file, it comes from the
/// environment variables of Portainer's agent and of other socket proxies; those that
/// are `given` as arguments take the place of the same in the environment.
fn load(args: &ConfigArgs, given: &[(String, String)]) -> anyhow::Result<(Config, Vec<String>)> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(path) = &args.config else {
        let FromEnvironment {
            mut config,
            mut notes,
        } = portainer_env::read(variable)?;
        let is_given = |name: &str| given.iter().any(|(own, _)| is_one_of(name, own));
        let variables = std::env::vars().filter(|(name, _)| !is_given(name));
        let variables: Vec<_> = variables.chain(given.iter().cloned()).collect();
        let pairs = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        if Path::new(DEFAULT_SECRET_FILE).exists() {
            config.cluster.secret_files = vec![DEFAULT_SECRET_FILE.into()];
        }
        notes.extend(environment::add(&mut config, pairs.clone())?);
        notes.extend(wollomatic::add(&mut config, pairs)?);
        let has_folder = |socket: &Socket| socket.path == Path::new(environment::SOCKET);
        if config.sockets.iter().any(has_folder)
            && let Err(e) = std::fs::create_dir_all(environment::FOLDER)
        {
            // The container may be read-only; its clients then use the port.
            notes.push(format!("{} is missing: {e}", environment::SOCKET));
            config.sockets.retain(|socket| !has_folder(socket));
        }
        return Ok((config, notes));
    };
    let config = Config::load(Some(path))?;
    let ignored = portainer_env::ignored_for_a_file(variable);
    let notes = if ignored.is_empty() {
        Vec::new()
    } else {
        let ignored = ignored.join(", ");
        vec![format!(
            "a configuration file is in use; ignoring {ignored}"
        )]
    };
    Ok((config, notes))
}

fn runtime(threads: Option<usize>) -> io::Result<tokio::runtime::Runtime> {
    // The single-threaded scheduler is faster for one worker.
    let mut builder = match threads {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}
