//! The contract between the kernel programs and the agent, and the byte reading both share.
//!
//! Everything here is `no_std`, has no hidden padding and no dependency; with the feature `user`
//! the shared types also implement aya's `Pod`, so that the agent can read them from maps.
#![no_std]

pub mod abi;
pub mod wire;
