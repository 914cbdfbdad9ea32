//! The agent: one loop over everything that can wake it. The only file, with its parts below, that
//! knows all rooms.

mod follow;
mod servers;
mod state;

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use plainsight_core::flow::Clock;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use crate::{
    config::{Config, KernelConfig, ScanConfig},
    discover::{
        listeners::Found,
        mount::{self, Hierarchy},
        names::Names,
    },
    doctor,
    export::prometheus,
    kernel::{Kernel, Options, Owner},
    serve::{self, FlowFilter, FollowError, Health, Snapshot, Source},
    view::scan::Scan,
};
use state::{Now, State};

/// How often counts are read.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// How often records are fetched while somebody follows them.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// A loop that has not read counts for so long does not work.
const STALLED: Duration = Duration::from_secs(10);

/// How long the kernel may take to let go of everything.
const LEAVE: Duration = Duration::from_secs(2);

/// Most ends on this host that get a name of their own: two for each edge of the default map.
const MOST_NAMES: usize = 262_144;

/// Everything that can wake the loop.
enum Wake {
    Ring,
    Scan,
    Follow,
    Stop,
}

/// The state, shared between the loop and whoever answers.
#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

// === impl Shared ===

impl Shared {
    /// A panic while the lock was held leaves counts that the next scan replaces, so the lock is
    /// taken all the same.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.lock().snapshot()
    }

    fn recent(&self) -> Vec<Bytes> {
        self.lock().recent()
    }

    fn follow(&self, filter: FlowFilter) -> Result<mpsc::Receiver<Bytes>, FollowError> {
        self.lock().follow(filter, Instant::now())
    }

    fn metrics(&self) -> Result<(&'static str, String)> {
        let sample = self.lock().sample();
        Ok((prometheus::CONTENT_TYPE, prometheus::encode(&sample)?))
    }

    fn health(&self) -> Health {
        let age = self.lock().scanned_at().elapsed();
        let alive = age < STALLED;
        let why = if alive { "attached".to_owned() } else { format!("no scan for {age:?}") };
        Health { alive, ready: alive, why }
    }
}

/// Runs until `shutdown`, then leaves the kernel as it was.
///
/// # Errors
///
/// If something is missing that the agent needs, or the kernel refuses an operation.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    // Bound before anything is attached: a second agent fails here and disturbs nothing.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: choose another --listen", config.listen))?;
    let shared = start(&config.kernel, config.cluster)?;
    let (stop, stopped) = oneshot::channel();
    let source = Arc::new(shared.clone());
    let server = tokio::spawn(serve::serve(listener, source, async {
        // The sender is dropped only when the loop is done, which is as good as a message.
        _ = stopped.await;
    }));
    tracing::info!(listen = %config.listen, "attached; serving");
    let result = watch(&shared, shutdown).await;
    _ = stop.send(());
    let served = server.await.context("the server's task panicked")?;
    if leave(shared) == Some(false) {
        tracing::error!("the kernel still holds something of ours after {LEAVE:?}");
    }
    result.and(served.context("the server failed"))
}

/// Watches for a while, and leaves the kernel as it was.
///
/// # Errors
///
/// If something is missing that the agent needs, or the kernel refuses an operation.
pub async fn scan(config: ScanConfig, shutdown: impl Future<Output = ()>) -> Result<Scan> {
    let shared = start(&config.kernel, None)?;
    let started = Instant::now();
    let end = async {
        tokio::select! {
            () = tokio::time::sleep(config.duration) => {}
            () = shutdown => {}
        }
    };
    watch(&shared, end).await?;
    let watched = started.elapsed();
    let snapshot = {
        let mut state = shared.lock();
        state.scan(now()?)?;
        state.snapshot()
    };
    Ok(Scan {
        host: host()?,
        kernel: doctor::kernel_release(),
        duration: watched,
        nothing_left: leave(shared) == Some(true),
        map: Arc::unwrap_or_clone(snapshot),
    })
}

/// Loads and attaches.
fn start(config: &KernelConfig, cluster: Option<String>) -> Result<Shared> {
    let Hierarchy { attach, root } = mount::hierarchy(config.cgroup.as_deref())?;
    let folder = File::open(&attach).with_context(|| format!("opening {}", attach.display()))?;
    let options = Options { max_edges: config.max_edges, ring_bytes: config.ring_bytes };
    let mut kernel = Kernel::load(&options).context("loading the kernel object")?;
    if !kernel.reads_process_names() {
        tracing::warn!(
            "this kernel tells process names only with CAP_PERFMON: without it, workloads that \
             share a cgroup are one"
        );
    }
    kernel.attach(&folder).context("attaching")?;
    name_listeners(&mut kernel, &root);
    let names = Names::new(root, MOST_NAMES, host()?, cluster);
    let mut state = State::new(kernel, names, now()?)?;
    state.scan(now()?)?;
    Ok(Shared(Arc::new(Mutex::new(state))))
}

/// Gives listeners that are older than the programs their identity. After attaching, so that none
/// falls between.
fn name_listeners(kernel: &mut Kernel, cgroups: &Path) {
    let found = Found::search(cgroups);
    if found.refused > 0 {
        tracing::warn!(
            "{} processes do not let this one look at their sockets (CAP_SYS_PTRACE): servers that \
             were listening already have no process name",
            found.refused
        );
    }
    for listener in &found.listeners {
        let owner = Owner {
            cgroup: listener.cgroup,
            netns: listener.netns,
            tgid: listener.tgid,
            comm: listener.comm,
        };
        if let Err(error) = kernel.identify(listener.socket.as_fd(), &owner) {
            tracing::warn!("a listener of process {} stays without a name: {error}", owner.tgid);
        }
    }
}

/// The loop.
async fn watch(shared: &Shared, shutdown: impl Future<Output = ()>) -> Result<()> {
    let ring = shared.lock().ring().descriptor().context("watching the ring")?;
    // SAFETY: an owned descriptor stays the same open file until it is dropped.
    let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
        .map_err(std::io::Error::from)
        .context("watching the ring")?;
    let mut scans = interval(SCAN_INTERVAL);
    scans.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fetches = interval(FOLLOW_INTERVAL);
    fetches.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(shutdown);
    loop {
        let followed = shared.lock().is_followed();
        let wake = tokio::select! {
            () = &mut shutdown => Wake::Stop,
            ready = ring.readable() => {
                ready.context("watching the ring")?.clear_ready();
                Wake::Ring
            }
            _ = scans.tick() => Wake::Scan,
            _ = fetches.tick(), if followed => Wake::Follow,
        };
        let mut state = shared.lock();
        match wake {
            Wake::Ring | Wake::Follow => state.drain(Instant::now())?,
            Wake::Scan => {
                state.drain(Instant::now())?;
                state.scan(now()?)?;
            }
            Wake::Stop => return Ok(()),
        }
    }
}

/// Takes everything out of the kernel.
fn leave(shared: Shared) -> Option<bool> {
    // A reader too slow for the server's last moment still holds the state; then the end of the
    // process, which is near, takes everything out.
    let state = Arc::into_inner(shared.0)?;
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.into_kernel().leave(LEAVE)
}

fn host() -> Result<String> {
    let name = nix::sys::utsname::uname().context("asking for the host's name")?;
    Ok(name.nodename().to_string_lossy().into_owned())
}

/// Reads every clock at once: the only place that asks what time it is.
#[expect(clippy::disallowed_methods, reason = "time is an argument everywhere else")]
fn now() -> Result<Now> {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).context("reading the boot-time clock")?;
    let boot_ns = boot.tv_sec() * 1_000_000_000 + boot.tv_nsec();
    let time = Timestamp::try_from(SystemTime::now()).context("reading the time of day")?;
    let unix_ns = i64::try_from(time.as_nanosecond()).context("the time of day is off")?;
    Ok(Now {
        instant: Instant::now(),
        time,
        clock: Clock { unix_minus_boot_ns: unix_ns - boot_ns },
    })
}
