//! What the agent serves: shapes that scripts rely on, and what it refuses.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use plainsight_tests::harness::{Peer, Stage, one};
use serde_json::Value;

/// Keys of an edge, which scripts rely on.
const EDGE: [&str; 28] = [
    "id",
    "client",
    "server",
    "server_address",
    "server_port",
    "transport",
    "protocol",
    "application",
    "connections",
    "open",
    "failures",
    "failures_by_kind",
    "bytes_sent",
    "bytes_received",
    "rtt_seconds",
    "first_seen",
    "last_seen",
    "reporters",
    "joined_late",
    "complete",
    "security",
    "state",
    "upgrade",
    "link",
    "scope",
    "tls",
    "evidence",
    "verdict",
];

const WORKLOAD: [&str; 9] = [
    "name",
    "kind",
    "namespace",
    "service",
    "host",
    "cluster",
    "owner",
    "matched_by",
    "confidence",
];

#[test]
fn edges_have_their_keys() {
    let stage = stage_with_an_edge();
    let response = stage.agent.get("/api/v1/edges");
    assert_eq!((response.status, response.header("content-type")), (200, "application/json"));
    let answer = response.json();
    assert_keys(&answer, &["edges", "complete", "lost", "taken_at"]);
    assert_eq!(answer["complete"], true, "{answer}");
    let edges = stage.agent.edges();
    let edge = &one(&edges, "ps-client", "ps-server").expect("one edge").0;
    assert_keys(edge, &EDGE);
    assert_keys(edge, &["confidence", "protocol_version"]);
    assert_keys(&edge["client"], &WORKLOAD);
    assert_keys(&edge["server"], &WORKLOAD);
    assert_keys(&edge["failures_by_kind"], &["refused", "timeout", "denied"]);
    assert_keys(&edge["evidence"], &["what", "connections", "of"]);
    assert_keys(&edge["verdict"], &["decision", "rule", "requirement"]);
    assert_eq!(edge["transport"], "tcp", "{edge}");
    assert_eq!(edge["complete"], true, "{edge}");
    for end in ["client", "server"] {
        assert_eq!(edge[end]["kind"], "process", "{edge}");
    }
    for key in ["first_seen", "last_seen"] {
        let time = edge[key].as_str().unwrap_or_default();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{key}: {time}");
    }
}

#[test]
fn the_command_line_shows_what_the_api_gives() {
    let stage = stage_with_an_edge();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(plainsight_tests::harness::agent_binary());
        let finished = plainsight_tests::harness::run(
            command.args(arguments).args(["--api", &stage.agent.url()]),
        );
        assert!(finished.status.success(), "{arguments:?}: {}", finished.stderr);
        finished.stdout
    };
    let edges = |text: &str| -> Value {
        let mut answer: Value = serde_json::from_str(text).expect("JSON");
        answer["edges"].take()
    };
    assert_eq!(edges(&run(&["map", "-o", "json"])), {
        edges(&stage.agent.get("/api/v1/edges").body)
    });
    let screen = run(&["map"]);
    assert!(screen.contains("ps-client") && screen.contains("ps-server"), "{screen}");
    assert!(!screen.contains('\u{1b}'), "no colour where there is no terminal: {screen:?}");
    let checks = run(&["doctor", "--cgroup", &stage.cgroup.path().display().to_string()]);
    assert!(!checks.is_empty() && !checks.contains('\u{1b}'), "{checks:?}");
}

#[test]
fn health_is_told() {
    let stage = Stage::set();
    for path in ["/healthz", "/readyz"] {
        let response = stage.agent.get(path);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert!(!response.body.trim().is_empty(), "{path} says why");
    }
}

#[test]
fn bad_questions_are_refused_with_a_reason() {
    let stage = Stage::set();
    let check = |path: &str, status: u16| {
        let response = stage.agent.get(path);
        assert_eq!(response.status, status, "{path}: {}", response.body);
        let reason = response.json();
        assert!(reason["error"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {reason}");
    };
    check("/api/v1/flows?follow=true&port=http", 400);
    check("/api/v1/flows?follow=true&port=0", 400);
    check("/api/v1/flows?follow=true&port=65536", 400);
    check("/api/v1/flows?follow=true&cidr=10.0.0.0/33", 400);
    check("/api/v1/flows?follow=perhaps", 400);
    check("/api/v1/flows?unknown=1", 400);
    check("/api/v1/flows?port=80", 400);
    check("/api/v1/edges?port=80", 400);
    check("/api/v2/edges", 404);
    check("/", 404);
}

#[test]
fn only_its_own_name_is_answered() {
    let stage = Stage::set();
    let port = stage.agent.address().port();
    let check = |host: &str, status: u16| {
        for path in ["/api/v1/edges", "/metrics", "/healthz"] {
            let response = stage.agent.get_as(path, host);
            assert_eq!(response.status, status, "{path} of {host}: {}", response.body);
        }
    };
    check(&format!("127.0.0.1:{port}"), 200);
    check(&format!("localhost:{port}"), 200);
    check(&format!("example.org:{port}"), 403);
    check("example.org", 403);
    check("127.0.0.1.example.org", 403);
    check("", 403);
}

#[test]
fn nothing_can_be_written() {
    let stage = Stage::set();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let mut stream = TcpStream::connect(stage.agent.address()).expect("the agent listens");
        let host = stage.agent.address();
        write!(
            stream,
            "{method} /api/v1/edges HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .expect("the agent reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the agent answers");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
    }
}

#[test]
fn metrics_are_of_the_format() {
    let stage = stage_with_an_edge();
    let response = stage.agent.get("/metrics");
    let content_type = response.header("content-type");
    assert!(content_type.starts_with("text/plain") && content_type.contains("0.0.4"));
    let metrics = stage.agent.metrics();
    let labels = [("client_workload", "ps-client"), ("server_workload", "ps-server")];
    assert_eq!(metrics.get("plainsight_edge_connections_total", &labels), Ok(3));
    for (direction, bytes) in [("sent", 93), ("received", 51)] {
        let labels = [labels[0], labels[1], ("direction", direction)];
        assert_eq!(metrics.get("plainsight_edge_bytes_total", &labels), Ok(bytes));
    }
    assert_eq!(metrics.get("plainsight_balance_error", &[]), Ok(0));
    for name in metrics.names() {
        assert!(name.starts_with("plainsight_") || name.starts_with("process_"), "{name}");
    }
}

fn stage_with_an_edge() -> Stage {
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (server, to) =
        Peer::serve(stage.place(), "ps-server", listen, 3, "receive:31,send:17,drain");
    Peer::connect(stage.place(), "ps-client", to, 3, "send:31,receive:17").finish();
    server.finish();
    stage.agent.settle();
    stage
}

fn assert_keys(value: &Value, keys: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for key in keys {
        assert!(object.contains_key(*key), "no {key} in {value}");
    }
}
