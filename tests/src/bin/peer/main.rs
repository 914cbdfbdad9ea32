//! The tests' own servers and clients: each does exactly what it is told, and says what it counted.
//!
//! Output is one JSON object a line: where it listens, that it waits for a line on its input, and
//! at the end a tally. Flags are `--name value`.
//!
//! * `serve --listen ADDRESS --connections N --steps STEPS [--reuse-port yes] [--until told]
//!   [--fast-open N] [--defer-accept SECONDS] [--hand-to NAME] [--mptcp yes]`
//! * `take --as NAME --connections N --steps STEPS`: connections that another process accepted
//! * `connect --to ADDRESS --connections N --steps STEPS [--ports N] [--from IP [--from-port N]]
//!   [--parallel yes] [--syn-retries N] [--abandon yes] [--fast-open N]
//!   [--fast-open-connect yes] [--mptcp yes] [--rate N]`
//! * `swarm --to ADDRESS --processes N --names NAME,NAME --steps STEPS [--programs FOLDER]`: a
//!   process for each connection; with a folder each is a program of that name in it
//! * `hold --to ADDRESS --connections N [--say N]` and `hold --listen ADDRESS --connections N
//!   [--say N]`: all at once, until a line comes
//! * `meet --from ADDRESS --to ADDRESS --steps STEPS`: one of two ends that both connect
//! * `full --listen ADDRESS`: a listener that answers no SYN, until its input ends
//! * `udp-echo --listen ADDRESS --datagrams N [--say WORDS] [--gather yes]`
//! * `udp-ask --to ADDRESS,ADDRESS --datagrams N (--bytes N [--segment N] | --say WORDS)
//!   [--answers N] [--connected yes]`: with one socket, to each of the servers
//! * `udp-tell --from ADDRESS --to ADDRESS --datagrams N (--bytes N | --say WORDS)`
//! * `udp-hear --listen ADDRESS --group IP --interface IP --datagrams N`

mod client;
mod datagram;
mod flags;
mod full;
mod handover;
mod hold;
mod inherit;
mod listener;
mod meet;
mod option;
mod phrase;
mod position;
mod server;
mod step;
mod swarm;
mod tally;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use flags::Flags;

/// A peer that is still there after this many seconds ends itself.
const LIMIT_SECONDS: u32 = 600;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    nix::unistd::alarm::set(LIMIT_SECONDS);
    let (command, flags) = Flags::read(std::env::args().skip(1))?;
    if let Some(name) = flags.text("name") {
        take_name(name)?;
    }
    match command.as_str() {
        "serve" => server::run(&flags),
        "take" => handover::take(&flags),
        "connect" => client::run(&flags),
        "swarm" => swarm::run(&flags),
        "hold" => hold::run(&flags),
        "meet" => meet::run(&flags),
        "full" => full::run(&flags),
        "udp-echo" => datagram::echo(&flags),
        "udp-ask" => datagram::ask(&flags),
        "udp-tell" => datagram::tell(&flags),
        "udp-hear" => datagram::hear(&flags),
        other => bail!("there is no command {other}"),
    }
}

/// The kernel cuts a name at 15 bytes, which would make two of one.
fn take_name(name: &str) -> anyhow::Result<()> {
    if name.len() > 15 {
        bail!("the name {name} is longer than 15 bytes");
    }
    let name = std::ffi::CString::new(name).context("a name has no NUL")?;
    nix::sys::prctl::set_name(&name).context("the kernel refused the name")
}
