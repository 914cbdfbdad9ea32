//! The server on a real socket, asked by hand-written requests.

use std::sync::Mutex;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::*;
use plainsight_core::finding::{Asked, Findings};

/// Long enough for a loaded machine, and never waited for where all is well.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Fake {
    ill: bool,
    followers: Mutex<Vec<(FlowFilter, mpsc::Sender<Bytes>)>>,
}

impl Source for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        let lost = Lost::from([("ring".into(), BTreeMap::from([("connection".into(), 5)]))]);
        let taken_at = Timestamp::UNIX_EPOCH;
        Arc::new(Snapshot { edges: Vec::new(), complete: true, lost, taken_at })
    }

    fn findings(&self) -> Report {
        let findings = Findings::new(Asked::default(), 1, Timestamp::UNIX_EPOCH);
        findings.report()
    }

    fn explain(&self, subject: &Subject) -> Explanation {
        let subject = subject.to_string();
        Explanation { subject, steps: Vec::new(), workload: None, given: Vec::new() }
    }

    fn recent(&self) -> Vec<Bytes> {
        vec!["{\"a\":1}".into(), "{\"b\":\"\\u001b\"}".into()]
    }

    fn follow(&self, filter: FlowFilter) -> Result<mpsc::Receiver<Bytes>, FollowError> {
        if filter.port == Some(1) {
            return Err(FollowError::NoSlot(16));
        }
        let (sender, receiver) = mpsc::channel(8);
        self.followers.lock().unwrap().push((filter, sender));
        Ok(receiver)
    }

    fn metrics(&self) -> anyhow::Result<(&'static str, String)> {
        Ok(("text/plain; version=0.0.4", "x 1\n".into()))
    }

    fn cut_off(&self) {}

    fn health(&self) -> Health {
        let why = if self.ill { "programs are detached" } else { "watching" };
        Health { alive: true, ready: !self.ill, why: why.into() }
    }
}

struct Server {
    source: Arc<Fake>,
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(source: Fake) -> Self {
        let source = Arc::new(source);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, Arc::clone(&source) as _, shutdown));
        Self { source, port, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Status, head and body of an answer.
    async fn ask(&self, request: &str) -> (u16, String, String) {
        let text = read_all(self.send(request).await).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port);
        self.ask(&request).await
    }

    async fn follow(&self, query: &str) -> TcpStream {
        let host = format!("Host: 127.0.0.1:{}", self.port);
        let path = format!("/api/v1/flows?follow=true{query}");
        let stream = self.send(&format!("GET {path} HTTP/1.1\r\n{host}\r\n\r\n")).await;
        eventually(|| !self.source.followers.lock().unwrap().is_empty()).await;
        stream
    }

    fn follower(&self) -> mpsc::Sender<Bytes> {
        self.source.followers.lock().unwrap()[0].1.clone()
    }

    async fn stop(self) -> io::Result<()> {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

async fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it never happened");
        sleep(Duration::from_millis(5)).await;
    }
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn edges_are_served() {
    let server = Server::start(Fake::default()).await;
    let (status, head, body) = server.get("/api/v1/edges").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let expect = json!({
        "edges": [], "complete": true, "lost": {"ring": {"connection": 5}},
        "taken_at": "1970-01-01T00:00:00Z"
    });
    assert_eq!(parsed(&body), expect);
    let read: Snapshot = serde_json::from_str(&body).unwrap();
    assert_eq!(read, *server.source.snapshot());
}

#[tokio::test]
async fn recent_flows_are_one_document() {
    let server = Server::start(Fake::default()).await;
    let (status, _, body) = server.get("/api/v1/flows").await;
    assert_eq!((status, parsed(&body)), (200, json!({"flows": [{"a": 1}, {"b": "\u{1b}"}]})));
}

#[tokio::test]
async fn metrics_have_their_content_type() {
    let server = Server::start(Fake::default()).await;
    let (status, head, body) = server.get("/metrics").await;
    assert_eq!((status, body.as_str()), (200, "x 1\n"));
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
}

#[tokio::test]
async fn health_says_why() {
    let well = Server::start(Fake::default()).await;
    assert_eq!(well.get("/healthz").await.0, 200);
    assert_eq!(well.get("/readyz").await.0, 200);
    let ill = Server::start(Fake { ill: true, ..Fake::default() }).await;
    assert_eq!(ill.get("/healthz").await.0, 200, "alive, though of no use now");
    let (status, _, body) = ill.get("/readyz").await;
    assert_eq!((status, body.as_str()), (503, "programs are detached\n"));
}

#[tokio::test]
async fn every_answer_binds_the_browser() {
    let server = Server::start(Fake::default()).await;
    for path in ["/api/v1/edges", "/metrics", "/nowhere", "/api/v1/flows?x=1"] {
        let (_, head, _) = server.get(path).await;
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
        assert!(head.contains("cache-control: no-store"), "{path}: {head}");
        assert!(!head.contains("access-control"), "{path}: {head}");
    }
}

#[tokio::test]
async fn problems_are_explained() {
    let server = Server::start(Fake::default()).await;
    let check = async |path: &str, expect: u16, part: &str| {
        let (status, _, body) = server.get(path).await;
        assert_eq!(status, expect, "{path}");
        let error = parsed(&body)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(part), "{path}: {error}");
    };
    check("/api/v1/edges?port=80", 400, "edges takes no query").await;
    check("/api/v1/flows?sort=asc", 400, "flows takes follow, port, cidr, workload").await;
    check("/api/v1/flows?follow=true&port=x", 400, "1 to 65535").await;
    check("/api/v1/flows?follow=true&port=1", 503, "all 16 filters are in use").await;
    check("/api/v2/edges", 404, "/api/v1/edges").await;
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let server = Server::start(Fake::default()).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let line = format!("{method} /api/v1/edges HTTP/1.1");
        let (status, _, _) =
            server.ask(&format!("{line}\r\nHost: localhost:{}\r\n\r\n", server.port)).await;
        assert_eq!(status, 405, "{method}");
    }
    for header in ["Content-Length: 7", "Transfer-Encoding: chunked"] {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost:{}\r\n{header}", server.port);
        let (status, _, _) = server.ask(&format!("{head}\r\n\r\n0\r\n\r\nxx")).await;
        assert_eq!(status, 413, "{header}");
    }
}

#[tokio::test]
async fn foreign_hosts_are_refused() {
    let server = Server::start(Fake::default()).await;
    let port = server.port;
    for host in [
        format!("Host: evil.example:{port}\r\n"),
        "Host: localhost\r\n".into(),
        format!("Host: localhost:{port}\r\nHost: evil.example\r\n"),
        String::new(),
    ] {
        let (status, _, body) = server.ask(&format!("GET /metrics HTTP/1.1\r\n{host}\r\n")).await;
        assert_eq!(status, 403, "{host}");
        assert!(body.contains(&format!("localhost:{port}")), "{body}");
    }
}

#[tokio::test]
async fn followed_records_arrive_one_a_line() {
    let server = Server::start(Fake::default()).await;
    let stream = server.follow("&port=8080&cidr=192.0.2.0/24").await;
    let filter = server.source.followers.lock().unwrap()[0].0.clone();
    assert_eq!((filter.port, filter.cidr), (Some(8080), "192.0.2.0/24".parse().ok()));
    let sender = server.follower();
    server.source.followers.lock().unwrap().clear();
    sender.send("{\"n\":1}\n".into()).await.unwrap();
    sender.send("{\"n\":2}\n".into()).await.unwrap();
    drop(sender);
    let text = read_all(stream).await;
    assert!(text.to_ascii_lowercase().contains("content-type: application/x-ndjson"), "{text}");
    assert!(text.contains("{\"n\":1}\n") && text.contains("{\"n\":2}\n"), "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "the stream ended in mid-air: {text:?}");
}

#[tokio::test]
async fn a_stream_ends_when_the_agent_stops() {
    let server = Server::start(Fake::default()).await;
    let stream = server.follow("").await;
    // The sender is still there: it is the server that ends the stream.
    let sender = server.follower();
    let start = Instant::now();
    server.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(read_all(stream).await.ends_with("0\r\n\r\n"));
    drop(sender);
}

#[tokio::test]
async fn a_client_that_goes_ends_its_filter() {
    let server = Server::start(Fake::default()).await;
    drop(server.follow("").await);
    let sender = server.follower();
    timeout(PATIENCE, sender.closed()).await.expect("the receiver is still held");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_idle_ones_end() {
    let server = Server::start(Fake::default()).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(server.connect().await);
    }
    let start = Instant::now();
    let (status, _, _) = server.get("/healthz").await;
    let waited = start.elapsed();
    assert_eq!(status, 200);
    assert!(waited > Duration::from_secs(2), "answered over the limit after {waited:?}");
    for mut stream in idle {
        let mut byte = [0];
        let end = timeout(PATIENCE, stream.read(&mut byte)).await.expect("still open");
        assert!(matches!(end, Ok(0) | Err(_)), "an idle connection was answered");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let server = Server::start(Fake::default()).await;
    let mut stream = server.send("GET /metrics HTTP/1.1\r\n").await;
    let start = Instant::now();
    while stream.write_all(b"X: y\r\n").await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "a slow client holds its place for ever");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_idle_client_does_not_hold_up_the_end() {
    let server = Server::start(Fake::default()).await;
    let idle = server.connect().await;
    server.get("/healthz").await;
    let start = Instant::now();
    server.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(idle);
}

#[tokio::test]
async fn findings_are_json_and_take_no_query() {
    let server = Server::start(Fake::default()).await;
    let (status, head, body) = server.get("/api/v1/findings").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let answer = parsed(&body);
    assert_eq!(answer["findings"], json!([]));
    assert_eq!(answer["not_proven"]["of"], json!({"hops": 0, "bytes": 0}));
    let (status, _, body) = server.get("/api/v1/findings?severity=high").await;
    assert_eq!((status, body.contains("findings takes no query")), (400, true), "{body}");
}
