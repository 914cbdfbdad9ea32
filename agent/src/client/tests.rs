//! The client before agents that answer well, ill, or not at all.

use super::*;
use plainsight_core::protocol::Security;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// An agent that answers once with this text, and gives back the request's first line.
async fn agent(answer: &str) -> (Client, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answer = answer.to_owned();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned()
    });
    (client, task)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_missing_agent_is_said_to_be_missing() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(&api).unwrap().edges().await.unwrap_err();
    assert_eq!(format!("{error:#}"), format!("no agent at {api}: start it with `plainsight run`"));
}

#[test]
fn addresses_that_are_none_are_refused() {
    for api in ["localhost:9477", "https://localhost:9477", "", "http://", "file:///etc/passwd"] {
        let error = Client::new(api).unwrap_err().to_string();
        assert!(error.contains("write http://ADDRESS:PORT"), "{api}: {error}");
    }
}

#[tokio::test]
async fn the_map_is_read() {
    let body = r#"{"edges":[],"complete":false,"lost":{},"taken_at":"2026-11-24T00:00:00Z"}"#;
    let (client, request) = agent(&answer("200 OK", body)).await;
    let map = client.edges().await.unwrap();
    assert!(map.edges.is_empty() && !map.complete);
    assert_eq!(request.await.unwrap(), "GET /api/v1/edges HTTP/1.1");
}

#[tokio::test]
async fn reasons_are_passed_on() {
    let refusal = answer("503 Service Unavailable", r#"{"error":"all 32 filters are in use"}"#);
    let (client, _request) = agent(&refusal).await;
    let error = client.follow(&FlowFilter::default()).await.unwrap_err().to_string();
    assert!(error.ends_with("refuses: all 32 filters are in use"), "{error}");
    let (client, _request) = agent(&answer("500 Internal Server Error", "<html>")).await;
    let error = client.edges_json().await.unwrap_err().to_string();
    assert!(error.ends_with("refuses: 500 Internal Server Error"), "{error}");
}

#[tokio::test]
async fn other_servers_are_told_from_agents() {
    let (client, _request) = agent(&answer("200 OK", "hello")).await;
    let error = client.edges().await.unwrap_err().to_string();
    assert!(error.contains("is not a map"), "{error}");
    let (client, _request) = agent(&answer("200 OK", "hello")).await;
    assert!(client.metrics().await.unwrap_err().to_string().contains("no metrics page"));
}

#[tokio::test]
async fn filters_go_into_the_query() {
    let filter = FlowFilter {
        port: Some(8080),
        cidr: Some("10.0.0.0/8".parse().unwrap()),
        workload: Some("a&b=c d".into()),
        security: vec![Security::None, Security::Tls],
        ..FlowFilter::default()
    };
    let (client, request) = agent(&answer("200 OK", "{\"a\":1}\n{\"b\":2}\n")).await;
    let mut lines = client.follow(&filter).await.unwrap();
    assert_eq!(lines.line().await.unwrap().as_deref(), Some("{\"a\":1}"));
    assert_eq!(lines.line().await.unwrap().as_deref(), Some("{\"b\":2}"));
    assert_eq!(lines.line().await.unwrap(), None);
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/flows?follow=true&port=8080&cidr=10.0.0.0%2F8&workload=a%26b%3Dc+d\
         &security=none%2Ctls HTTP/1.1"
    );
}

#[test]
fn lines_are_cut_wherever_chunks_end() {
    let mut buffer = Buffer::default();
    let mut lines = Vec::new();
    for chunk in ["on", "e\ntw", "o\n\nth", "", "ree", "\n"] {
        buffer.add(chunk.as_bytes());
        while let Some(line) = buffer.take().unwrap() {
            lines.push(line);
        }
    }
    assert_eq!(lines, ["one", "two", "", "three"]);
}

#[test]
fn a_line_without_end_is_refused() {
    let mut buffer = Buffer::default();
    buffer.add(&vec![b'x'; LONGEST_LINE]);
    assert_eq!(buffer.take().unwrap(), None);
    buffer.add(b"xx");
    assert!(buffer.take().is_err());
}
