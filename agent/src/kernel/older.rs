//! Connections that were there before the programs: the agent lists them, the programs take each
//! over at its next packet or its end.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{HashMap, IterableMap as _, Map, MapData};
use plainsight_ebpf::{
    abi::{
        Address,
        edge::{GUESSED, LATE, Role},
        flow::{Flow, Pair, Phase, SocketState, VERIFIED},
    },
    wire::{ip::TCP, stage::Stage},
};

use super::{Kernel, KernelError, MapUsage, Owner, batch::Batch, usage::usage};

/// Elements a call.
const BATCH: usize = 1024;

/// What the kernel's hash takes for each place, and for each element beside its key and value.
const PLACE_BYTES: u64 = 16;
const ELEMENT_BYTES: u64 = 48 + (size_of::<u64>() + size_of::<SocketState>()) as u64;

/// The table of those that wait.
pub(super) struct OlderTable {
    map: HashMap<MapData, u64, SocketState>,
    batch: Batch<u64, SocketState>,
    /// How many waited when it was last looked at.
    waiting: u64,
}

/// One end of an older connection.
#[derive(Clone, Copy, Debug)]
pub struct OlderConnection {
    /// The socket's cookie.
    pub cookie: u64,
    /// Who holds it.
    pub owner: Owner,
    /// This end's address and port.
    pub local: (Address, u16),
    /// The other end's.
    pub remote: (Address, u16),
    /// Whether this end accepted it.
    pub is_server: bool,
    /// Whether that is only likely.
    pub is_guessed: bool,
    /// The kernel's count of bytes acknowledged so far.
    pub acked: u64,
    /// The kernel's count of bytes received so far.
    pub received: u64,
    /// Where this end is the server and its client is on this host too: who that is.
    pub client: Option<Owner>,
}

// === impl OlderTable ===

impl OlderTable {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let map = HashMap::try_from(map)
            .map_err(|refusal| KernelError::Map { name: "OLDER", refusal })?;
        Ok(Self { map, batch: Batch::new(BATCH, 0, SocketState::default()), waiting: 0 })
    }

    /// It takes memory for the elements it holds only, but before Linux 6.4 the kernel tells what
    /// it would take if it was full.
    pub(super) fn usage(&self) -> MapUsage {
        let mut usage = usage("OLDER", self.map.map().fd().as_fd().as_raw_fd());
        let held = usage.capacity * PLACE_BYTES + self.waiting * ELEMENT_BYTES;
        usage.memory_bytes = usage.memory_bytes.min(held);
        usage
    }
}

// === impl Kernel ===

impl Kernel {
    /// Lists a connection, to be taken over. False if there is no room for it: then it is taken
    /// over at its next packet all the same, with less known of it.
    pub fn add_older(&mut self, connection: &OlderConnection, now_ns: u64) -> bool {
        let state = SocketState {
            flow: self.older_flow(connection),
            opened_ns: now_ns,
            joined_acked_or_pair: connection.acked,
            joined_received: connection.received,
            phase: Phase::Open as u8,
            settled: 1,
            done_in: 1,
            done_out: 1,
            ..SocketState::default()
        };
        let has_room = self.older.map.insert(connection.cookie, state, 0).is_ok();
        self.older.waiting += u64::from(has_room);
        has_room
    }

    fn older_flow(&self, connection: &OlderConnection) -> Flow {
        let (local, remote) = (connection.local, connection.remote);
        let flow = Flow {
            own: self.own(&connection.owner),
            remote: remote.0,
            local: local.0,
            port: if connection.is_server { local.1 } else { remote.1 },
            role: if connection.is_server { Role::Server } else { Role::Client } as u8,
            transport: TCP,
            stage: Stage::Unknown as u8,
            flags: LATE | VERIFIED | if connection.is_guessed { GUESSED } else { 0 },
            ..Flow::default()
        };
        let Some(client) = &connection.client else { return flow };
        // It asked for what this end is.
        let client = self.own(client);
        let (cgroup, netns, name) = (client.cgroup, client.netns, client.name);
        let pair =
            Pair { cgroup, netns, asked: local.0, name, asked_port: local.1, ..Pair::default() };
        let mut paired = flow;
        paired.pair(&pair);
        paired
    }

    /// Says that all there are were listed: what is not among them is taken over from now on.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the update.
    pub fn adopt_others(&mut self) -> Result<(), KernelError> {
        self.settings.adopts = 1;
        self.configure()
    }

    /// Calls `each` for every connection that still waits, by its cookie.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the read.
    pub fn read_older(
        &mut self,
        mut each: impl FnMut(&u64, &SocketState),
    ) -> Result<(), KernelError> {
        let OlderTable { map, batch, waiting } = &mut self.older;
        *waiting = 0;
        let count = |cookie: &u64, state: &SocketState| {
            *waiting += 1;
            each(cookie, state);
        };
        batch
            .read(map.map().fd().as_fd(), count)
            .map_err(|refusal| KernelError::Read { name: "OLDER", refusal })
    }

    /// Takes a connection off the list that is no more.
    pub fn remove_older(&mut self, cookie: u64) {
        // A program may just have taken it over.
        let _absent = self.older.map.remove(&cookie);
    }
}
