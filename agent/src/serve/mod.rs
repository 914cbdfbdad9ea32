//! The agent's HTTP side: read-only, on a loopback address.
//!
//! What is served comes from a [`Source`]; nothing here knows where it has it from. A browser can
//! be led to any local port, so the Host header must name this server, nothing is shared across
//! origins, and content types are not guessed. Clients can be slow or many: connections are
//! limited, each carries one request, its head must arrive in time, and its answer must be taken.

pub(crate) mod api;
mod connection;
pub(crate) mod filter;
mod follow;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use plainsight_core::{
    finding::Report,
    graph::Edge,
    identity::explain::{Explanation, Subject},
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};

pub use api::router;
pub use filter::FlowFilter;

/// How many connections are served at a time; more wait to be accepted.
pub const CONNECTIONS: usize = 64;

/// How long answers under way may take once the agent stops.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long a client may take nothing of its answer.
const STUCK: Duration = Duration::from_secs(30);

/// What was lost, by stage and reason.
pub type Lost = BTreeMap<String, BTreeMap<String, u64>>;

/// The map at one moment: what `GET /api/v1/edges` gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The edges, in their own order.
    pub edges: Vec<Edge>,
    /// Whether nothing was lost that would be on an edge.
    pub complete: bool,
    /// What was lost, by stage and reason.
    pub lost: Lost,
    /// The moment.
    pub taken_at: Timestamp,
}

/// Whether the agent works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it does anything at all; if not, it should be restarted.
    pub alive: bool,
    /// Whether it sees connections now.
    pub ready: bool,
    /// The reason, for people.
    pub why: String,
}

/// Why connections cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// All filters that the kernel can hold are taken.
    #[error("all {0} filters are in use: end another `plainsight observe` and try again")]
    NoSlot(usize),
    /// The filter cannot be put into the kernel.
    #[error("{0}")]
    Refused(String),
}

/// Where answers come from. Every method is called often and must not wait.
pub trait Source: Send + Sync + 'static {
    /// The map as it was last read.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// What is wrong, as of the map that was last read.
    fn findings(&self) -> Report;

    /// How the name of a subject comes about.
    fn explain(&self, subject: &Subject) -> Explanation;

    /// The latest records, oldest first, each one JSON value and its line feed.
    fn recent(&self) -> Vec<Bytes>;

    /// Follows connections from now on: one JSON value and its line feed for each. It ends when the sender is
    /// dropped; dropping the receiver takes the filter out of the kernel.
    fn follow(&self, filter: FlowFilter) -> Result<mpsc::Receiver<Bytes>, FollowError>;

    /// Metrics as text, and their content type.
    fn metrics(&self) -> anyhow::Result<(&'static str, String)>;

    /// A client was cut off, because it took nothing of its answer for too long.
    fn cut_off(&self);

    /// Whether the agent works.
    fn health(&self) -> Health;
}

/// Serves `source` on `listener` until `shutdown`, then ends followed streams, gives answers under
/// way a moment, and returns.
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn Source>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let cut_off = Arc::clone(&source);
    let router = router(source, listener.local_addr()?.port(), stopped.clone());
    let listener =
        connection::Limited::new(listener, CONNECTIONS, STUCK, Arc::new(move || cut_off.cut_off()));
    let serving = axum::serve(listener, router).with_graceful_shutdown(until(stopped));
    let serving = async { serving.await };
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return result,
        () = shutdown => {}
    }
    stop.send_replace(true);
    // Whoever is not done by then is cut off: the agent's end does not wait for a slow reader.
    timeout(LAST_ANSWERS, serving).await.unwrap_or(Ok(()))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good a reason to stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests;
