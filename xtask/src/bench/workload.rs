//! What the load can do, and by which names.

/// One kind of work, done over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    Connections,
    Requests,
    Udp,
    Bulk,
}

// === impl Workload ===

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Connections, Self::Requests, Self::Udp, Self::Bulk];

    /// Its name in the load's command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Udp => "udp",
            Self::Bulk => "bulk",
        }
    }
}
