//! The programs: hooks call jobs, jobs call maps; none calls the other way.

mod bind;
mod connect;
mod context;
mod datagram;
mod edge;
mod emit;
#[cfg(feature = "entry")]
mod entry;
mod filter;
mod hooks;
mod identity;
mod late;
mod listen;
mod maps;
mod packet;
mod search;
mod share;
mod socket;
