//! Edges are taken out and made again while two processors count on them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use plainsight::{
    intake,
    kernel::{Kernel, KernelError},
};
use plainsight_core::{
    flow::{Half, balance},
    ledger::Ledger,
};
use plainsight_tests::harness::{Cgroup, Namespace, Peer, Place, Stage, count, is_guest, report};

use crate::{OPTIONS, attached};

/// Ports to which each process connects in turn: an edge for each.
const PORTS: u64 = 503;

/// Two processes, so that both processors count at once.
const NAMES: [&str; 2] = ["ps-one", "ps-two"];

/// What happened while the processes ran.
#[derive(Default)]
struct Retired {
    ledger: Ledger,
    edges: u64,
    times: u64,
}

#[test]
fn no_count_lands_on_another_edge() {
    let _alone = Stage::alone();
    let rounds = if is_guest() { 23 } else { count(101, 1201) };
    let at_least = if is_guest() { 5_000 } else { count(20_000, 1_000_000) };
    let cgroup = Cgroup::new();
    let (mut kernel, _ring) = attached(&cgroup, &OPTIONS);
    assert!(kernel.can_retire(), "this kernel has a membarrier");
    let retired = retire_during(&mut kernel, || connect(&cgroup, rounds));
    let scan = intake::scan(&mut kernel, 0).expect("the kernel's maps can be read");
    let wrong: Vec<Half> = retired
        .ledger
        .with(&scan.halves)
        .into_iter()
        .filter(|half| half.counters.refused != rounds)
        .collect();
    let edges = retired.ledger.with(&scan.halves).len() as u64;
    report(
        &format!(
            "{} edges taken out in {} goes: edges with a wrong count",
            retired.edges, retired.times
        ),
        format!("0 of {}", 2 * PORTS),
        format!("{} of {edges}", wrong.len()),
    );
    assert!(wrong.is_empty(), "not {rounds}: {wrong:?}");
    assert_eq!(edges, 2 * PORTS);
    assert!(retired.edges >= at_least, "{} edges were taken out", retired.edges);
    assert_eq!(balance(&scan.totals, &retired.ledger.held(&scan.halves)).error(), 0);
}

/// Every process connects `rounds` times to each port, where nobody listens.
fn connect(cgroup: &Cgroup, rounds: u64) {
    let namespace = Namespace::new();
    let connections = rounds * PORTS;
    let arguments = format!("connect --to 127.0.0.1:1 --connections {connections} --ports {PORTS}");
    let place = Place::of(cgroup).within(&namespace);
    let peers = NAMES.map(|name| Peer::start(place, name, &arguments));
    let refused = |peer: Peer| peer.finish().failures;
    let expect = BTreeMap::from([("connection refused".to_owned(), connections)]);
    assert_eq!(peers.map(refused), [expect.clone(), expect]);
}

/// Takes edges out again and again until `other` is done.
fn retire_during(kernel: &mut Kernel, other: impl FnOnce() + Send) -> Retired {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            other();
            is_done.store(true, Ordering::Release);
        });
        let mut retired = Retired::default();
        while !is_done.load(Ordering::Acquire) {
            retire(kernel, &mut retired).expect("the kernel lets go of edges");
        }
        retired
    })
}

fn retire(kernel: &mut Kernel, retired: &mut Retired) -> Result<(), KernelError> {
    retired.times += 1;
    kernel.retire(|key, counters| {
        retired.edges += 1;
        retired.ledger.keep(&Half { key: *key, counters: *counters });
    })
}
