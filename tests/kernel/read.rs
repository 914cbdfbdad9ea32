//! What it costs to read very many edges: told, not judged, because the machine is shared.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use plainsight::kernel::Options;
use plainsight_tests::harness::{Cgroup, Namespace, Peer, Place, Stage, count, is_guest, report};

use crate::{OPTIONS, attached};

/// Reads, of which the quickest is told.
const READS: usize = 7;

#[test]
fn very_many_edges_are_read() {
    let _alone = Stage::alone();
    let ports = if is_guest() { 2_003 } else { count(5_003, 50_021) };
    let cgroup = Cgroup::new();
    let options = Options { max_edges: 131_072, ..OPTIONS };
    let (mut kernel, _ring) = attached(&cgroup, &options);
    let namespace = Namespace::new();
    let place = Place::of(&cgroup).within(&namespace);
    for address in ["127.0.0.1", "127.0.0.2"] {
        let arguments = format!("connect --to {address}:1 --connections {ports} --ports {ports}");
        let tally = Peer::start(place, "ps-refused", &arguments).finish();
        assert_eq!(tally.failures.get("connection refused"), Some(&ports), "{tally:?}");
    }
    let mut took = Vec::new();
    for _ in 0..READS {
        let (mut edges, begin) = (0, processor_time());
        kernel.read_edges(|_, counters| edges += counters.refused).expect("edges can be read");
        took.push(processor_time() - begin);
        assert_eq!(edges, 2 * ports, "each edge has one refusal");
    }
    let quickest = took.into_iter().min().unwrap_or_default();
    report(
        &format!("{} edges read: processor time, quickest of {READS}", 2 * ports),
        "25 ms for 100,000",
        format!("{:.1} ms", quickest.as_secs_f64() * 1e3),
    );
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock that is always there").into()
}
