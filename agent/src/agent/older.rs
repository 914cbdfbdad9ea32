//! Connections that are older than the programs, and the sockets there are: what the kernel's own
//! lists say, beside what the programs saw.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use plainsight_core::flow;

use super::Shared;
use crate::{
    discover::{
        cgroup::Cgroups,
        mount::Hierarchy,
        older::{Older, Role, Search},
    },
    kernel::{Kernel, OlderConnection, Owner},
};

/// A connection that ended while it was put on the list is taken off it soon.
const FIRST: Duration = Duration::from_secs(5);

/// Most cgroups that are told apart.
const MOST_CGROUPS: usize = 131_072;

/// Where to look, and whose sockets matter.
#[derive(Clone, Debug)]
pub(super) struct Places {
    root: PathBuf,
    attach: PathBuf,
}

// === impl Places ===

impl Places {
    pub(super) fn new(hierarchy: &Hierarchy) -> Self {
        Self { root: hierarchy.root.clone(), attach: hierarchy.attach.clone() }
    }

    /// Every connection there is now whose cgroup is watched.
    pub(super) fn search(&self, now: std::time::Instant) -> Search {
        let mut cgroups = Cgroups::new(self.attach.clone(), MOST_CGROUPS);
        let watched: HashSet<u64> = cgroups.all(now).map(|(id, _)| id).collect();
        // One whose cgroup is not known is watched if all are.
        let is_all = self.attach == self.root;
        Search::run(&self.root, |cgroup| watched.contains(&cgroup) || cgroup == 0 && is_all)
    }
}

/// Hands the programs what was found. After they were attached, so that no connection falls
/// between; what they have seen already they do not look up.
pub(super) fn list(kernel: &mut Kernel, search: &Search, now_ns: u64) {
    let refused = search.found.iter().filter(|end| {
        let client = end.peer.and_then(|peer| search.found.get(peer));
        !kernel.add_older(&connection(end, client), now_ns)
    });
    let refused = refused.count();
    if refused > 0 {
        tracing::warn!("{refused} older connections found no room: they show when they move");
    }
    if search.namespaces_refused > 0 {
        tracing::warn!(
            "{} network namespaces may not be entered (CAP_SYS_ADMIN): connections there that are \
             older than the agent show when they move",
            search.namespaces_refused
        );
    }
    if search.namespaces_failed > 0 {
        tracing::warn!(
            "the sockets of {} network namespaces could not be listed: connections there that are \
             older than the agent show when they move",
            search.namespaces_failed
        );
    }
}

fn connection(end: &Older, peer: Option<&Older>) -> OlderConnection {
    let is_server = is_server(end);
    OlderConnection {
        cookie: end.cookie,
        owner: owner(end),
        local: (flow::address(end.local), end.local_port),
        remote: (flow::address(end.remote), end.remote_port),
        is_server,
        is_guessed: end.is_role_inferred,
        acked: end.acked,
        received: end.received,
        client: peer.filter(|peer| is_server && !self::is_server(peer)).map(owner),
    }
}

/// Where no listener proves it, as the programs guess: a client's port is usually the higher.
fn is_server(end: &Older) -> bool {
    match end.is_role_inferred {
        true => end.local_port < end.remote_port,
        false => end.role == Role::Server,
    }
}

fn owner(end: &Older) -> Owner {
    Owner { cgroup: end.cgroup, netns: end.netns, tgid: end.tgid, comm: end.comm }
}

/// Compares what the programs know with what there is, from time to time.
pub(super) async fn compare(shared: Shared, places: Places, interval: Duration) {
    let mut pause = FIRST.min(interval);
    loop {
        tokio::time::sleep(pause).await;
        pause = interval;
        let places = places.clone();
        let before = shared.lock().totals();
        let search = tokio::task::spawn_blocking(move || places.search(std::time::Instant::now()));
        // A search that panicked is a search that found nothing out.
        let Ok(search) = search.await else { continue };
        shared.lock().publish(&search.offers, std::time::Instant::now());
        let compared = before.and_then(|before| shared.lock().compare(&before, &search));
        if let Err(error) = compared {
            tracing::error!("comparing with the kernel's list of sockets: {error}");
        }
    }
}
