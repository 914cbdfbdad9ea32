//! A running agent, asked over its HTTP side.

use anyhow::{Context as _, bail};
use plainsight_core::finding::Report;
use reqwest::{Response, StatusCode, Url, redirect::Policy};
use std::time::Duration;

use crate::{
    export::prometheus::{self, Metric},
    serve::{FlowFilter, Snapshot},
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a whole answer may take; followed streams have no end.
const ANSWER: Duration = Duration::from_secs(60);

/// A record is a few kilobytes; a line of this length is something else.
const LONGEST_LINE: usize = 1024 * 1024;

/// A running agent.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// Nobody listens there.
#[derive(Debug, thiserror::Error)]
#[error("no agent at {0}: start it with `plainsight run`")]
pub struct NoAgent(String);

/// Lines that come in while they happen.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    buffer: Buffer,
}

/// Bytes that are cut into lines.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no line's end after `start`.
    searched: usize,
}

// === impl Client ===

impl Client {
    /// The agent at `api`, as in `http://127.0.0.1:9477`.
    pub fn new(api: &str) -> anyhow::Result<Self> {
        let base = Url::parse(api).ok().filter(|url| url.scheme() == "http" && url.has_host());
        let Some(base) = base else {
            bail!("--api {api}: write http://ADDRESS:PORT, as in http://127.0.0.1:9477");
        };
        let http = reqwest::Client::builder()
            // Neither a proxy nor a redirection has a place before a loopback address.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .context("the HTTP client could not be set up")?;
        Ok(Self { http, base })
    }

    /// The map.
    pub async fn edges(&self) -> anyhow::Result<Snapshot> {
        let text = self.edges_json().await?;
        serde_json::from_str(&text).with_context(|| {
            format!("the answer of {} is not a map: is it another version's agent?", self.address())
        })
    }

    /// The map as the agent wrote it.
    pub async fn edges_json(&self) -> anyhow::Result<String> {
        self.text("/api/v1/edges").await
    }

    /// How the name of a subject comes about, as the agent wrote it.
    pub async fn explain_json(&self, subject: &str) -> anyhow::Result<String> {
        let mut url = self.url("/api/v1/explain");
        url.query_pairs_mut().append_pair("subject", subject);
        let response = self.send(self.http.get(url).timeout(ANSWER)).await?;
        response.text().await.with_context(|| format!("the answer of {} broke off", self.address()))
    }

    /// What is wrong, as the agent wrote it.
    pub async fn findings_json(&self) -> anyhow::Result<String> {
        self.text("/api/v1/findings").await
    }

    /// The same, read.
    pub fn findings(&self, text: &str) -> anyhow::Result<Report> {
        serde_json::from_str(text).with_context(|| {
            format!(
                "the answer of {} are no findings: is it another version's agent?",
                self.address()
            )
        })
    }

    /// What the agent says of itself.
    pub async fn metrics(&self) -> anyhow::Result<Vec<Metric>> {
        let text = self.text("/metrics").await?;
        prometheus::parse(&text)
            .with_context(|| format!("the answer of {} is no metrics page", self.address()))
    }

    /// Whether the agent works, and why.
    pub async fn health(&self) -> anyhow::Result<(bool, String)> {
        let request = self.http.get(self.url("/healthz")).timeout(ANSWER);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let is_good = response.status() == StatusCode::OK;
        let text = response.text().await;
        let text = text.with_context(|| format!("the answer of {} broke off", self.address()))?;
        Ok((is_good, text))
    }

    /// Connections from now on.
    pub async fn follow(&self, filter: &FlowFilter) -> anyhow::Result<Lines> {
        let mut url = self.url("/api/v1/flows");
        url.query_pairs_mut().append_pair("follow", "true").extend_pairs(filter.pairs());
        let response = self.send(self.http.get(url)).await?;
        Ok(Lines { response, buffer: Buffer::default() })
    }

    async fn text(&self, path: &str) -> anyhow::Result<String> {
        let request = self.http.get(self.url(path)).timeout(ANSWER);
        let response = self.send(request).await?;
        response.text().await.with_context(|| format!("the answer of {} broke off", self.address()))
    }

    /// The address as people write it.
    fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => {
                let body = response.text().await.unwrap_or_default();
                bail!("{} refuses: {}", self.address(), reason(&body).unwrap_or(status.to_string()))
            }
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        if error.is_connect() {
            return NoAgent(self.address().to_owned()).into();
        }
        let context = format!("{} could not be asked", self.address());
        anyhow::Error::from(error.without_url()).context(context)
    }
}

/// What the agent wrote as its reason.
fn reason(body: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    Some(value.get("error")?.as_str()?.to_owned())
}

// === impl Lines ===

impl Lines {
    /// The next line without its end; none when the agent has ended the stream.
    pub async fn line(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(line) = self.buffer.take()? {
                return Ok(Some(line));
            }
            let chunk = self.response.chunk().await.context("the agent is gone")?;
            let Some(chunk) = chunk else { return Ok(None) };
            self.buffer.add(&chunk);
        }
    }
}

// === impl Buffer ===

impl Buffer {
    fn add(&mut self, bytes: &[u8]) {
        // Once for each chunk and not for each line: what is left of a line is moved to the front.
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn take(&mut self) -> anyhow::Result<Option<String>> {
        let Some(end) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            if self.searched - self.start > LONGEST_LINE {
                bail!("a line of more than {LONGEST_LINE} bytes is no record");
            }
            return Ok(None);
        };
        let end = self.searched + end;
        let line = self.bytes[self.start..end].to_vec();
        self.start = end + 1;
        self.searched = self.start;
        String::from_utf8(line).map(Some).context("a record is not UTF-8")
    }
}

#[cfg(test)]
mod tests;
