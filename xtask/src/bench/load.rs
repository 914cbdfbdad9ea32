//! The load: one process of one thread that is both ends of its connections.
//!
//! On loopback the kernel works for both ends in that thread, so the thread's processor time is
//! all that an operation costs, whatever else the machine does meanwhile.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::cgroup;
use crate::process;

#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    kind: Kind,
    operations: u32,
    group: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Connect, send 64 bytes, receive 64 bytes, close.
    Connections,
    /// Send 64 bytes, receive 64 bytes, on one connection.
    Requests,
}

/// Operations before the measured ones, which fill caches and settle the connection.
pub(crate) const WARM_UP: u32 = 500;

// === impl Kind ===

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
        }
    }
}

/// Runs the load in a process of its own inside `group`; returns nanoseconds per operation.
pub(crate) fn measure(kind: Kind, operations: u32, group: &Path) -> anyhow::Result<f64> {
    let own = env::current_exe().context("xtask does not know its own path")?;
    let mut command = Command::new(own);
    command.args(["bench-load", kind.name(), &operations.to_string()]).arg(group);
    let output = process::output(&mut command)?;
    output.trim().parse().with_context(|| format!("the load said `{output}`"))
}

/// The load's own process: enters the group, works, prints nanoseconds per operation.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    cgroup::enter(&arguments.group)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let nanoseconds = match arguments.kind {
        Kind::Connections => timed(arguments.operations, || {
            let (mut client, mut server) = connect(&listener)?;
            exchange(&mut client, &mut server)
        })?,
        Kind::Requests => {
            let (mut client, mut server) = connect(&listener)?;
            timed(arguments.operations, || exchange(&mut client, &mut server))?
        }
    };
    process::say(&format!("{nanoseconds:.1}"));
    Ok(())
}

fn timed(
    operations: u32,
    mut operation: impl FnMut() -> std::io::Result<()>,
) -> anyhow::Result<f64> {
    for _ in 0..WARM_UP {
        operation()?;
    }
    let before = processor_time()?;
    for _ in 0..operations {
        operation()?;
    }
    // Exact for any measurement shorter than a hundred days.
    Ok((processor_time()? - before) as f64 / f64::from(operations.max(1)))
}

fn connect(listener: &TcpListener) -> std::io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

fn exchange(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = [b'x'; 64];
    client.write_all(&bytes)?;
    server.read_exact(&mut bytes)?;
    server.write_all(&bytes)?;
    client.read_exact(&mut bytes)
}

/// Nanoseconds this thread has run.
fn processor_time() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("no schedstat")?;
    let first = text.split_whitespace().next().and_then(|number| number.parse().ok());
    first.with_context(|| format!("schedstat says `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_served_by_one_thread() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (mut client, mut server) = connect(&listener).unwrap();
        let nanoseconds = timed(3, || exchange(&mut client, &mut server)).unwrap();
        assert!(nanoseconds >= 0.0);
    }
}
