//! Lines the programs log, in a build that is made for looking at them.
//!
//! Their ring drops lines when it is full and does not say so: nothing that counts may use it.

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::Kernel;

/// The programs' lines, on their way to the agent's own log.
pub(super) type Logger = EbpfLogger<&'static dyn log::Log>;

// === impl Kernel ===

impl Kernel {
    /// Logs the lines that have come since the last time.
    pub fn flush_trace(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

/// Starts to take lines; none are taken if that fails.
pub(super) fn start(ebpf: &mut Ebpf) -> Option<Logger> {
    EbpfLogger::init(ebpf).inspect_err(|error| tracing::warn!("no trace lines: {error}")).ok()
}
