//! From the object that was built in, to maps and programs in the kernel.

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{Array, HashMap, MapData, PerCpuArray, SkStorage},
    programs::Program,
};
use plainsight_ebpf::abi::{
    config::{Config, Filter},
    edge::{Quota, QuotaKey},
    flow::SocketState,
};

use super::{KernelError, older::OlderTable, tables::EdgeTable};

/// Sizes that are fixed when maps are made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most edges the kernel counts at once.
    pub max_edges: u32,
    /// Most edges of one cgroup before they are folded; 0 for no bound.
    pub quota: u32,
    /// Bytes of the event ring: a power of two, and whole pages.
    pub ring_bytes: u32,
}

/// Everything of ours in the kernel. Dropping it takes everything out.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) sockets: SkStorage<MapData, SocketState>,
    pub(super) edges: EdgeTable,
    pub(super) quotas: HashMap<MapData, QuotaKey, Quota>,
    pub(super) leaves: HashMap<MapData, u64, u64>,
    pub(super) older: OlderTable,
    pub(super) counters: PerCpuArray<MapData, u64>,
    pub(super) config: Array<MapData, Config>,
    pub(super) filters: Array<MapData, Filter>,
    pub(super) settings: Config,
    process_names: bool,
    #[cfg(feature = "trace")]
    pub(super) logger: Option<super::trace::Logger>,
}

/// Every program, in the order in which they are attached: who connects or binds is noted before
/// anything is counted, so that no connection starts without a name in between.
pub(super) const PROGRAMS: [&str; 10] = [
    "post_bind4",
    "post_bind6",
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "cgroup_skb_egress",
    "cgroup_skb_ingress",
    "sock_ops",
    "sock_release",
];

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plainsight-ebpf"));

// === impl Kernel ===

impl Kernel {
    /// Makes the maps and loads the programs. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// If the kernel refuses a map or a program.
    pub fn load(options: &Options) -> Result<Self, KernelError> {
        // Newer kernels lend the helper for a process's name only with CAP_PERFMON. If that is not
        // it, the second refusal is for the same reason as the first.
        let loaded = Self::try_load(options, true).or_else(|error| match error {
            KernelError::Program { .. } => Self::try_load(options, false),
            _ => Err(error),
        });
        give_back();
        loaded
    }

    fn try_load(options: &Options, process_names: bool) -> Result<Self, KernelError> {
        let names = u8::from(process_names);
        let mut ebpf = EbpfLoader::new()
            .override_global("NAMES", &names, true)
            .map_max_entries("EDGES", options.max_edges)
            .map_max_entries("EVENTS", options.ring_bytes)
            .load(OBJECT)?;
        for name in PROGRAMS {
            let program = ebpf.program_mut(name).ok_or(KernelError::Missing(name))?;
            load(program).map_err(|refusal| KernelError::Program { name, refusal })?;
        }
        let mut kernel = Self {
            sockets: table(&mut ebpf, "SOCKETS")?,
            edges: EdgeTable::new(take(&mut ebpf, "EDGES")?, options.max_edges)?,
            quotas: table(&mut ebpf, "QUOTAS")?,
            leaves: table(&mut ebpf, "LEAVES")?,
            older: OlderTable::new(take(&mut ebpf, "OLDER")?)?,
            counters: table(&mut ebpf, "COUNTERS")?,
            config: table(&mut ebpf, "CONFIG")?,
            filters: table(&mut ebpf, "FILTERS")?,
            settings: Config { quota: options.quota, ..Config::default() },
            process_names,
            #[cfg(feature = "trace")]
            logger: super::trace::start(&mut ebpf),
            ebpf,
        };
        kernel.configure()?;
        Ok(kernel)
    }

    /// Whether the programs read process names. Without them, workloads that share a cgroup
    /// cannot be told apart.
    #[must_use]
    pub const fn reads_process_names(&self) -> bool {
        self.process_names
    }

    /// The object itself, as it was built in.
    #[must_use]
    pub fn object_bytes() -> &'static [u8] {
        OBJECT
    }
}

/// Gives back what parsing the object took, several times what the agent needs from then on: the
/// allocator would keep it.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn load(program: &mut Program) -> Result<(), aya::programs::ProgramError> {
    match program {
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::SockOps(program) => program.load(),
        _ => Err(aya::programs::ProgramError::UnexpectedProgramType),
    }
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, KernelError> {
    ebpf.take_map(name).ok_or(KernelError::Missing(name))
}

fn table<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, KernelError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    T::try_from(take(ebpf, name)?).map_err(|refusal| KernelError::Map { name, refusal })
}
