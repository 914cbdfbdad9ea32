//! The command line: what can be typed. What it amounts to is decided in [`crate::config`].
//!
//! Nothing here has a default of its own, apart from the client commands' address of the agent:
//! a value that was not typed must be told from one that was, since the file comes in between.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use plainsight_core::{
    finding::Severity,
    identity::explain::Subject,
    protocol::{Security, Transport},
    record::Decision,
};
use serde::Deserialize;

use crate::serve::{api, filter};

/// Maps who talks to whom on a Linux host, and shows what is not protected on the way.
#[derive(Debug, Parser)]
#[command(name = "plainsight", version, max_term_width = 100, subcommand_required = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent: watch this host and serve what it sees over HTTP.
    Run(RunArgs),
    /// Watch this host for a while without an agent, print one screen, leave nothing behind.
    Scan(ScanArgs),
    /// Follow the connections that a running agent sees end, one line each.
    Observe(ObserveArgs),
    /// Show who talks to whom, as a running agent has seen it.
    Map(MapArgs),
    /// Show what is wrong with the hops that a running agent has seen, and what to do about it.
    Findings(FindingsArgs),
    /// Show how the name of an address, a process or a cgroup comes about.
    Explain(ExplainArgs),
    /// Say what was spoken in capture files, and how it was protected.
    Replay(ReplayArgs),
    /// Check what the agent needs on this host, and how a running agent is doing.
    Doctor(DoctorArgs),
    /// Print the version.
    Version,
}

/// `run`.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Settings file (YAML); its keys are the names of these flags.
    #[arg(long, value_name = "FILE", env = "PLAINSIGHT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address to serve on; loopback only [default: 127.0.0.1:9477].
    #[arg(long, value_name = "ADDRESS:PORT", env = "PLAINSIGHT_LISTEN")]
    pub listen: Option<std::net::SocketAddr>,
    /// What to watch and how much to keep.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How log lines are written to stderr [default: text].
    #[arg(long, value_name = "FORMAT", env = "PLAINSIGHT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Name of the cluster or site this host belongs to, added to each of its workloads [default: the
    /// host's own name].
    #[arg(long, value_name = "NAME", env = "PLAINSIGHT_CLUSTER")]
    pub cluster: Option<String>,
    /// File with names for networks (YAML): a list of cidr, name and owner. Read again when it changes.
    #[arg(long, value_name = "FILE", env = "PLAINSIGHT_NAMES")]
    pub names: Option<PathBuf>,
    /// Folder in which findings are kept from one run to the next [default: none].
    #[arg(long, value_name = "PATH", env = "PLAINSIGHT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Whether clients without a certificate of their own are findings.
    #[arg(long, env = "PLAINSIGHT_ONE_WAY")]
    pub one_way: bool,
    /// What is known of links that this host cannot judge: a list in YAML [default: none].
    #[arg(long, value_name = "FILE", env = "PLAINSIGHT_LINKS")]
    pub links: Option<PathBuf>,
    /// How often the agent checks itself by a connection of its own [default: 10s].
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        hide = true,
        env = "PLAINSIGHT_CANARY_INTERVAL"
    )]
    pub canary_interval: Option<Duration>,
    /// How often what the programs saw is compared with the kernel's list of sockets [default: 60s].
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        hide = true,
        env = "PLAINSIGHT_COMPARE_INTERVAL"
    )]
    pub compare_interval: Option<Duration>,
}

/// What `run` and `scan` ask of the kernel.
#[derive(Clone, Debug, Default, Args)]
pub struct KernelArgs {
    /// Watch only this cgroup and those below it [default: the root of the cgroup2 hierarchy].
    #[arg(long, value_name = "PATH", env = "PLAINSIGHT_CGROUP")]
    pub cgroup: Option<PathBuf>,
    /// How many edges the kernel has room for [default: 131072].
    #[arg(long, value_name = "N", env = "PLAINSIGHT_MAX_EDGES")]
    pub max_edges: Option<u32>,
    /// How many edges one cgroup may have before they are folded into one; 0 for no bound
    /// [default: an eighth of --max-edges].
    #[arg(long, value_name = "N", env = "PLAINSIGHT_EDGE_QUOTA")]
    pub edge_quota: Option<u32>,
    /// How long an edge without connections stays on the map [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "PLAINSIGHT_EDGE_IDLE")]
    pub edge_idle: Option<Duration>,
    /// Size of the ring for events, a power of two [default: 1048576].
    #[arg(long, value_name = "BYTES", env = "PLAINSIGHT_RING_BYTES")]
    pub ring_bytes: Option<u32>,
}

/// `scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// How long to watch, for example 60s or 5m.
    #[arg(
        long = "for",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = duration,
        env = "PLAINSIGHT_FOR"
    )]
    pub duration: Duration,
    /// What to watch and how much to keep.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Whether clients without a certificate of their own are findings.
    #[arg(long, env = "PLAINSIGHT_ONE_WAY")]
    pub one_way: bool,
    /// What is known of links that this host cannot judge: a list in YAML [default: none].
    #[arg(long, value_name = "FILE", env = "PLAINSIGHT_LINKS")]
    pub links: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "PLAINSIGHT_OUTPUT")]
    pub output: Output,
}

/// `observe`. The filters are applied in the kernel: what does not fit costs nothing.
///
/// Their variables name the command, because a Kubernetes service called `plainsight` would set
/// `PLAINSIGHT_PORT` in every container beside it.
#[derive(Debug, Args)]
pub struct ObserveArgs {
    /// Where the agent answers.
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Only connections to this port of the server.
    #[arg(
        long,
        value_name = "PORT",
        value_parser = clap::value_parser!(u16).range(1..),
        env = "PLAINSIGHT_OBSERVE_PORT"
    )]
    pub port: Option<u16>,
    /// Only connections with an end in this network.
    #[arg(
        long,
        value_name = "NETWORK",
        value_parser = filter::network,
        env = "PLAINSIGHT_OBSERVE_CIDR"
    )]
    pub cidr: Option<IpNet>,
    /// Only connections with an end in this workload of the agent's host.
    #[arg(long, value_name = "NAME", env = "PLAINSIGHT_OBSERVE_WORKLOAD")]
    pub workload: Option<String>,
    /// Only connections over this transport: tcp or udp.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = filter::transport,
        env = "PLAINSIGHT_OBSERVE_TRANSPORT"
    )]
    pub transport: Option<Transport>,
    /// Only connections that the policy judges so: allowed, denied or would_deny.
    #[arg(
        long,
        value_name = "DECISION",
        value_parser = filter::verdict,
        env = "PLAINSIGHT_OBSERVE_VERDICT"
    )]
    pub verdict: Option<Decision>,
    /// Only connections protected by one of these: none, tls, dtls, quic, ssh, wireguard, ipsec,
    /// openvpn, unknown.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = filter::security,
        env = "PLAINSIGHT_OBSERVE_SECURITY"
    )]
    pub security: Vec<Security>,
    /// Only connections whose payload is known to be in the clear.
    #[arg(long, env = "PLAINSIGHT_OBSERVE_PLAINTEXT")]
    pub plaintext: bool,
    /// Only connections that lasted so long, for example 250ms or 5s.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = filter::duration,
        env = "PLAINSIGHT_OBSERVE_MIN_DURATION"
    )]
    pub min_duration: Option<Duration>,
    /// Only connections that carried so many payload bytes in both directions together.
    #[arg(long, value_name = "BYTES", env = "PLAINSIGHT_OBSERVE_MIN_BYTES")]
    pub min_bytes: Option<u64>,
    /// Only one connection of so many, by chance.
    #[arg(long, value_name = "N", env = "PLAINSIGHT_OBSERVE_SAMPLE")]
    pub sample: Option<NonZeroU32>,
    /// How to print: lines for people, or each record as JSON.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "PLAINSIGHT_OUTPUT")]
    pub output: Output,
}

/// `map`.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// Where the agent answers.
    #[command(flatten)]
    pub agent: AgentArgs,
    /// How to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "PLAINSIGHT_OUTPUT")]
    pub output: Output,
}

/// `findings`.
#[derive(Debug, Args)]
pub struct FindingsArgs {
    /// Where the agent answers.
    #[command(flatten)]
    pub agent: AgentArgs,
    /// End with status 1 where a finding is at least as severe as this, and neither fixed nor
    /// accepted: critical, high, medium, low or info.
    #[arg(long, value_name = "SEVERITY", value_parser = severity, env = "PLAINSIGHT_FAIL_ON")]
    pub fail_on: Option<Severity>,
    /// How to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "PLAINSIGHT_OUTPUT")]
    pub output: Output,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// An address, the id of a process, or a cgroup: its path, or cgroup/ID.
    #[arg(value_name = "ADDR|PID|CGROUP", value_parser = subject)]
    pub subject: Subject,
    /// Where the agent answers.
    #[command(flatten)]
    pub agent: AgentArgs,
    /// How to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "PLAINSIGHT_OUTPUT")]
    pub output: Output,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A capture (pcap or pcapng), or a folder of them.
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// What to print.
    #[arg(
        short,
        long,
        value_name = "WHAT",
        default_value = "flows",
        env = "PLAINSIGHT_REPLAY_OUTPUT"
    )]
    pub output: ReplayOutput,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Where the agent answers.
    #[command(flatten)]
    pub agent: AgentArgs,
    /// What would be watched and kept.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Check the host only, and ask no agent.
    #[arg(long, env = "PLAINSIGHT_PREFLIGHT")]
    pub preflight: bool,
    /// How to print.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "PLAINSIGHT_OUTPUT")]
    pub output: Output,
}

/// Where a running agent answers.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Address of the running agent.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9477",
        env = "PLAINSIGHT_API"
    )]
    pub api: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned, for people.
    Text,
    /// As the API gives it.
    Json,
}

fn subject(text: &str) -> Result<Subject, String> {
    Subject::parse(text).ok_or_else(|| api::SUBJECTS.to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_name(text).ok_or_else(|| {
        let names = Severity::ALL.map(Severity::name);
        format!("write one of {}", names.join(", "))
    })
}

/// What is printed of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayOutput {
    /// Each stream as JSON.
    Flows,
    /// Who talks to whom, for people.
    Map,
    /// The same as JSON, as the API gives it.
    Edges,
    /// What is wrong with it, for people.
    Findings,
    /// Each stream as tab-separated values, with capture names relative to the folder.
    Labels,
}

/// A duration with its unit, of at least one second.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number with its unit, as in 60s or 5m"))?;
    if duration < Duration::from_secs(1) {
        return Err("shorter than one second, the time between two looks; write 1s or more".into());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments().filter(|flag| flag.get_long().is_some()) {
                let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or("none");
                assert!(
                    variable.starts_with("PLAINSIGHT_"),
                    "{} --{}: {variable}",
                    command.get_name(),
                    flag.get_id()
                );
            }
        }
    }

    #[test]
    fn no_variable_is_one_that_kubernetes_sets() {
        // What a service named `plainsight` brings into the environment of its neighbours.
        let set = ["PLAINSIGHT_PORT", "PLAINSIGHT_SERVICE_HOST", "PLAINSIGHT_SERVICE_PORT"];
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments() {
                let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(!set.contains(&variable), "{}", flag.get_id());
            }
        }
    }

    #[test]
    fn durations_have_units() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(duration(text).ok(), expect.map(Duration::from_secs), "{text}");
        };
        check("60s", Some(60));
        check("5m", Some(300));
        check("1h 30m", Some(5400));
        check("60", None);
        check("10ms", None);
        check("0s", None);
    }

    #[test]
    fn networks_are_truncated_and_addresses_taken() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(
                filter::network(text).ok().map(|net| net.to_string()).as_deref(),
                expect,
                "{text}"
            );
        };
        check("10.1.2.3/8", Some("10.0.0.0/8"));
        check("192.0.2.7", Some("192.0.2.7/32"));
        check("2001:db8::/32", Some("2001:db8::/32"));
        check("10.0.0.0/33", None);
        check("example.org", None);
    }

    #[test]
    fn commands_take_their_flags() {
        let Ok(Command::Scan(scan)) = parse("plainsight scan --for 10s -o json --cgroup /x") else {
            panic!("scan was not understood");
        };
        assert_eq!((scan.duration, scan.output), (Duration::from_secs(10), Output::Json));
        assert_eq!(scan.kernel.cgroup, Some("/x".into()));
        let Ok(Command::Observe(observe)) = parse("plainsight observe --port 8080") else {
            panic!("observe was not understood");
        };
        assert_eq!((observe.port, observe.output), (Some(8080), Output::Text));
        assert_eq!(observe.agent.api, "http://127.0.0.1:9477");
    }

    #[test]
    fn observe_takes_every_filter() {
        let line = "plainsight observe --transport udp --verdict denied --security none,quic \
                    --plaintext --min-duration 250ms --min-bytes 1024 --sample 100";
        let Ok(Command::Observe(observe)) = parse(line) else {
            panic!("observe was not understood");
        };
        assert_eq!(
            (observe.transport, observe.verdict),
            (Some(Transport::Udp), Some(Decision::Denied))
        );
        assert_eq!(
            (observe.security, observe.plaintext),
            (vec![Security::None, Security::Quic], true)
        );
        assert_eq!(observe.min_duration, Some(Duration::from_millis(250)));
        assert_eq!((observe.min_bytes, observe.sample), (Some(1024), NonZeroU32::new(100)));
    }

    #[test]
    fn usage_errors_end_with_status_two() {
        for line in [
            "plainsight",
            "plainsight fly",
            "plainsight observe --port 0",
            "plainsight observe --transport sctp",
            "plainsight observe --security tls,ssl",
            "plainsight observe --verdict perhaps",
            "plainsight observe --min-duration 5",
            "plainsight observe --sample 0",
            "plainsight findings --fail-on grave",
            "plainsight explain",
            "plainsight explain nginx",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
