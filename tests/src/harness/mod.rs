//! The harness: one file for each thing a test needs.

mod agent;
mod answer;
mod busy;
mod cgroup;
mod ethtool;
mod http;
mod metrics;
mod namespace;
mod netlink;
mod objects;
mod observer;
mod peer;
mod program;
mod report;
mod stage;
mod verifier;
mod wait;

pub use agent::{Agent, Ended};
pub use answer::{Edge, Record, one, only};
pub use busy::Busy;
pub use cgroup::Cgroup;
pub use ethtool::Offload;
pub use http::{Response, get, get_as};
pub use metrics::Metrics;
pub use namespace::{Link, Namespace};
pub use objects::Objects;
pub use observer::{Observed, Observer};
pub use peer::{Peer, Place, Tally};
pub use program::{Finished, agent_binary, peer_binary, run};
pub use report::{count, full, is_guest, report, skip};
pub use stage::Stage;
pub use verifier::verified_instructions;
pub use wait::{patience, until};
