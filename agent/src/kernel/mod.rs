//! The kernel side, as the agent holds it: programs, links and maps. The only room that knows aya.
//!
//! Nothing is pinned: when the last descriptor closes, by `drop` or by the death of the process,
//! the kernel takes everything out.

mod attach;
mod attached;
mod batch;
mod error;
mod leave;
mod links;
mod load;
mod older;
mod retire;
mod tables;
#[cfg(feature = "trace")]
mod trace;
mod usage;

pub use attached::{Attached, attached};
/// What may be read from the kernel's bytes as it stands.
pub use aya::Pod;
pub use error::KernelError;
pub use links::detached_links;
pub use load::{Kernel, Options};
pub use older::OlderConnection;
pub use tables::{FilterSlot, Owner, Ring};
pub use usage::{MapUsage, ProgramUsage};
