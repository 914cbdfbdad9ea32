//! Per-CPU totals: the balance, and one counter for everything that can be lost.

/// Index into the COUNTERS array. Each CPU has its own copy; the agent adds them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Connections established, both ends counted.
    Opened = 0,
    /// Connections that had been established and ended.
    Closed = 1,
    /// Connects that failed.
    Failed = 2,
    /// Payload bytes sent that were taken from sockets, wherever they went from there.
    SentBytes = 3,
    /// Payload bytes received, likewise.
    ReceivedBytes = 4,
    /// Edge updates refused because the map was full.
    EdgesFull = 5,
    /// Edge updates refused because the map's bucket was busy.
    EdgesBusy = 6,
    /// Edge updates refused for another reason.
    EdgesOther = 7,
    /// Payload bytes sent that found no edge.
    OverflowSentBytes = 8,
    /// Payload bytes received that found no edge.
    OverflowReceivedBytes = 9,
    /// Established connections that found no edge.
    OverflowOpened = 10,
    /// Ends of connections that found no edge.
    OverflowClosed = 11,
    /// Failures that found no edge.
    OverflowFailed = 12,
    /// First-seen events the ring had no room for. The edge itself is in the map.
    RingFullFirstSeen = 13,
    /// Connection records the ring had no room for.
    RingFullConnection = 14,
    /// Connection records a filter asked for.
    RecordsWanted = 15,
    /// Sockets for which no storage could be had.
    StorageFull = 16,
    /// Segments of TCP sockets without storage, before those older than the agent were taken over.
    SegmentsOlder = 17,
    /// Packets whose headers could not be read.
    PacketsUnreadable = 18,
    /// UDP datagrams sent, taken from sockets.
    DatagramsSent = 19,
    /// UDP datagrams offered to a local socket, likewise.
    DatagramsReceived = 20,
    /// UDP datagrams sent that found no edge.
    OverflowDatagramsSent = 21,
    /// UDP datagrams received that found no edge.
    OverflowDatagramsReceived = 22,
    /// Sockets whose callback flags could not be set: their end will not be seen.
    CallbacksRefused = 23,
    /// Server ends that were paired with their local client.
    Paired = 24,
    /// Connections that went from one edge to another.
    Moved = 25,
    /// Connections older than the programs that were taken over.
    Adopted = 26,
    /// Edges that their cgroup had too many of: they were folded into one.
    Folded = 27,
    /// Cgroups whose edges could not be counted: they have no bound.
    QuotasFull = 28,
    /// Conversations over UDP that could not be remembered.
    ConversationsRefused = 29,
    /// Parts of handshakes the ring had no room for.
    RingFullHandshake = 30,
}

impl Counter {
    /// How many there are.
    pub const COUNT: u32 = 31;
}
