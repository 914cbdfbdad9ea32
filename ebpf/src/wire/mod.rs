//! Reading what is on the wire: headers and first bytes, the same code in kernel and agent.

mod coded;
pub mod datagram;
pub mod head;
pub mod ip;
pub mod message;
pub mod protocol;
pub mod search;
pub mod secret;
pub mod security;
pub mod stage;
pub mod talk;
pub mod tcp;
pub mod tls;
mod window;
pub mod words;
