//! The kernel half on this kernel, without an agent: it loads, attaches, counts and leaves.

#[path = "kernel/entry.rs"]
mod entry;
#[path = "kernel/read.rs"]
mod read;
#[path = "kernel/retire.rs"]
mod retire;

use std::{
    fs::File,
    time::{Duration, Instant},
};

use plainsight::{
    intake::{self, Event},
    kernel::{Kernel, Options, ProgramUsage, Ring},
};
use plainsight_core::flow::{Held, Totals, balance};
use plainsight_ebpf::abi::{
    config::{FILTER_SLOTS, Filter},
    counters::Counter,
    event::Close,
};
use plainsight_tests::harness::{
    Cgroup, Namespace, Objects, Peer, Place, Stage, report, until, verified_instructions,
};

const OPTIONS: Options = Options { max_edges: 8209, quota: 0, ring_bytes: 1 << 20 };

/// More than one batch of the reader, of a prime number of edges.
const MANY: u64 = 5003;

#[test]
fn every_program_loads() {
    let _alone = Stage::alone();
    let kernel = load(&OPTIONS);
    let programs = kernel.programs().expect("the kernel tells about its programs");
    assert_eq!(programs.len(), 10, "{programs:?}");
    for program in &programs {
        let count = verified_instructions(&kernel, program.name);
        tell(program, count);
        // Where the kernel says it too, it says the same.
        let told = program.verified_instructions.map_or(count, u64::from);
        assert_eq!(told, count, "{}", program.name);
    }
}

#[test]
fn nothing_is_counted_before_there_is_traffic() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let (mut kernel, mut ring) = attached(&cgroup, &OPTIONS);
    kernel.next_epoch().expect("the kernel takes a new epoch");
    let scan = intake::scan(&mut kernel, 0).expect("the kernel's maps can be read");
    assert_eq!((scan.halves.len(), scan.totals), (0, Totals::default()));
    assert!(events(&mut ring).is_empty());
}

#[test]
fn nothing_is_left_behind() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let before = Objects::now();
    let (kernel, ring) = attached(&cgroup, &OPTIONS);
    let ids: Vec<u32> = kernel.programs().expect("programs").iter().map(|p| p.id).collect();
    let start = Instant::now();
    drop(ring);
    assert_eq!(kernel.leave(Duration::from_secs(2)), Some(true));
    let left = until("the end of all kernel objects", || match before.left_behind() {
        left if left.is_empty() => Ok(left),
        left => Err(format!("{left:?}")),
    });
    report(
        &format!("{} programs loaded, attached and dropped: objects left", ids.len()),
        0,
        format!("{} after {:?}", left.len(), start.elapsed()),
    );
}

#[test]
fn more_edges_than_a_batch_are_read() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let (mut kernel, mut ring) = attached(&cgroup, &OPTIONS);
    refuse(&cgroup, MANY);
    let scan = intake::scan(&mut kernel, 0).expect("the kernel's maps can be read");
    let ports: std::collections::BTreeSet<u16> = scan.halves.iter().map(|h| h.key.port).collect();
    report("edges to 5003 ports, read in batches", MANY, ports.len());
    assert_eq!((scan.halves.len() as u64, ports.len() as u64), (MANY, MANY));
    assert!(scan.halves.iter().all(|half| half.counters.refused == 1));
    assert_eq!(scan.totals.get(Counter::Failed), MANY);
    assert_eq!(balance(&scan.totals, &Held::of(&scan.halves)).error(), 0);
    let first_seen =
        events(&mut ring).iter().filter(|event| matches!(event, Event::FirstSeen(_))).count();
    assert_eq!(first_seen as u64, MANY, "each edge is announced once");
}

#[test]
fn a_full_map_counts_what_it_refuses() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let options = Options { max_edges: 101, ..OPTIONS };
    let (mut kernel, _ring) = attached(&cgroup, &options);
    refuse(&cgroup, 1009);
    let scan = intake::scan(&mut kernel, 0).expect("the kernel's maps can be read");
    let totals = &scan.totals;
    let found = [Counter::Failed, Counter::EdgesFull, Counter::OverflowFailed]
        .map(|counter| totals.get(counter));
    report("1009 edges in a map for 101: kept", 101, scan.halves.len());
    assert_eq!((scan.halves.len(), found), (101, [1009, 908, 908]));
    assert_eq!(balance(totals, &Held::of(&scan.halves)).error(), 0);
}

#[test]
fn a_full_ring_counts_what_it_loses() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let options = Options { ring_bytes: 4096, ..OPTIONS };
    let (mut kernel, mut ring) = attached(&cgroup, &options);
    refuse(&cgroup, 1009);
    let received = events(&mut ring).len() as u64;
    let scan = intake::scan(&mut kernel, 0).expect("the kernel's maps can be read");
    let lost = scan.totals.get(Counter::RingFullFirstSeen);
    report("events of 1009 edges through a ring of one page", "received + lost = 1009", {
        format!("{received} + {lost}")
    });
    assert!(received > 0 && lost > 0);
    assert_eq!(received + lost, 1009);
    assert_eq!(scan.halves.len(), 1009, "the edges themselves are in the map");
}

#[test]
fn filters_choose_what_is_recorded() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let (mut kernel, mut ring) = attached(&cgroup, &OPTIONS);
    let place = Place::of(&cgroup);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(place, "ps-server", listen, 21, "receive:31,send:17,drain");
    let connect =
        || Peer::connect(place, "ps-client", to, 7, "send:31,receive:17").finish().connections;
    connect();
    assert!(!events(&mut ring).iter().any(is_record), "nobody asked");
    let filter = Filter { port: to.port(), ..Filter::default() };
    let slot = kernel.add_filter(&filter).expect("the kernel takes it").expect("a slot");
    connect();
    until("the end of all connections", || at_rest(&kernel));
    let records: Vec<Event> = events(&mut ring).into_iter().filter(is_record).collect();
    for record in &records {
        let Event::Connection(record) = record else { continue };
        assert_eq!(record.filters, slot.bit());
        assert_eq!((record.sent_bytes + record.received_bytes, record.close), {
            (48, Close::Fin as u8)
        });
    }
    report("records of 7 connections, both ends", 14, records.len());
    assert_eq!(records.len(), 14);
    kernel.remove_filters(&[slot]).expect("the kernel takes it");
    connect();
    server.finish();
    assert!(!events(&mut ring).iter().any(is_record), "nobody asks any more");
}

#[test]
fn there_are_so_many_filters_and_no_more() {
    let _alone = Stage::alone();
    let mut kernel = load(&OPTIONS);
    let add = |kernel: &mut Kernel| kernel.add_filter(&Filter::default()).expect("it tells");
    let slots: Vec<_> = (0..FILTER_SLOTS).filter_map(|_| add(&mut kernel)).collect();
    assert_eq!((slots.len(), add(&mut kernel)), (FILTER_SLOTS, None));
    kernel.remove_filters(&slots[..1]).expect("the kernel takes it");
    assert_eq!(add(&mut kernel), Some(slots[0]));
}

/// Links stand beside each other on one cgroup: an agent that replaces another overlaps with it.
#[test]
fn two_at_one_cgroup_see_the_same() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let (mut one, _) = attached(&cgroup, &OPTIONS);
    let (mut other, _) = attached(&cgroup, &OPTIONS);
    let place = Place::of(&cgroup);
    let listen = "[::1]:0".parse().expect("an address");
    let (server, to) = Peer::serve(place, "ps-server", listen, 7, "receive:31,send:17,drain");
    Peer::connect(place, "ps-client", to, 7, "send:31,receive:17").finish();
    server.finish();
    for kernel in [&mut one, &mut other] {
        until("the end of all connections", || at_rest(kernel));
        let scan = intake::scan(kernel, 0).expect("the kernel's maps can be read");
        let found = [Counter::Opened, Counter::Closed, Counter::SentBytes, Counter::ReceivedBytes]
            .map(|counter| scan.totals.get(counter));
        assert_eq!(found, [14, 14, 7 * 48, 7 * 48]);
        assert_eq!(balance(&scan.totals, &Held::of(&scan.halves)).error(), 0);
    }
}

/// What a client leaves for a server that is elsewhere stays where it lies.
#[test]
fn what_nobody_takes_is_in_nobodys_way() {
    const SHORT: (&str, &str) = ("receive:31,send:17,drain", "send:31,receive:17");
    let _alone = Stage::alone();
    let (cgroup, elsewhere) = (Cgroup::new(), Cgroup::new());
    let (kernel, _ring) = attached(&cgroup, &OPTIONS);
    let paired = |server: &Cgroup, connections| {
        let before = kernel.total(Counter::Paired as u32).expect("a total");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let (server, to) =
            Peer::serve(Place::of(server), "ps-server", listen, connections, SHORT.0);
        Peer::connect(Place::of(&cgroup), "ps-client", to, connections, SHORT.1).finish();
        server.finish();
        until("the end of all connections", || at_rest(&kernel));
        kernel.total(Counter::Paired as u32).expect("a total") - before
    };
    assert_eq!(paired(&elsewhere, 1009), 0);
    let found = paired(&cgroup, 503);
    report("503 local connections after 1009 to elsewhere: paired", 503, found);
    assert_eq!(found, 503);
}

fn load(options: &Options) -> Kernel {
    Kernel::load(options).unwrap_or_else(|error| panic!("{error}"))
}

fn attached(cgroup: &Cgroup, options: &Options) -> (Kernel, Ring) {
    let mut kernel = load(options);
    let folder = File::open(cgroup.path()).expect("the cgroup can be opened");
    kernel.attach(&folder).unwrap_or_else(|error| panic!("{error}"));
    let ring = kernel.take_ring().expect("nobody has taken the ring");
    (kernel, ring)
}

fn events(ring: &mut Ring) -> Vec<Event> {
    let mut events = Vec::new();
    while ring.next(|bytes| events.push(intake::decode(bytes).expect("an event"))) {}
    events
}

fn is_record(event: &Event) -> bool {
    matches!(event, Event::Connection(_))
}

fn at_rest(kernel: &Kernel) -> Result<(), String> {
    let total = |counter| kernel.total(counter as u32).expect("the kernel's totals can be read");
    match (total(Counter::Opened), total(Counter::Closed)) {
        (opened, closed) if opened == closed => Ok(()),
        (opened, closed) => Err(format!("{opened} opened, {closed} closed")),
    }
}

/// Connects to so many ports of a namespace in which nobody listens: an edge for each.
fn refuse(cgroup: &Cgroup, ports: u64) {
    let namespace = Namespace::new();
    let arguments = format!("connect --to 127.0.0.1:1 --connections {ports} --ports {ports}");
    let place = Place::of(cgroup).within(&namespace);
    let tally = Peer::start(place, "ps-refused", &arguments).finish();
    assert_eq!(tally.failures.get("connection refused"), Some(&ports), "{tally:?}");
}

#[expect(clippy::print_stdout, reason = "xtask reads it from the test's output")]
fn tell(program: &ProgramUsage, count: u64) {
    println!("insns: {} {count}", program.name);
}
