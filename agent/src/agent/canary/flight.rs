//! The canary's connection itself: from this process to this process.

use std::{fs, io, net::Ipv4Addr, path::Path, time::Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{ANSWERED, Canary, PATIENCE, SENT};
use crate::{
    agent::Shared,
    discover::{mount::Hierarchy, process},
    kernel::detached_links,
};

/// Where canaries land, kept for the agent's life.
pub(in crate::agent) struct Nest {
    listener: TcpListener,
    port: u16,
}

// === impl Nest ===

impl Nest {
    /// A place on loopback.
    ///
    /// # Errors
    ///
    /// If there is no loopback.
    pub(in crate::agent) async fn build() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    pub(in crate::agent) const fn port(&self) -> u16 {
        self.port
    }

    /// There and back; `took_off` is called with the client's port while the connection is open,
    /// because its record may be read as soon as it is not.
    async fn flight(&self, took_off: impl FnOnce(u16)) -> io::Result<()> {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let from = client.local_addr()?;
        took_off(from.port());
        let mut server = loop {
            match self.listener.accept().await? {
                (server, address) if address == from => break server,
                // A stranger, who finds nobody here.
                _ => {}
            }
        };
        client.write_all(&[0; SENT]).await?;
        client.shutdown().await?;
        server.read_exact(&mut [0; SENT]).await?;
        server.write_all(&[0; ANSWERED]).await?;
        server.shutdown().await?;
        client.read_exact(&mut [0; ANSWERED]).await.map(drop)
    }
}

/// Sends one canary after the other, for as long as it is polled. Where the agent is not among
/// those it watches there can be none.
pub(in crate::agent) async fn fly(shared: Shared, nest: Nest, hierarchy: Hierarchy) {
    let Some(every) = shared.lock().canary().map(|(canary, _)| canary.interval) else { return };
    let mut runs = interval(every);
    runs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = runs.tick() => run(&shared, &nest, &hierarchy).await,
            // Strangers must not fill the queue in which a canary waits. An error leaves the
            // branch until the next tick.
            Ok(_) = nest.listener.accept() => {}
        }
    }
}

async fn run(shared: &Shared, nest: &Nest, hierarchy: &Hierarchy) {
    if !begin(shared, hierarchy) {
        return;
    }
    let took_off = |from| with(shared, |canary| canary.took_off(from));
    let result = timeout(PATIENCE, nest.flight(took_off)).await;
    if let Err(error) = result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        with(shared, |canary| canary.not_sent(format!("it could not be sent: {error}")));
    }
}

fn begin(shared: &Shared, hierarchy: &Hierarchy) -> bool {
    let (is_inside, detached) = (is_inside(hierarchy), detached_links());
    let mut state = shared.lock();
    let Some((canary, kernel)) = state.canary() else { return false };
    canary.note_detached(detached);
    let begun = if is_inside {
        canary.begin(kernel, Instant::now())
    } else {
        let obstacle = format!("the agent runs outside {}", hierarchy.attach.display());
        canary.give_up(obstacle, kernel, Instant::now()).map(|()| false)
    };
    begun.unwrap_or_else(|error| {
        canary.not_sent(format!("it could not be asked for: {error}"));
        false
    })
}

fn with(shared: &Shared, change: impl FnOnce(&mut Canary)) {
    if let Some((canary, _)) = shared.lock().canary() {
        change(canary);
    }
}

/// Whether this process is at or below the cgroup that is watched.
fn is_inside(hierarchy: &Hierarchy) -> bool {
    let Some(process) = process::read(std::process::id()) else { return false };
    let own = process.cgroups.unified.unwrap_or_default();
    let folder = hierarchy.root.join(own.trim_start_matches('/'));
    let plain = |path: &Path| fs::canonicalize(path).ok();
    match (plain(&folder), plain(&hierarchy.attach)) {
        (Some(folder), Some(attach)) => folder.starts_with(attach),
        _ => false,
    }
}
