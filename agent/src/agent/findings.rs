//! Findings over the agent's life and beyond: brought up to date whenever somebody asks and every
//! few seconds, and kept in a file where somebody says so.

mod file;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use plainsight_core::finding::{
    Asked, Coverage, Findings, Kind, Report, Severity, State, register::MOST_FINDINGS,
};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::Shared;
use crate::serve::{Lost, Snapshot};

/// How often findings are brought up to date while nobody asks.
const INTERVAL: Duration = Duration::from_secs(10);

/// How often the file is written while nothing changes but counts.
const SAVE: Duration = Duration::from_secs(60);

/// The findings, and where they are kept.
pub(super) struct Register {
    inner: Mutex<Inner>,
    /// Something is new that should be kept at once.
    changed: Notify,
    failures: AtomicU64,
}

struct Inner {
    findings: Findings,
    since: Timestamp,
    taken_at: Option<Timestamp>,
    report: Report,
    file: Option<PathBuf>,
    saved: Saved,
}

/// What the file holds.
#[derive(Default)]
struct Saved {
    at: Option<Instant>,
    standing: Vec<Standing>,
    failed: bool,
}

/// What is written at once when it changes.
type Standing = (String, Kind, Severity, State);

// === impl Register ===

impl Register {
    /// With the findings of the last agent, where there are any in this folder.
    pub(super) fn new(asked: Asked, folder: Option<&Path>, now: Timestamp) -> Self {
        let file = folder.map(|folder| folder.join(file::NAME));
        let kept = file.as_deref().and_then(file::read);
        let findings = match kept {
            Some(kept) => Findings::restore(kept, asked, MOST_FINDINGS),
            None => Findings::new(asked, MOST_FINDINGS, now),
        };
        let report = findings.report();
        let saved = Saved { standing: standing(&report), ..Saved::default() };
        let inner = Inner { findings, since: now, taken_at: None, report, file, saved };
        Self { inner: Mutex::new(inner), changed: Notify::new(), failures: AtomicU64::new(0) }
    }

    /// Brings them up to date with this map.
    pub(super) fn report(&self, snapshot: &Snapshot) -> Report {
        let mut inner = self.lock();
        if inner.taken_at != Some(snapshot.taken_at) {
            let coverage = Coverage { since: inner.since, lost: hidden(&snapshot.lost) };
            inner.findings.update(&snapshot.edges, snapshot.taken_at, &coverage);
            (inner.taken_at, inner.report) = (Some(snapshot.taken_at), inner.findings.report());
            if standing(&inner.report) != inner.saved.standing {
                self.changed.notify_one();
            }
        }
        inner.report.clone()
    }

    /// Whether the next agent will know them.
    pub(super) fn is_kept(&self) -> bool {
        self.lock().file.is_some()
    }

    /// How often they could not be written.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Writes the file if it is time, or at once if it must be.
    pub(super) fn save(&self, must: bool) {
        let inner = self.lock();
        let Some(path) = inner.file.clone() else { return };
        let standing = standing(&inner.report);
        let is_due = inner.saved.at.is_none_or(|at| at.elapsed() >= SAVE);
        if !must && !is_due && standing == inner.saved.standing {
            return;
        }
        let kept = inner.findings.kept();
        let was_failing = inner.saved.failed;
        // Written without the lock: whoever asks does not wait for a disk.
        drop(inner);
        let result = file::write(&path, &kept);
        let mut inner = self.lock();
        inner.saved = Saved { at: Some(Instant::now()), standing, failed: result.is_err() };
        if let Err(error) = result {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if !was_failing {
                tracing::error!("findings are not kept: {}: {error}", path.display());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whatever a panic has left is replaced by the next map.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps findings up to date and on disk, until it is aborted.
pub(super) async fn keep(shared: Shared) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.findings.changed.notified() => {}
        }
        let shared = shared.clone();
        // Both take longer than the loop should wait.
        let done = spawn_blocking(move || {
            shared.findings.report(&shared.snapshot());
            shared.findings.save(false);
        });
        if let Err(error) = done.await {
            tracing::error!("findings were not brought up to date: {error}");
        }
    }
}

/// How much was lost that would be on an edge, or would have had another name. What the ring lost
/// is on its edge all the same.
fn hidden(lost: &Lost) -> u64 {
    let harmless = |stage: &str, reason: &str| {
        stage == "ring"
            || matches!(
                (stage, reason),
                ("agent", "undecodable" | "observer_slow" | "handshakes_full" | "links_full")
            )
    };
    let mut sum: u64 = 0;
    for (stage, reasons) in lost {
        for (_, count) in reasons.iter().filter(|(reason, _)| !harmless(stage, reason)) {
            sum = sum.saturating_add(*count);
        }
    }
    sum
}

fn standing(report: &Report) -> Vec<Standing> {
    let all = report.findings.iter();
    all.map(|one| (one.id.clone(), one.kind, one.severity, one.state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_hide_a_hop_is_a_gap() {
        let check = |stage: &str, reason: &str, expect| {
            let reasons = [(reason.to_owned(), 7)].into();
            assert_eq!(hidden(&[(stage.to_owned(), reasons)].into()), expect, "{stage} {reason}");
        };
        check("edges", "full", 7);
        check("socket", "storage", 7);
        check("packet", "unreadable", 7);
        check("agent", "names_full", 7);
        check("agent", "observer_slow", 0);
        check("agent", "handshakes_full", 0);
        check("agent", "links_full", 0);
        check("ring", "connection", 0);
        check("ring", "first_seen", 0);
    }
}
