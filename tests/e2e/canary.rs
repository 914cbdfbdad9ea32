//! The agent notices when it has become blind.

use plainsight_tests::harness::{Agent, Cgroup, Peer, Place, Stage, one, report, until};

/// Three of these without a canary are a fault.
const INTERVAL: &str = "2s";

const FLAGS: [&str; 2] = ["--canary-interval", INTERVAL];

#[test]
fn an_agent_whose_program_was_detached_says_so() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    for program in ["sock_ops", "connect4"] {
        let agent = Agent::start_inside(&cgroup, &FLAGS);
        until("the canary's return", || returned(&agent, 1));
        assert_eq!(agent.get("/healthz").status, 200);
        agent.objects().detach(program);
        let why = bad_health(&agent, "canary: none came back for ");
        report(&format!("health without {program}"), "canary: none came back", why.trim());
        assert_eq!(agent.get("/readyz").status, 503);
    }
}

/// A single connection does without some of the programs, and the agent may be out of its reach.
#[test]
fn every_program_that_was_detached_is_missed() {
    let stage = Stage::with(&FLAGS);
    let programs = ["post_bind6", "connect6", "sendmsg4", "cgroup_skb_ingress", "sock_release"];
    for (gone, program) in programs.iter().enumerate() {
        stage.agent.objects().detach(program);
        bad_health(&stage.agent, &format!("programs detached from the cgroup: {}", gone + 1));
    }
}

#[test]
fn the_canary_is_counted_and_not_shown() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let agent = Agent::start_inside(&cgroup, &FLAGS);
    until("the canary's second return", || returned(&agent, 2));
    let place = Place::of(&cgroup);
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(place, "ps-server", listen, 23, "receive:31,drain");
    Peer::connect(place, "ps-client", to, 23, "send:31").finish();
    server.finish();
    agent.scan();
    let edges = agent.edges();
    let edge = one(&edges, "ps-client", "ps-server").expect("the peers' edge");
    // What asks the agent is seen as well.
    let api = u64::from(agent.address().port());
    assert!(edges.iter().all(|other| other.0 == edge.0 || other.number("server_port") == api));
    assert_eq!(edge.number("connections"), 23);
    assert_eq!(agent.get("/api/v1/flows").json()["flows"].as_array().map(Vec::len), Some(0));
    let metrics = agent.metrics();
    assert_eq!(metrics.get("plainsight_record_filters", &[]), Ok(0));
    assert_eq!(metrics.get("plainsight_balance_error", &[]), Ok(0));
    let opened = metrics.get("plainsight_connections_opened_total", &[]).expect("a count");
    assert!(opened >= 2 * (23 + 2), "{opened} opened: the canary's are among the totals");
    let at = metrics.get("plainsight_canary_last_success_timestamp_seconds", &[]);
    assert_ne!(at, Ok(0), "a time of day");
}

#[test]
fn an_agent_outside_of_what_it_watches_has_no_canary_and_says_so() {
    let stage = Stage::with(&FLAGS);
    let answer = until("a word on the canary", || match stage.agent.get("/healthz") {
        answer if answer.body.contains("not possible") => Ok(answer),
        answer => Err(answer.body),
    });
    let expect = format!(
        "attached; canary: not possible: the agent runs outside {}\n",
        stage.cgroup.path().display()
    );
    assert_eq!((answer.status, answer.body), (200, expect));
}

fn bad_health(agent: &Agent, reason: &str) -> String {
    until("bad health", || match agent.get("/healthz") {
        answer if answer.status == 503 && answer.body.contains(reason) => Ok(answer.body),
        answer => Err(answer.body),
    })
}

fn returned(agent: &Agent, times: u64) -> Result<(), String> {
    let metrics = agent.metrics();
    match metrics.get("plainsight_canary_runs_total", &[("result", "returned")])? {
        count if count >= times => Ok(()),
        count => Err(format!("{count} returned, health: {}", agent.get("/healthz").body)),
    }
}
