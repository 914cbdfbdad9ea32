//! What is known of links: looked at once for each way that packets take, soon after it is first
//! seen, and again from time to time. Never for each connection.

use std::{
    collections::BTreeSet,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use plainsight_core::{
    escape,
    flow::{
        Half,
        link::{Declaration, Observed, Standing, Way},
    },
};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{SCAN_INTERVAL, Shared};
use crate::discover::link::{self, GONE, Namespaces};

/// Ways that are kept; the link of one beyond them is unknown.
const MOST: usize = 16_384;

/// Ways that are looked at in one go: some tens of microseconds each.
const BATCH: usize = 2048;

/// How long what was seen of a way counts.
const REFRESH: Duration = Duration::from_secs(30);

/// What is known, and what is to be looked at.
pub(super) struct Links {
    observed: Arc<Observed>,
    declared: Arc<[Declaration]>,
    /// Never looked at.
    waiting: BTreeSet<Way>,
    /// Looked at so long ago that it is time again.
    due: BTreeSet<Way>,
    refused: u64,
}

// === impl Links ===

impl Links {
    pub(super) fn new(declared: &[Declaration]) -> Self {
        Self {
            observed: Arc::default(),
            declared: declared.into(),
            waiting: BTreeSet::new(),
            due: BTreeSet::new(),
            refused: 0,
        }
    }

    /// Takes in where the packets of a half go.
    pub(super) fn learn(&mut self, half: &Half) {
        let Some(way) = Way::of(half) else { return };
        if self.observed.contains_key(&way) || self.waiting.contains(&way) {
            return;
        }
        if self.observed.len() + self.waiting.len() >= MOST {
            self.refused += 1;
        } else {
            self.waiting.insert(way);
        }
    }

    /// What is to be looked at next.
    fn take(&mut self) -> BTreeSet<Way> {
        let from = if self.waiting.is_empty() { &mut self.due } else { &mut self.waiting };
        let beyond = from.iter().nth(BATCH).copied();
        let rest = beyond.map(|first| from.split_off(&first)).unwrap_or_default();
        mem::replace(from, rest)
    }

    /// What was seen before a namespace ended is all that will ever be known of ways from it.
    fn keep(&mut self, seen: Observed) {
        let observed = Arc::make_mut(&mut self.observed);
        for (way, judged) in seen {
            if judged.evidence != GONE || !observed.contains_key(&way) {
                observed.insert(way, judged);
            }
        }
    }

    /// From now on only these ways are known; the others are nobody's any more.
    fn look_again(&mut self, ways: BTreeSet<Way>) {
        let observed = Arc::make_mut(&mut self.observed);
        observed.retain(|way, _| ways.contains(way));
        let (due, new): (BTreeSet<Way>, BTreeSet<Way>) =
            ways.into_iter().partition(|way| observed.contains_key(way));
        let room = MOST.saturating_sub(observed.len());
        self.refused += new.len().saturating_sub(room) as u64;
        self.waiting = new.into_iter().take(room).collect();
        self.due = due;
    }

    pub(super) const fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    pub(super) const fn declared(&self) -> &Arc<[Declaration]> {
        &self.declared
    }

    /// How often a way found no room.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

/// Says which declarations do not hold now.
pub(super) fn warn(declared: &[Declaration], now: jiff::Timestamp) {
    for one in declared {
        let when = match one.standing(now) {
            Standing::InForce => continue,
            Standing::Later(day) => format!("holds from {day} on"),
            Standing::Ended(day) => format!("ended on {day}"),
        };
        let [a, b] = one.between;
        let evidence = escape::terminal(&one.evidence);
        tracing::warn!(
            "the link declared between {a} and {b} ({evidence}) {when}: it lifts nothing"
        );
    }
}

/// Keeps what is known of links up to date, until it is aborted.
pub(super) async fn keep(shared: Shared) {
    let mut ticks = interval(SCAN_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut namespaces = Namespaces::default();
    let mut refreshed = Instant::now();
    loop {
        ticks.tick().await;
        let is_due = refreshed.elapsed() >= REFRESH;
        if is_due {
            refreshed = Instant::now();
        }
        let shared = shared.clone();
        let found = mem::take(&mut namespaces);
        let done = spawn_blocking(move || {
            let mut found = found;
            if is_due {
                look_again(&shared);
            }
            catch_up(&shared, &mut found);
            found
        });
        match done.await {
            Ok(found) => namespaces = found,
            Err(error) => tracing::error!("links were not looked at: {error}"),
        }
    }
}

/// Looks at all ways that wait.
pub(super) fn catch_up(shared: &Shared, namespaces: &mut Namespaces) {
    loop {
        let ways = shared.lock().links().take();
        if ways.is_empty() {
            return;
        }
        // Without the lock, which others wait for.
        let seen = link::look(namespaces, &ways);
        shared.lock().links().keep(seen);
    }
}

fn look_again(shared: &Shared) {
    let draft = shared.lock().draft();
    let ways = draft.ways();
    shared.lock().links().look_again(ways);
}

#[cfg(test)]
mod tests {
    use super::*;
    use plainsight_core::flow::link::{Judged, Link};
    use plainsight_ebpf::abi::edge::{EdgeCounters, EdgeKey};

    fn half(peer: u32) -> Half {
        let remote = [0, 0, 0xffff_u32.to_be(), peer.to_be()];
        Half { key: EdgeKey { remote, ..EdgeKey::default() }, counters: EdgeCounters::default() }
    }

    fn seen(ways: &BTreeSet<Way>) -> Observed {
        ways.iter().map(|way| (*way, Judged::observed(Link::None, ""))).collect()
    }

    /// Addresses from 10.0.0.1 on.
    fn learn(links: &mut Links, peers: impl Iterator<Item = u32>) {
        peers.for_each(|peer| links.learn(&half(0x0a00_0001 + peer)));
    }

    #[test]
    fn each_way_is_looked_at_once() {
        let mut links = Links::new(&[]);
        learn(&mut links, [0, 1, 0, 2].into_iter());
        let ways = links.take();
        assert_eq!((ways.len(), links.take().len()), (3, 0));
        links.keep(seen(&ways));
        learn(&mut links, [0, 1, 2, 3].into_iter());
        assert_eq!((links.take().len(), links.refused()), (1, 0));
    }

    #[test]
    fn what_was_seen_stays_when_its_namespace_ends() {
        let mut links = Links::new(&[]);
        learn(&mut links, [0].into_iter());
        let way = links.take().first().copied().unwrap();
        links.keep([(way, Judged::observed(Link::Wireguard, "by wg0"))].into());
        links.keep([(way, Judged::unknown(GONE))].into());
        assert_eq!(links.observed()[&way].link, Link::Wireguard);
    }

    #[test]
    fn a_look_and_what_is_kept_have_bounds() {
        let mut links = Links::new(&[]);
        let most = MOST as u32;
        learn(&mut links, 0..most + 7);
        assert_eq!(links.refused(), 7);
        let mut looks = Vec::new();
        loop {
            let ways = links.take();
            if ways.is_empty() {
                break;
            }
            looks.push(ways.len());
            links.keep(seen(&ways));
        }
        assert_eq!(looks, vec![BATCH; MOST / BATCH]);
        learn(&mut links, most..most + 3);
        assert_eq!((links.observed().len(), links.refused()), (MOST, 10));
    }

    #[test]
    fn what_is_gone_makes_room_and_the_rest_is_looked_at_again() {
        let mut links = Links::new(&[]);
        let most = MOST as u32;
        learn(&mut links, 0..most);
        loop {
            let ways = links.take();
            if ways.is_empty() {
                break;
            }
            links.keep(seen(&ways));
        }
        let known: Vec<Way> = links.observed().keys().copied().collect();
        let (gone, left) = known.split_at(5);
        let new: BTreeSet<Way> =
            (0..7).filter_map(|peer| Way::of(&half(0x0b00_0001 + peer))).collect();
        let now: BTreeSet<Way> = left.iter().copied().chain(new.iter().copied()).collect();
        links.look_again(now);
        let sizes = (links.observed().len(), links.waiting.len(), links.due.len());
        assert_eq!(sizes, (MOST - 5, 5, MOST - 5));
        assert!(gone.iter().all(|way| !links.observed().contains_key(way)));
        assert_eq!((links.refused(), links.take().len()), (2, 5));
    }
}
