//! What the tests across Plainsight's parts stand on.
//!
//! A test sets a [`harness::Stage`]: a cgroup of its own with an agent attached to it. It lets
//! peers talk in it (the program `peer` of this package) and compares what they counted with what
//! the agent says, number by number. Nothing is attached to the root of the hierarchy, nothing
//! leaves loopback and the test's own network namespaces, and everything is gone afterwards.

pub mod harness;
pub mod recording;
