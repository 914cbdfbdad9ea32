//! The agent: one loop over everything that can wake it. The only file, with its parts below, that
//! knows all rooms.

mod canary;
mod findings;
mod follow;
mod leaves;
mod links;
mod older;
mod retire;
mod rules;
mod servers;
mod state;

use std::{
    collections::BTreeSet,
    fs::File,
    net::IpAddr,
    os::fd::AsFd as _,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use plainsight_core::{
    finding::{Asked, Report},
    flow::{Clock, link::Declaration},
    identity::explain::{Explanation, Step, Subject},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpListener,
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    config::{self, Config, KernelConfig, ScanConfig},
    discover::{
        link::Namespaces,
        listeners::Search,
        mount::{self, Hierarchy},
        names::Names,
    },
    doctor,
    export::{self, EdgeRows, SERIES_LIMIT, Sample, prometheus},
    kernel::{Kernel, Options, Owner},
    serve::{self, FlowFilter, FollowError, Health, Snapshot, Source},
    view::scan::Scan,
};
use canary::{Canary, Nest};
use findings::Register;
use links::Links;
use older::Places;
use retire::Retirement;
use state::{Now, State};

/// How often counts are read.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// How often records are fetched while somebody follows them.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// A loop that has not read counts for so long does not work.
const STALLED: Duration = Duration::from_secs(10);

/// How long the kernel may take to let go of everything. With the server's last moment it is less
/// than the two seconds in which the agent has to be gone.
const LEAVE: Duration = Duration::from_millis(1400);

/// Most ends on this host that get a name of their own: two for each edge of the default map.
const MOST_NAMES: usize = 262_144;

/// Most servers that are listed at one address.
const MOST_LISTED: usize = 16;

/// Everything that can wake the loop.
enum Wake {
    Ring,
    Scan,
    /// Records are due to be fetched, or somebody has begun to follow them.
    Follow,
    Stop,
}

/// The state, shared between the loop and whoever answers.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    findings: Arc<Register>,
    followed: Arc<Notify>,
    /// Clients that took nothing of their answer for too long.
    cut_off: Arc<AtomicU64>,
}

// === impl Shared ===

impl Shared {
    /// A panic while the lock was held leaves counts that the next scan replaces, so the lock is
    /// taken all the same.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let draft = {
            let state = self.lock();
            match state.known() {
                Some(snapshot) => return snapshot,
                None => state.draft(),
            }
        };
        let snapshot = Arc::new(draft.snapshot());
        self.lock().keep(&snapshot);
        snapshot
    }
}

impl Source for Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot()
    }

    fn findings(&self) -> Report {
        self.findings.report(&self.snapshot())
    }

    fn explain(&self, subject: &Subject) -> Explanation {
        let mut explanation = self.lock().explain(subject, Instant::now());
        if let Subject::Address(ip) = subject {
            explanation.steps.push(listening(*ip, &self.snapshot()));
        }
        explanation
    }

    fn recent(&self) -> Vec<Bytes> {
        self.lock().recent()
    }

    fn follow(&self, filter: FlowFilter) -> Result<mpsc::Receiver<Bytes>, FollowError> {
        let lines = self.lock().follow(filter, Instant::now())?;
        self.followed.notify_one();
        Ok(lines)
    }

    fn metrics(&self) -> Result<(&'static str, String)> {
        let snapshot = self.snapshot();
        let sample = self.lock().sample(&snapshot);
        let report = self.findings.report(&snapshot);
        let sample = Sample {
            edges: EdgeRows::new(&snapshot.edges, SERIES_LIMIT),
            clients_cut_off: self.cut_off.load(Ordering::Relaxed),
            findings: export::findings(&report),
            findings_refused: report.refused,
            clients_forgotten: report.forgotten,
            state_failures: self.findings.failures(),
            ..sample
        };
        Ok((prometheus::CONTENT_TYPE, prometheus::encode(&sample)?))
    }

    fn cut_off(&self) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
    }

    fn health(&self) -> Health {
        let state = self.lock();
        let (age, canary) = (state.scanned_at().elapsed(), state.canary_verdict(Instant::now()));
        drop(state);
        let (alive, why) = match canary {
            _ if age >= STALLED => (false, format!("no scan for {age:?}")),
            None => (true, "attached".to_owned()),
            Some(Ok(canary)) => (true, format!("attached; {canary}")),
            Some(Err(canary)) => (false, canary),
        };
        Health { alive, ready: alive, why }
    }
}

/// Which servers on this host were reached at an address.
fn listening(ip: IpAddr, snapshot: &Snapshot) -> Step {
    let here = snapshot.edges.iter().filter(|edge| {
        edge.server.host.is_some()
            && (edge.server_address == ip || edge.reached.iter().any(|place| place.address == ip))
    });
    let places: BTreeSet<String> =
        here.map(|edge| format!("{}:{}", edge.server.name, edge.server_port)).collect();
    let places: Vec<String> = places.into_iter().take(MOST_LISTED).collect();
    let said = (!places.is_empty()).then(|| places.join(", "));
    Step::new("map", "servers on this host that were reached there", said)
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
    let asked = Asked { mutual: config.one_way };
    let findings = Register::new(asked, config.state_dir.as_deref(), now()?.time);
    let rules = config.names.as_deref().map(config::names::read).transpose()?;
    let (shared, hierarchy) = start(&config.kernel, config.cluster, &config.links, findings)?;
    shared.lock().begin_rules(rules);
    let (stop, stopped) = oneshot::channel();
    let source = Arc::new(shared.clone());
    let server = tokio::spawn(serve::serve(listener, source, async {
        // The sender is dropped only when the loop is done, which is as good as a message.
        _ = stopped.await;
    }));
    tracing::info!(listen = %config.listen, "attached; serving");
    let places = Places::new(&hierarchy);
    let comparing = tokio::spawn(older::compare(shared.clone(), places, config.compare_interval));
    let canary = send_canaries(&shared, config.canary_interval, hierarchy).await;
    let keeping = tokio::spawn(findings::keep(shared.clone()));
    let looking = tokio::spawn(links::keep(shared.clone()));
    let naming = config.names.map(|path| tokio::spawn(rules::keep(shared.clone(), path)));
    let result = watch(&shared, shutdown).await;
    for task in canary.into_iter().chain(naming).chain([comparing, keeping, looking]) {
        task.abort();
        // Until it has let go of the state. That it was cancelled is no news.
        _ = task.await;
    }
    _ = stop.send(());
    let served = server.await.context("the server's task panicked")?;
    let findings = Arc::clone(&shared.findings);
    if findings.is_kept() {
        findings.report(&shared.snapshot());
    }
    let left = leave(shared);
    findings.save(true);
    result.and(served.context("the server failed"))?;
    ensure!(left != Some(false), "the kernel still holds something of ours after {LEAVE:?}");
    Ok(())
}

/// Watches for a while, and leaves the kernel as it was.
///
/// # Errors
///
/// If something is missing that the agent needs, or the kernel refuses an operation.
pub async fn scan(config: ScanConfig, shutdown: impl Future<Output = ()>) -> Result<Scan> {
    let asked = Asked { mutual: config.one_way };
    let findings = Register::new(asked, None, now()?.time);
    let (shared, _) = start(&config.kernel, None, &config.links, findings)?;
    let started = Instant::now();
    let end = async {
        tokio::select! {
            () = tokio::time::sleep(config.duration) => {}
            () = shutdown => {}
        }
    };
    watch(&shared, end).await?;
    let watched = started.elapsed();
    shared.lock().scan(now()?)?;
    links::catch_up(&shared, &mut Namespaces::default());
    let snapshot = shared.snapshot();
    let report = shared.findings.report(&snapshot);
    Ok(Scan {
        host: host()?,
        kernel: doctor::kernel_release(),
        duration: watched,
        findings: report.findings,
        expected_plaintext: report.expected_plaintext,
        not_proven: report.not_proven,
        not_seen: Vec::new(),
        nothing_left: leave(shared) == Some(true),
        map: Arc::unwrap_or_clone(snapshot),
    })
}

/// Loads and attaches.
fn start(
    config: &KernelConfig,
    cluster: Option<String>,
    declared: &[Declaration],
    findings: Register,
) -> Result<(Shared, Hierarchy)> {
    let hierarchy = mount::hierarchy(config.cgroup.as_deref())?;
    let Hierarchy { attach, root } = &hierarchy;
    let folder = File::open(attach).with_context(|| format!("opening {}", attach.display()))?;
    let options = Options {
        max_edges: config.max_edges,
        quota: config.edge_quota,
        ring_bytes: config.ring_bytes,
    };
    let mut kernel = Kernel::load(&options).context("loading the kernel object")?;
    if !kernel.reads_process_names() {
        tracing::warn!(
            "this kernel tells process names only with CAP_PERFMON: without it, workloads that \
             share a cgroup are one"
        );
    }
    kernel.attach(&folder).context("attaching")?;
    name_listeners(&mut kernel, root);
    let Now { boot_ns, instant, .. } = now()?;
    older::list(&mut kernel, &Places::new(&hierarchy).search(instant), boot_ns);
    kernel.adopt_others().context("taking over older connections")?;
    let host = host()?;
    // Workloads of equal names on hosts that nobody told apart are told apart by the hosts.
    let cluster = cluster.unwrap_or_else(|| host.clone());
    let names = Names::new(root.clone(), MOST_NAMES, host, Some(cluster));
    let retirement = Retirement::new(&kernel, config, Instant::now());
    links::warn(declared, now()?.time);
    let mut state = State::new(kernel, names, Links::new(declared), retirement, now()?)?;
    state.scan(now()?)?;
    let state = Arc::new(Mutex::new(state));
    let shared = Shared {
        state,
        findings: Arc::new(findings),
        followed: Arc::default(),
        cut_off: Arc::default(),
    };
    Ok((shared, hierarchy))
}

/// Starts the canary, which needs a loopback interface and nothing else.
async fn send_canaries(
    shared: &Shared,
    interval: Duration,
    hierarchy: Hierarchy,
) -> Option<JoinHandle<()>> {
    match Nest::build().await {
        Ok(nest) => {
            shared.lock().keep_canary(Canary::new(nest.port(), interval, Instant::now()));
            Some(tokio::spawn(canary::fly(shared.clone(), nest, hierarchy)))
        }
        Err(error) => {
            tracing::warn!("no canary, so health is judged by scans alone: {error}");
            None
        }
    }
}

/// Gives listeners that are older than the programs their identity. After attaching, so that none
/// falls between.
fn name_listeners(kernel: &mut Kernel, cgroups: &Path) {
    let search = Search::run(cgroups, |listener| {
        let owner = Owner {
            cgroup: listener.cgroup,
            netns: listener.netns,
            tgid: listener.tgid,
            comm: listener.comm,
        };
        if let Err(error) = kernel.identify(listener.socket.as_fd(), &owner) {
            tracing::warn!("a listener of process {} stays without a name: {error}", owner.tgid);
        }
    });
    if search.refused > 0 || search.failed > 0 {
        tracing::warn!(
            "sockets of {} processes may not be looked at (CAP_SYS_PTRACE), and {} could not be \
             taken: servers that were listening there already have no process name",
            search.refused,
            search.failed
        );
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
            () = shared.followed.notified() => Wake::Follow,
        };
        match wake {
            Wake::Stop => return Ok(()),
            Wake::Ring | Wake::Follow => {}
            Wake::Scan => shared.lock().scan(now()?)?,
        }
        while shared.lock().drain(now()?)? {
            // Whoever waits for the lock, or for this thread, goes first.
            tokio::task::yield_now().await;
        }
    }
}

/// Takes everything out of the kernel.
fn leave(shared: Shared) -> Option<bool> {
    let state = alone(shared.state)?;
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.into_kernel().leave(LEAVE)
}

/// Waits until nobody else holds it: work that was begun on another thread goes on after its task was
/// aborted. Of one that takes too long, the end of the process, which is near, takes care.
fn alone<T>(mut shared: Arc<T>) -> Option<T> {
    let deadline = Instant::now() + LEAVE;
    loop {
        match Arc::try_unwrap(shared) {
            Ok(alone) => return Some(alone),
            Err(_) if Instant::now() >= deadline => return None,
            Err(held) => shared = held,
        }
        thread::sleep(Duration::from_millis(1));
    }
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
        boot_ns: boot_ns.unsigned_abs(),
    })
}
