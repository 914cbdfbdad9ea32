//! What the host itself says about a socket's owner: mounts, cgroups, processes.
//!
//! Reads files below `/proc` and the cgroup2 mount; decides nothing about traffic. Each reader is
//! a pure parser with a thin layer of input around it, so that the parsers are tested on text.

pub mod cgroup;
pub mod containers;
mod files;
mod holders;
pub mod link;
pub mod listeners;
pub mod mount;
pub mod names;
mod netlink;
pub mod older;
pub mod process;
pub mod sockets;
pub mod units;
