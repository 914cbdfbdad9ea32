//! The agent under measurement: started on the load's control group, stopped in order.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::cgroup::{self, Groups};
use crate::process;

const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Agent {
    child: Child,
}

// === impl Agent ===

impl Agent {
    /// Starts the agent and waits until it says that it is ready.
    pub(crate) fn start(binary: &Path, groups: &Groups, log: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let log_file =
            File::create(log).with_context(|| format!("could not write {}", log.display()))?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--cgroup").arg(groups.load());
        command.arg("--listen").arg(address.to_string());
        command.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
        let child = command.spawn().context("could not start the agent")?;
        let mut agent = Self { child };
        cgroup::place(agent.pid(), groups.agent())?;
        let deadline = Instant::now() + READY_WITHIN;
        while !is_ready(address) {
            if agent.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("the agent did not become ready: see {}", log.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(agent)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the agent to end and waits for it, so that its programs are out of the kernel.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        process::run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the agent did not stop within {}s", STOPPED_WITHIN.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // After an error only; both fail when the agent has ended, as it then has.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: the agent is told a number, not a socket.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

fn is_ready(address: SocketAddr) -> bool {
    status_line(address).is_ok_and(|line| line.starts_with("HTTP/1.1 200"))
}

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // The agent answers only requests that name it as their host.
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}
