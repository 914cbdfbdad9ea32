//! Plainsight's agent: all of it that touches the world.
//!
//! The rooms, and which way things flow between them (ARCHITECTURE.md has the whole table):
//!
//! ```text
//! kernel → intake → plainsight_core → export, serve        what was seen
//! discover → plainsight_core                               who it was
//! ```
//!
//! * [`agent`] is the event loop, and the only file that knows all rooms.
//! * [`kernel`] loads and attaches the programs and reads their maps. Only it knows aya.
//! * [`intake`] turns what the kernel gives into core's values.
//! * [`discover`] asks the host who owns a socket.
//! * [`export`] and [`serve`] hand out what is known; they change nothing.
//! * [`replay`] reads capture files in place of all that.
//! * [`cli`] and [`config`] are what was typed, and what it amounts to.
//! * [`doctor`], [`client`] and [`view`] belong to the commands: checks of the host, questions to a
//!   running agent, text for people.

pub mod agent;
pub mod cli;
pub mod client;
pub mod config;
pub mod discover;
pub mod doctor;
pub mod export;
pub mod intake;
pub mod kernel;
pub mod replay;
pub mod serve;
pub mod view;
