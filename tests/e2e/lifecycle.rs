//! Nothing of ours stays in the kernel after the agent, however it ends, and nobody notices it
//! coming or going.

use std::time::Duration;

use nix::sys::signal::Signal;
use plainsight_tests::harness::{
    Agent, Cgroup, Objects, Peer, Place, Stage, Tally, count, report, until,
};

/// How long SIGTERM may take to have everything out of the kernel.
const LEAVE: Duration = Duration::from_secs(2);

#[test]
fn nothing_is_left_after_sigterm() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let before = Objects::now();
    let mut agent = Agent::start(&cgroup, &[]);
    let ended = agent.end(Signal::SIGTERM);
    // At once: the agent's end must be the end of everything.
    let left = ended.objects.remaining();
    report(
        "SIGTERM: status, time, kernel objects left",
        format!("0, at most {LEAVE:?}, 0"),
        format!("{:?}, {:?}, {} of {:?}", ended.status.code(), ended.took, left.len(), {
            ended.objects.by_kind()
        }),
    );
    assert_has_objects(&ended.objects);
    assert_eq!(ended.status.code(), Some(0), "{}", agent.log());
    assert!(ended.took < LEAVE, "{:?}\n{}", ended.took, agent.log());
    assert!(left.is_empty(), "{left:?}");
    gone(&before);
}

#[test]
fn nothing_is_left_after_sigkill() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let before = Objects::now();
    let mut agent = Agent::start(&cgroup, &[]);
    let ended = agent.end(Signal::SIGKILL);
    assert_has_objects(&ended.objects);
    // The kernel frees maps a moment after their last user.
    gone(&before);
    report("kill -9: kernel objects left", 0, before.left_behind().len());
}

#[test]
fn nothing_is_left_after_many_rounds() {
    let _alone = Stage::alone();
    let rounds = count(5, 50);
    let cgroup = Cgroup::new();
    let before = Objects::now();
    for round in 0..rounds {
        let mut agent = Agent::start(&cgroup, &[]);
        let signal = if round % 2 == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        assert_has_objects(&agent.end(signal).objects);
    }
    gone(&before);
    report(
        &format!("{rounds} rounds of start and stop: kernel objects left"),
        0,
        before.left_behind().len(),
    );
}

#[test]
fn a_second_agent_at_the_same_address_disturbs_nothing() {
    let stage = Stage::set();
    let before = stage.agent.objects();
    let address = stage.agent.address().to_string();
    let mut command = std::process::Command::new(plainsight_tests::harness::agent_binary());
    command.arg("run").arg("--cgroup").arg(stage.cgroup.path()).args(["--listen", &address]);
    let second = plainsight_tests::harness::run(&mut command);
    assert_eq!(second.status.code(), Some(2), "{}", second.stderr);
    assert!(second.stderr.contains(&address), "{}", second.stderr);
    assert_eq!(stage.agent.objects(), before);
}

/// A connection that is there before the agent, while it comes and goes, and after.
#[test]
fn connections_outlive_the_agent() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let rounds = 3;
    let (server, mut client) = long_connection(&cgroup, 2 * rounds + 1);
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM] {
        let mut agent = Agent::start(&cgroup, &[]);
        next(&mut client);
        agent.end(signal);
        next(&mut client);
    }
    client.proceed();
    let moved = (2 * rounds + 1) * 1009;
    assert_eq!(client.finish().without_ports(), Tally::of(1, moved, moved));
    assert_eq!(server.finish(), Tally::of(1, moved, moved));
}

/// A connection over which 1009 bytes go there and back so many times.
fn long_connection(cgroup: &Cgroup, times: u64) -> (Peer, Peer) {
    let place = Place::of(cgroup);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let answers = vec!["receive:1009,send:1009"; times as usize].join(",");
    let (server, to) = Peer::serve(place, "ps-server", listen, 1, &(answers + ",drain"));
    let questions = vec!["send:1009,receive:1009,wait"; times as usize].join(",");
    let mut client = Peer::connect(place, "ps-client", to, 1, &questions);
    client.waits();
    (server, client)
}

fn next(client: &mut Peer) {
    client.proceed();
    client.waits();
}

fn assert_has_objects(objects: &Objects) {
    let [programs, maps, links] = objects.by_kind();
    assert!(programs >= 8 && maps >= 5 && links >= 8, "{programs}, {maps}, {links}");
}

fn gone(before: &Objects) {
    until("the end of all kernel objects", || match before.left_behind() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}
