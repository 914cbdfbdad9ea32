//! The names file while the agent runs: read again when it changes, and the last good one kept.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use plainsight_core::identity::Rules;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::Shared;
use crate::config::{ConfigError, names};

/// How often it is looked whether the file has changed. Through links too, because ConfigMaps are exchanged by one.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the file was when it was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// How the names file fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reloads {
    /// How many names are in force.
    pub(super) rules: u64,
    /// Whether the file is what is in force.
    pub(super) is_good: bool,
}

// === impl Stamp ===

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let changed = (found.ctime(), found.ctime_nsec());
        Some(Self { device: found.dev(), inode: found.ino(), size: found.size(), changed })
    }
}

/// Reads the file again whenever it has changed, and at SIGHUP.
pub(super) async fn keep(shared: Shared, path: PathBuf) {
    let mut known = Stamp::of(&path);
    let mut last = known;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Ok(mut asked) = signal(SignalKind::hangup()) else { return };
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            _ = asked.recv() => true,
        };
        let now = Stamp::of(&path);
        // Whoever writes it may not be done: it is read once it has not changed for a moment.
        let is_settled = now == last;
        last = now;
        if !is_asked && (now == known || !is_settled) {
            continue;
        }
        known = now;
        let file = path.clone();
        // One that panics has read nothing.
        let Ok(read) = spawn_blocking(move || names::read(&file)).await else { continue };
        take(&shared, read);
    }
}

fn take(shared: &Shared, read: Result<Rules, ConfigError>) {
    match read {
        Ok(rules) => {
            tracing::info!("{} names for networks are in force", rules.len());
            shared.lock().set_rules(rules);
        }
        Err(error) => {
            tracing::error!("the names file stays as it was: {error}");
            shared.lock().refuse_rules();
        }
    }
}
