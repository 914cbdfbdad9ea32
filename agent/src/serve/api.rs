//! Paths, their query keys, and their answers.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use plainsight_core::identity::explain::Subject;
use serde::Serialize;
use tokio::{sync::watch, task::spawn_blocking};

use super::{FlowFilter, FollowError, Source, follow::Lines};

/// What may be asked about.
pub(crate) const SUBJECTS: &str = "write an address, the id of a process, the path of a cgroup from the root of \
                                   the cgroup2 hierarchy, or cgroup/ID";

const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; charset=utf-8";

/// What every handler has.
#[derive(Clone)]
struct Shared {
    source: Arc<dyn Source>,
    port: u16,
    stopped: watch::Receiver<bool>,
}

/// An answer other than the one asked for: a status, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    status: StatusCode,
    error: String,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    error: &'a str,
}

/// What the query of `flows` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct FlowQuery {
    follow: bool,
    filter: FlowFilter,
}

/// Pairs of a query, in their order.
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

// === impl Problem ===

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    fn bad_query(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&ProblemBody { error: &self.error }).unwrap_or_default();
        (self.status, [(CONTENT_TYPE, JSON)], body).into_response()
    }
}

impl From<FollowError> for Problem {
    fn from(error: FollowError) -> Self {
        let status = match error {
            FollowError::NoSlot(_) => StatusCode::SERVICE_UNAVAILABLE,
            FollowError::Refused(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

/// All paths, for a server on `port` of a loopback address. When `stopped` becomes true, followed
/// streams end.
pub fn router(source: Arc<dyn Source>, port: u16, stopped: watch::Receiver<bool>) -> Router {
    let shared = Shared { source, port, stopped };
    Router::new()
        .route("/api/v1/edges", get(edges))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/flows", get(flows))
        .route("/metrics", get(metrics))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .fallback(not_found)
        .method_not_allowed_fallback(read_only)
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

async fn edges(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    no_query("edges", query)?;
    let body = serde_json::to_vec(&*shared.source.snapshot()).map_err(internal)?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

async fn explain(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    let pairs = pairs(query)?;
    let [(key, value)] = pairs.as_slice() else {
        return Err(Problem::bad_query("explain takes one key: subject"));
    };
    if key != "subject" {
        return Err(Problem::bad_query(format!("unknown key {key:?}; explain takes subject")));
    }
    let subject = Subject::parse(value).ok_or_else(|| Problem::bad_query(SUBJECTS))?;
    // It reads files, which the threads that serve others do not wait for.
    let explained = spawn_blocking(move || shared.source.explain(&subject)).await;
    let body = serde_json::to_vec(&explained.map_err(internal)?).map_err(internal)?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

async fn findings(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    no_query("findings", query)?;
    let body = serde_json::to_vec(&shared.source.findings()).map_err(internal)?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

async fn flows(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    let query = FlowQuery::read(&pairs(query)?)?;
    if query.follow {
        let records = shared.source.follow(query.filter)?;
        let body = Body::new(Lines::new(records, shared.stopped));
        return Ok(([(CONTENT_TYPE, JSON_LINES)], body).into_response());
    }
    let body = [b"{\"flows\":[".as_slice(), &shared.source.recent().join(&b','), b"]}"].concat();
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

async fn metrics(State(shared): State<Shared>) -> Result<Response, Problem> {
    let (content_type, text) = shared.source.metrics().map_err(internal)?;
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

async fn alive(State(shared): State<Shared>) -> Response {
    let health = shared.source.health();
    state(health.alive, health.why)
}

async fn ready(State(shared): State<Shared>) -> Response {
    let health = shared.source.health();
    state(health.alive && health.ready, health.why)
}

fn state(good: bool, why: String) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, TEXT)], why + "\n").into_response()
}

async fn not_found() -> Problem {
    let paths = "no such path; there are /api/v1/edges, /api/v1/explain, /api/v1/findings, \
                 /api/v1/flows, /metrics, /healthz, /readyz";
    Problem::new(StatusCode::NOT_FOUND, paths)
}

async fn read_only() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this server is read-only: use GET")
}

fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!("an answer could not be written: {error:#}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
}

/// Stands before every handler: refuses what no client of ours sends, and says on every answer
/// what a browser must not do with it.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = match refuse(request.headers(), shared.port) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // One request for each connection: that makes the deadline for its head a simple one.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refuse(headers: &HeaderMap, port: u16) -> Option<Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    if hosts.next().is_some() || !is_own(host, port) {
        let error = format!(
            "the Host header must name this server, as in 127.0.0.1:{port} or localhost:{port}: \
             a web page could read it otherwise; through a tunnel use port {port} at both ends"
        );
        return Some(Problem::new(StatusCode::FORBIDDEN, error));
    }
    let length = headers.get(CONTENT_LENGTH).map_or(b"0".as_slice(), HeaderValue::as_bytes);
    if length != b"0" || headers.contains_key(TRANSFER_ENCODING) {
        let error = "no request here has a body: leave it out";
        return Some(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error));
    }
    None
}

/// Whether a Host header is this server's: a loopback name or address, and the port.
fn is_own(host: &str, port: u16) -> bool {
    let (name, given) = match host.rsplit_once(':') {
        // The colon may belong to an address in brackets without a port.
        Some((name, given)) if !given.ends_with(']') => (name, given.parse().ok()),
        _ => (host, Some(80)),
    };
    given == Some(port) && is_loopback(name)
}

fn is_loopback(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address: Option<IpAddr> = bare.unwrap_or(name).parse().ok();
    // Brackets belong to IPv6 and to nothing else (RFC 3986, section 3.2.2).
    let well_formed = address.is_some_and(|address| address.is_ipv6() == bare.is_some());
    match address {
        Some(address) => well_formed && address.to_canonical().is_loopback(),
        None => name.eq_ignore_ascii_case("localhost"),
    }
}

// === impl FlowQuery ===

impl FlowQuery {
    fn read(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut query = Self::default();
        let mut seen = Vec::new();
        for (key, value) in pairs {
            if seen.contains(&key) {
                return Err(Problem::bad_query(format!("{key} is there twice: give it once")));
            }
            seen.push(key);
            query.set(key, value)?;
        }
        if !query.follow && query.filter != FlowFilter::default() {
            return Err(Problem::bad_query(
                "filters choose what is recorded from now on: add follow=true",
            ));
        }
        query.filter.check().map_err(Problem::bad_query)?;
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        match key {
            "follow" => self.follow = truth(value)?,
            _ => self.filter.set(key, value).map_err(Problem::bad_query)?,
        }
        Ok(())
    }
}

fn pairs(query: Pairs) -> Result<Vec<(String, String)>, Problem> {
    query.map(|Query(pairs)| pairs).map_err(|error| Problem::bad_query(error.body_text()))
}

fn no_query(path: &str, query: Pairs) -> Result<(), Problem> {
    match pairs(query)?.first() {
        Some((key, _)) => {
            Err(Problem::bad_query(format!("unknown key {key:?}; {path} takes no query")))
        }
        None => Ok(()),
    }
}

fn truth(value: &str) -> Result<bool, Problem> {
    let error = || Problem::bad_query(format!("follow={value}: write follow=true or follow=false"));
    value.parse().map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<FlowQuery, String> {
        let pairs: Vec<(String, String)> = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        FlowQuery::read(&pairs).map_err(|problem| problem.error)
    }

    #[test]
    fn queries_are_read() {
        assert_eq!(query(""), Ok(FlowQuery::default()));
        let all = query("follow=true&port=8080&cidr=10.1.2.3/8&workload=nginx").unwrap();
        let filter = FlowFilter {
            port: Some(8080),
            cidr: Some("10.0.0.0/8".parse().unwrap()),
            workload: Some("nginx".into()),
            ..FlowFilter::default()
        };
        assert_eq!(all, FlowQuery { follow: true, filter });
        let one = query("follow=true&cidr=192.0.2.7").unwrap();
        assert_eq!(one.filter.cidr, Some("192.0.2.7/32".parse().unwrap()));
    }

    #[test]
    fn bad_queries_say_what_to_write_instead() {
        let check = |text: &str, part: &str| {
            let error = query(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("folow=true", "takes follow, port, cidr, workload");
        check("follow=yes", "write follow=true or follow=false");
        check("follow=true&port=0", "1 to 65535");
        check("follow=true&port=65536", "1 to 65535");
        check("follow=true&cidr=10.0.0.0/33", "as in 10.0.0.0/8");
        check("follow=true&workload=", "write its name");
        check("follow=true&port=1&port=2", "port is there twice");
        check("port=80", "add follow=true");
        check("follow=true&security=tls&plaintext=true", "leave out plaintext");
    }

    #[test]
    fn only_loopback_names_with_our_port_are_ours() {
        let check = |host: &str, expect: bool| assert_eq!(is_own(host, 9477), expect, "{host}");
        check("127.0.0.1:9477", true);
        check("localhost:9477", true);
        check("LocalHost:9477", true);
        check("[::1]:9477", true);
        check("127.0.0.9:9477", true);
        check("localhost", false);
        check("localhost:80", false);
        check("evil.example:9477", false);
        check("localhost.evil.example:9477", false);
        check("192.0.2.1:9477", false);
        check("[2001:db8::1]:9477", false);
        check("[127.0.0.1]:9477", false);
        check("::1:9477", false);
        check("user@localhost:9477", false);
        check("", false);
        check(":9477", false);
        assert!(is_own("localhost", 80) && is_own("[::1]", 80));
    }
}
