//! What it costs to read very many edges: told, not judged, because the machine is shared.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use plainsight::kernel::Options;
use plainsight_tests::harness::{Cgroup, Namespace, Peer, Place, Stage, count, is_guest, report};

use crate::{OPTIONS, attached};

/// Each refuses connections to so many ports, none of which a client's own end gets by itself.
const ADDRESSES: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];

/// Reads, of which the quickest is told.
const READS: usize = 7;

#[test]
fn very_many_edges_are_read() {
    let _alone = Stage::alone();
    let ports = if is_guest() { 1_009 } else { count(2_503, 25_013) };
    let cgroup = Cgroup::new();
    let options = Options { max_edges: 131_072, ..OPTIONS };
    let (mut kernel, _ring) = attached(&cgroup, &options);
    let namespace = Namespace::new();
    let place = Place::of(&cgroup).within(&namespace);
    let all = ADDRESSES.len() as u64 * ports;
    for address in ADDRESSES {
        let arguments = format!("connect --to {address}:1 --connections {ports} --ports {ports}");
        let tally = Peer::start(place, "ps-refused", &arguments).finish();
        assert_eq!(tally.failures.get("connection refused"), Some(&ports), "{tally:?}");
    }
    let mut took = Vec::new();
    for _ in 0..READS {
        let (mut edges, begin) = (0, processor_time());
        kernel.read_edges(|_, counters| edges += counters.refused).expect("edges can be read");
        took.push(processor_time() - begin);
        assert_eq!(edges, all, "each edge has one refusal");
    }
    let quickest = took.into_iter().min().unwrap_or_default();
    report(
        &format!("{all} edges read: processor time, quickest of {READS}"),
        "25 ms for 100,000",
        format!("{:.1} ms", quickest.as_secs_f64() * 1e3),
    );
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock that is always there").into()
}
