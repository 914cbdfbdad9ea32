//! The command `plainsight`: understands what was typed, runs it, and says how it went.
//!
//! The exit status is 0 where all is well, 1 where something was found that was asked for, 2 where
//! the command itself failed.

use std::{
    env,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use plainsight::{
    agent,
    cli::{
        Cli, Command, DoctorArgs, ExplainArgs, FindingsArgs, LogFormat, MapArgs, ObserveArgs,
        Output, ReplayArgs, ReplayOutput, RunArgs, ScanArgs,
    },
    client::{Client, NoAgent},
    config::{self, Config, KernelConfig, ScanConfig},
    doctor::{self, Outcome, Report},
    replay::{self, FileError, Replayed, flows, labels},
    serve::Snapshot,
    view::{self, Style},
};
use plainsight_core::{escape, identity::explain::Explanation};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

const FOUND: u8 = 1;
const ERROR: u8 = 2;

fn main() -> ExitCode {
    // Usage errors are clap's to print; it ends with 2 for them, and with 0 for --help.
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(status) => status,
        Err(error) if error.is::<view::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the names in it are.
            eprintln!("plainsight: {}", escape::terminal(&format!("{error:#}")));
            ExitCode::from(ERROR)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run_agent(args),
        Command::Scan(args) => scan(args),
        Command::Observe(args) => client_runtime()?.block_on(observe(args)),
        Command::Map(args) => client_runtime()?.block_on(map(args)),
        Command::Findings(args) => client_runtime()?.block_on(findings(args)),
        Command::Explain(args) => client_runtime()?.block_on(explain(args)),
        Command::Replay(args) => replay(&args),
        Command::Doctor(args) => client_runtime()?.block_on(diagnose(args)),
        Command::Version => {
            view::print(concat!("plainsight ", env!("CARGO_PKG_VERSION"), "\n"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_agent(args: RunArgs) -> anyhow::Result<ExitCode> {
    let config = Config::new(args)?;
    start_log(config.log_format, "info")?;
    check_host(&config.kernel)?;
    agent_runtime()?.block_on(async { agent::run(config, shutdown()?).await })?;
    Ok(ExitCode::SUCCESS)
}

fn scan(args: ScanArgs) -> anyhow::Result<ExitCode> {
    let output = args.output;
    let config = ScanConfig::new(args)?;
    start_log(LogFormat::Text, "warn")?;
    check_host(&config.kernel)?;
    let unseen = doctor::surroundings(&config.kernel);
    let mut found = agent_runtime()?.block_on(async { agent::scan(config, shutdown()?).await })?;
    let unseen = unseen.into_iter().filter(|check| check.outcome == Outcome::Warning);
    found.not_seen = unseen.map(|check| check.found).collect();
    view::print(&match output {
        Output::Text => view::scan::text(&found, Style::of_stdout()),
        Output::Json => serde_json::to_string(&found)? + "\n",
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn observe(args: ObserveArgs) -> anyhow::Result<ExitCode> {
    let filter = config::filter(&args)?;
    let mut lines = Client::new(&args.agent.api)?.follow(&filter).await?;
    let style = Style::of_stdout();
    let shutdown = shutdown()?;
    tokio::pin!(shutdown);
    loop {
        let line = tokio::select! {
            line = lines.line() => line?,
            () = &mut shutdown => return Ok(ExitCode::SUCCESS),
        };
        let Some(line) = line else { return Ok(ExitCode::SUCCESS) };
        view::print(&match args.output {
            Output::Text => view::flow::text(&line, style)?,
            Output::Json => line + "\n",
        })?;
    }
}

async fn map(args: MapArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.agent.api)?;
    view::print(&match args.output {
        Output::Text => view::map::text(&client.edges().await?, Style::of_stdout()),
        Output::Json => client.edges_json().await? + "\n",
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn findings(args: FindingsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.agent.api)?;
    let text = client.findings_json().await?;
    let report = client.findings(&text)?;
    view::print(&match args.output {
        Output::Text => view::findings::text(&report, Style::of_stdout()),
        Output::Json => text + "\n",
    })?;
    Ok(match args.fail_on {
        Some(severity) if report.worst_pending().is_some_and(|worst| worst <= severity) => {
            ExitCode::from(FOUND)
        }
        _ => ExitCode::SUCCESS,
    })
}

/// With status 1 where nothing is known.
async fn explain(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.agent.api)?;
    let text = client.explain_json(&args.subject.to_string()).await?;
    let explanation: Explanation = serde_json::from_str(&text)
        .context("the answer explains nothing: is it another version's agent?")?;
    view::print(&match args.output {
        Output::Text => view::explain::text(&explanation, Style::of_stdout()),
        Output::Json => text + "\n",
    })?;
    Ok(if explanation.workload.is_some() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let path = args.path.as_path();
    let files = replay::files(path).with_context(|| format!("{}", path.display()))?;
    let is_folder = path.is_dir();
    let mut status = ExitCode::SUCCESS;
    let mut map = replay::map::Map::default();
    if args.output == ReplayOutput::Labels {
        view::print(labels::HEADER)?;
    }
    for (name, file) in files {
        let replayed = replay::replay(name, &file);
        match args.output {
            ReplayOutput::Flows => view::print(&flows::lines(&replayed)?)?,
            ReplayOutput::Labels => view::print(&labels::lines(&replayed))?,
            ReplayOutput::Map | ReplayOutput::Edges | ReplayOutput::Findings => map.add(&replayed),
        }
        if !complain(&replayed, is_folder) {
            status = ExitCode::from(ERROR);
        }
    }
    match args.output {
        ReplayOutput::Flows | ReplayOutput::Labels => {}
        ReplayOutput::Map => {
            view::print(&view::map::text(&snapshot(map), Style::of_stdout()))?;
        }
        ReplayOutput::Edges => view::print(&(serde_json::to_string(&snapshot(map))? + "\n"))?,
        ReplayOutput::Findings => {
            view::print(&view::findings::text(&map.report(), Style::of_stdout()))?;
        }
    }
    Ok(status)
}

/// The map of captures as an agent gives it, as of their last frame.
fn snapshot(map: replay::map::Map) -> Snapshot {
    let (taken_at, complete) = (map.last(), map.is_complete());
    let refused = map.refused().iter().map(|(why, n)| (why.name().to_owned(), *n)).collect();
    Snapshot {
        edges: map.edges(),
        complete,
        lost: [("replay".to_owned(), refused)].into(),
        taken_at,
    }
}

/// Says on stderr what of a capture was not read; whether it was read to its end.
fn complain(replayed: &Replayed, is_folder: bool) -> bool {
    let name = escape::terminal(&replayed.name);
    for (why, n) in &replayed.refused {
        eprintln!("plainsight: {name}: {n} {}", why.words());
    }
    match &replayed.error {
        None => true,
        // A folder holds other files, too.
        Some(FileError::Foreign) if is_folder => true,
        Some(error) => {
            eprintln!("plainsight: {name}: {}", escape::terminal(&error.to_string()));
            false
        }
    }
}

async fn diagnose(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = KernelConfig::new(args.kernel)?;
    let mut report = Report { checks: doctor::preflight(&config), maps: Vec::new() };
    report.checks.extend(doctor::surroundings(&config));
    if args.preflight {
        report.checks.push(doctor::planned(&config));
    } else {
        ask_agent(&args.agent.api, &config, &mut report).await?;
    }
    view::print(&match args.output {
        Output::Text => view::doctor::text(&report.checks, Style::of_stdout()),
        Output::Json => serde_json::to_string(&report)? + "\n",
    })?;
    Ok(match doctor::worst(&report.checks) {
        Outcome::Failed => ExitCode::from(FOUND),
        Outcome::Ok | Outcome::Warning => ExitCode::SUCCESS,
    })
}

/// An agent that does not run is nothing wrong with the host.
async fn ask_agent(api: &str, config: &KernelConfig, report: &mut Report) -> anyhow::Result<()> {
    let client = Client::new(api)?;
    match client.metrics().await {
        Ok(metrics) => {
            let (is_good, text) = client.health().await?;
            report.checks.push(doctor::health(is_good, &text));
            report.checks.extend(doctor::agent(&metrics));
            report.maps = doctor::maps(&metrics);
        }
        Err(error) => {
            let none_runs = error.is::<NoAgent>();
            report.checks.push(doctor::no_answer(none_runs, &format!("{error:#}")));
            report.checks.push(doctor::planned(config));
        }
    }
    Ok(())
}

/// What is missing is named before anything is touched; what is only unusual is logged.
fn check_host(config: &KernelConfig) -> anyhow::Result<()> {
    let checks = doctor::preflight(config);
    doctor::refuse_failures(&checks)?;
    for check in checks.iter().filter(|check| check.outcome == Outcome::Warning) {
        tracing::info!("{}", doctor::sentence(check));
    }
    Ok(())
}

/// Two threads, so that the ring is still emptied while one of them writes a long answer. Idle
/// threads are parked and cost nothing.
fn agent_runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no threads could be started")
}

fn client_runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("no event loop could be set up")
}

/// Ends at the first SIGTERM or SIGINT. Listening starts at once, not when it is first waited for.
fn shutdown() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Logs to stderr what PLAINSIGHT_LOG asks for, or RUST_LOG, or `default`.
fn start_log(format: LogFormat, default: &str) -> anyhow::Result<()> {
    let asked = ["PLAINSIGHT_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()).map(|v| (name, v)));
    let filter = match asked {
        Some((name, value)) => EnvFilter::try_new(&value)
            .with_context(|| format!("{name}={value}: write a level, as in info or debug"))?,
        None => EnvFilter::new(default),
    };
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
