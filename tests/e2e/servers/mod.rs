//! Debian's own servers and clients: how each is started on a port of its own, and what the agent
//! has to say of the hop between them.
//!
//! One file is one family. Nothing here touches a configuration of the host: all that a server
//! reads and writes is in a folder that goes with it.

mod certificates;
mod dovecot;
mod exim;
mod expect;
mod folder;
mod idle;
mod kerberos;
pub(crate) mod mariadb;
mod memcached;
mod mosquitto;
mod nginx;
pub(crate) mod postgresql;
mod proftpd;
mod rabbitmq;
pub(crate) mod redis;
mod samba;
mod server;
mod slapd;
mod sshd;

pub(crate) use certificates::{Authority, Identity, Key};
pub(crate) use expect::Expect;
pub(crate) use folder::Folder;
pub(crate) use server::{Hop, Running, Sealing, Server, Yard, free, program};

use std::{
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use plainsight_tests::harness::{
    Agent, Edge, Namespace, Place, Stage, count, full, patience, report, run, skip, until,
};

/// From the first of a connection to the right word about it.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn nginx_and_curl() {
    check("nginx", nginx::start);
}

#[test]
fn postgresql_and_psql() {
    check("PostgreSQL", postgresql::start);
}

#[test]
fn mariadb_and_its_client() {
    check("MariaDB", mariadb::start);
}

#[test]
fn redis_and_its_client() {
    check("Redis", redis::start);
}

#[test]
fn exim_and_curl() {
    check("Exim", exim::start);
}

#[test]
fn sshd_and_ssh() {
    check("sshd", sshd::start);
}

#[test]
fn memcached_and_curl() {
    check("memcached", memcached::start);
}

#[test]
fn mosquitto_and_its_client() {
    check("mosquitto", mosquitto::start);
}

#[test]
fn rabbitmq_and_its_client() {
    check_in_full("rabbitmq_and_its_client", "RabbitMQ", rabbitmq::start);
}

#[test]
fn slapd_and_ldapsearch() {
    check_in_full("slapd_and_ldapsearch", "slapd", slapd::start);
}

#[test]
fn slapd_and_ldapsearch_with_tickets() {
    let test = "slapd_and_ldapsearch_with_tickets";
    check_in_full(test, "slapd with Kerberos", slapd::start_with_tickets);
}

#[test]
fn dovecot_and_curl() {
    check_in_full("dovecot_and_curl", "Dovecot", dovecot::start);
}

#[test]
fn proftpd_and_curl() {
    check_in_full("proftpd_and_curl", "ProFTPD", proftpd::start);
}

#[test]
fn samba_and_its_client() {
    check_in_full("samba_and_its_client", "Samba", samba::start);
}

/// Families whose packages are large stay with the full counts, for which they are installed.
fn check_in_full(test: &str, family: &str, start: fn(&Yard<'_>) -> Running) {
    if full() {
        check(family, start);
    } else {
        skip(test, "its packages are large: `cargo xtask prove` installs and runs it");
    }
}

/// On loopback, and between two namespaces that a veth pair joins.
fn check(family: &str, start: fn(&Yard<'_>) -> Running) {
    let authority = Authority::new();
    let mut wrong = Vec::new();
    {
        let stage = Stage::set();
        let host = Namespace::new();
        let place = stage.within(&host);
        let yard = Yard::new(place, &host, [127, 0, 0, 1].into(), &authority);
        wrong.extend(judge(&stage, &start(&yard), &host, &format!("{family} on loopback")));
    }
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let ip = near.join(&far).v4[1].into();
    let yard = Yard::new(stage.within(&far), &far, ip, &authority);
    wrong.extend(judge(&stage, &start(&yard), &near, &format!("{family} over veth")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lets the clients of all hops go, one hop after the other, and compares what the agent says.
fn judge(stage: &Stage, running: &Running, clients: &Namespace, what: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for hop in &running.hops {
        let cgroup = stage.cgroup.child(&format!("{}.service", hop.name));
        let place = Place::of(&cgroup).within(clients);
        let name = format!("{what}: {}", hop.name);
        if let Err(reason) = one(&stage.agent, hop, place, what) {
            wrong.push(format!("{name}: {reason}"));
        }
        // No gap excuses a secret that nobody could read.
        let told = edge(&stage.agent, hop).map(|edge| hop.expect.check_secret(&edge));
        wrong.extend(told.flatten().err().map(|reason| format!("{name}: {reason}")));
    }
    if !wrong.is_empty() {
        wrong.push(running.logs());
    }
    wrong
}

/// The first client's hop in time, and after all of them the same still.
fn one(agent: &Agent, hop: &Hop, place: Place<'_>, what: &str) -> Result<(), String> {
    let first = first(agent, hop, place);
    let took = first
        .as_ref()
        .map_or_else(|_| "not right".into(), |took| format!("{} ms", took.as_millis()));
    report(&format!("{what}: {} is right, after", hop.name), "at most 2,000 ms", took);
    let others = count(4, 22);
    for _ in 0..others {
        succeed(&mut placed(hop, place))?;
    }
    let expect = hop.connections * (others + 1);
    // Servers keep connections of their own, so the map is never at rest.
    let edge = until("all connections", || {
        let edges = agent.edges();
        let edge = find(&edges, hop)?;
        match (edge.number("connections"), edge.number("open")) {
            (all, 0) if all >= expect => Ok(edge.clone()),
            other => Err(format!("connections and open: {other:?} of {expect}")),
        }
    });
    let connections = edge.number("connections");
    if connections != expect {
        return Err(format!("{connections} connections and not {expect}: {}", edge.0));
    }
    hop.expect.check(&edge, connections)?;
    first.map(|_| ())
}

/// How long after the first of the first connection the agent was right.
fn first(agent: &Agent, hop: &Hop, place: Place<'_>) -> Result<Duration, String> {
    let (told, end) = mpsc::sync_channel(1);
    let mut command = placed(hop, place);
    thread::scope(|scope| {
        scope.spawn(move || told.send(succeed(&mut command)));
        let took = in_time(agent, hop);
        // What the client itself complains of explains the rest.
        end.recv_timeout(patience()).map_err(|error| error.to_string())??;
        took
    })
}

fn in_time(agent: &Agent, hop: &Hop) -> Result<Duration, String> {
    let start = Instant::now();
    loop {
        let edges = agent.edges();
        let found = find(&edges, hop);
        match found.and_then(|edge| hop.expect.check(edge, 1).map(|()| since(edge))) {
            Ok(took) if took <= LIMIT => return Ok(took),
            Ok(took) => return Err(format!("right only after {} ms", took.as_millis())),
            Err(reason) if start.elapsed() > 2 * LIMIT => return Err(reason),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// How long ago the edge was seen first.
fn since(edge: &Edge) -> Duration {
    let first: jiff::Timestamp = edge.text("first_seen").parse().expect("a time");
    jiff::Timestamp::now().duration_since(first).try_into().unwrap_or_default()
}

/// The one edge from the hop's clients to its server.
fn find<'a>(edges: &'a [Edge], hop: &Hop) -> Result<&'a Edge, String> {
    let client = format!("{}.service", hop.name);
    let is_hop =
        |edge: &&Edge| edge.client() == client && edge.number("server_port") == u64::from(hop.port);
    let mut found = edges.iter().filter(is_hop);
    match (found.next(), found.next()) {
        (Some(edge), None) => Ok(edge),
        _ => Err(format!("not one edge {client} → :{} of {}", hop.port, edges.len())),
    }
}

fn edge(agent: &Agent, hop: &Hop) -> Result<Edge, String> {
    find(&agent.edges(), hop).cloned()
}

fn placed(hop: &Hop, place: Place<'_>) -> Command {
    let mut command = (hop.client)();
    place.place(&mut command);
    command
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let finished = run(command);
    if finished.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}{}", finished.status, finished.stdout, finished.stderr))
}
