//! Everything Plainsight decides from bytes and configuration alone.
//!
//! No I/O, no clock, no randomness: files and sockets cannot even be named here (`no_std`), time
//! is an argument, and no input makes it panic. The rooms stand in the order in which observations
//! flow, and each imports only rooms to its left:
//!
//! [`escape`] < [`protocol`] < [`flow`] < [`identity`] < [`record`] < [`graph`] <
//! [`finding`]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

pub mod escape;
pub mod finding;
pub mod flow;
pub mod graph;
pub mod identity;
pub mod ledger;
pub mod protocol;
pub mod record;

mod fnv;
