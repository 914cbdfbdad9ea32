//! From what was typed and what the file says to settings that have been checked.
//!
//! Each setting is taken from the first that has it: flag, environment, file, default. (The
//! command line parser has already merged the first two.) A setting that cannot be used is
//! refused with the place it came from and what to write instead.

mod links;
pub mod names;

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use plainsight_core::flow::link::Declaration;
use serde::{Deserialize, de::DeserializeOwned};
use serde_saphyr::{Location, Spanned};

use crate::{
    cli::{self, KernelArgs, LogFormat, ObserveArgs, RunArgs, ScanArgs},
    serve::FlowFilter,
};

const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9477));
const MAX_EDGES: u32 = 131_072;
const CANARY_INTERVAL: Duration = Duration::from_secs(10);

/// Looking through all processes costs some ten milliseconds.
const COMPARE_INTERVAL: Duration = Duration::from_secs(60);
const RING_BYTES: u32 = 1024 * 1024;
const EDGE_IDLE: Duration = Duration::from_secs(60 * 60);

/// One cgroup may have so much of the map's room, unless somebody says otherwise.
const QUOTA_PART: u32 = 8;

/// What the maps take that have a fixed size: pairs, conversations, quotas and leaves.
const OTHER_MAPS: u64 = 16 * 1024 * 1024;

/// 4 GiB of kernel memory that is allocated at the start, whether it is used or not.
const MOST_EDGES: u32 = 16 * 1024 * 1024;

/// The kernel's own limit is higher; more than this was surely meant otherwise.
const LARGEST_RING: u32 = 1024 * 1024 * 1024;

/// A file of this size is no settings file.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Settings of `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is asked of the kernel.
    pub kernel: KernelConfig,
    /// Where to serve; always a loopback address.
    pub listen: SocketAddr,
    /// How to log.
    pub log_format: LogFormat,
    /// The cluster's name, put on every local workload; without one the host's own.
    pub cluster: Option<String>,
    /// The file with names for networks.
    pub names: Option<PathBuf>,
    /// Where findings are kept from one run to the next.
    pub state_dir: Option<PathBuf>,
    /// Whether clients without a certificate are findings.
    pub one_way: bool,
    /// What somebody declares of links.
    pub links: Vec<Declaration>,
    /// How often the agent checks itself by a connection of its own.
    pub canary_interval: Duration,
    /// How often what the programs saw is compared with the kernel's list of sockets.
    pub compare_interval: Duration,
}

/// Settings of `scan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanConfig {
    /// What is asked of the kernel.
    pub kernel: KernelConfig,
    /// How long to watch.
    pub duration: Duration,
    /// Whether clients without a certificate are findings.
    pub one_way: bool,
    /// What somebody declares of links.
    pub links: Vec<Declaration>,
}

/// What is asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// The cgroup to watch; none for the host's root.
    pub cgroup: Option<PathBuf>,
    /// Capacity of the edge map.
    pub max_edges: u32,
    /// Most edges of one cgroup; 0 for no bound.
    pub edge_quota: u32,
    /// How long an edge without connections is kept.
    pub edge_idle: Duration,
    /// Size of the ring: a power of two, whole pages.
    pub ring_bytes: u32,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}{problem}")]
pub struct ConfigError {
    place: Place,
    problem: String,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A flag or its variable.
    Typed,
    /// The file, and where in it if that is known.
    File { path: PathBuf, line_column: Option<(u64, u64)> },
}

/// What a settings file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    listen: Option<Spanned<SocketAddr>>,
    cgroup: Option<Spanned<PathBuf>>,
    max_edges: Option<Spanned<u32>>,
    edge_quota: Option<Spanned<u32>>,
    edge_idle: Option<Spanned<String>>,
    ring_bytes: Option<Spanned<u32>>,
    log_format: Option<Spanned<LogFormat>>,
    cluster: Option<Spanned<String>>,
    names: Option<Spanned<PathBuf>>,
    state_dir: Option<Spanned<PathBuf>>,
    one_way: Option<Spanned<bool>>,
    links: Option<Spanned<PathBuf>>,
}

/// A value that somebody chose, and where.
#[derive(Debug)]
struct Chosen<T> {
    value: T,
    place: Place,
}

// === impl Config ===

impl Config {
    /// The settings of `run`, the file read and everything checked.
    pub fn new(typed: RunArgs) -> Result<Self, ConfigError> {
        let (path, mut file) = match typed.config {
            Some(path) => (path.clone(), File::read(&path)?),
            None => (PathBuf::new(), File::default()),
        };
        let chosen = Chooser { path: &path };
        Ok(Self {
            kernel: KernelConfig::chosen(&chosen, typed.kernel, &mut file)?,
            listen: listen(chosen.of(typed.listen, file.listen))?,
            log_format: chosen
                .of(typed.log_format, file.log_format)
                .map(|c| c.value)
                .unwrap_or_default(),
            cluster: cluster(chosen.of(typed.cluster, file.cluster))?,
            names: chosen.of(typed.names, file.names).map(|chosen| chosen.value),
            state_dir: chosen.of(typed.state_dir, file.state_dir).map(|chosen| chosen.value),
            one_way: typed.one_way || file.one_way.is_some_and(|chosen| chosen.value),
            links: declared(chosen.of(typed.links, file.links))?,
            canary_interval: typed.canary_interval.unwrap_or(CANARY_INTERVAL),
            compare_interval: typed.compare_interval.unwrap_or(COMPARE_INTERVAL),
        })
    }
}

// === impl ScanConfig ===

impl ScanConfig {
    /// The settings of `scan`, checked.
    pub fn new(typed: ScanArgs) -> Result<Self, ConfigError> {
        let kernel = KernelConfig::new(typed.kernel)?;
        let links = declared(typed.links.map(Chosen::typed))?;
        Ok(Self { kernel, duration: typed.duration, one_way: typed.one_way, links })
    }
}

// === impl KernelConfig ===

impl KernelConfig {
    /// What was typed, checked.
    pub fn new(typed: KernelArgs) -> Result<Self, ConfigError> {
        Self::chosen(&Chooser { path: Path::new("") }, typed, &mut File::default())
    }

    fn chosen(
        chosen: &Chooser<'_>,
        typed: KernelArgs,
        file: &mut File,
    ) -> Result<Self, ConfigError> {
        let max_edges = max_edges(chosen.of(typed.max_edges, file.max_edges.take()))?;
        let quota = chosen.of(typed.edge_quota, file.edge_quota.take());
        let idle = chosen.of(None, file.edge_idle.take()).map(edge_idle).transpose()?;
        Ok(Self {
            cgroup: chosen.of(typed.cgroup, file.cgroup.take()).map(|chosen| chosen.value),
            max_edges,
            edge_quota: quota.map_or(max_edges.div_ceil(QUOTA_PART), |chosen| chosen.value),
            edge_idle: typed.edge_idle.or(idle).unwrap_or(EDGE_IDLE),
            ring_bytes: ring_bytes(chosen.of(typed.ring_bytes, file.ring_bytes.take()))?,
        })
    }

    /// Roughly what the maps take of kernel memory: what a limit on locked memory must allow.
    pub fn memory_bytes(&self) -> u64 {
        // Key and value take 296 bytes; with the element's own head and its bucket 368 is ample.
        u64::from(self.max_edges) * 368 + u64::from(self.ring_bytes) * 2 + OTHER_MAPS
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed => write!(f, "--"),
            Self::File { path, line_column: Some((line, column)) } => {
                write!(f, "{}:{line}:{column}: ", path.display())
            }
            Self::File { path, line_column: None } => write!(f, "{}: ", path.display()),
        }
    }
}

// === impl Chosen ===

impl<T> Chosen<T> {
    fn typed(value: T) -> Self {
        Self { value, place: Place::Typed }
    }

    fn refused(&self, problem: String) -> ConfigError {
        ConfigError { place: self.place.clone(), problem }
    }
}

/// Takes what was typed before what the file says.
struct Chooser<'a> {
    path: &'a Path,
}

// === impl Chooser ===

impl Chooser<'_> {
    fn of<T>(&self, typed: Option<T>, file: Option<Spanned<T>>) -> Option<Chosen<T>> {
        typed.map(Chosen::typed).or_else(|| {
            let Spanned { value, referenced, .. } = file?;
            Some(Chosen { value, place: in_file(self.path, Some(referenced)) })
        })
    }
}

// === impl File ===

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        yaml(path, &text(path)?).map(Option::unwrap_or_default)
    }
}

/// What stands in a file of settings.
fn text(path: &Path) -> Result<String, ConfigError> {
    let refused = |problem| ConfigError { place: in_file(path, None), problem };
    let size = fs::metadata(path).map(|file| file.len());
    if size.is_ok_and(|size| size > LARGEST_FILE) {
        return Err(refused("larger than 1 MiB: this is no settings file".into()));
    }
    fs::read_to_string(path).map_err(|error| refused(error.to_string()))
}

/// What it says; none where it has nothing but comments.
fn yaml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Option<T>, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| ConfigError {
        place: in_file(path, error.location()),
        problem: problem(&error),
    })
}

fn declared(chosen: Option<Chosen<PathBuf>>) -> Result<Vec<Declaration>, ConfigError> {
    chosen.map_or(Ok(Vec::new()), |file| links::read(&file.value))
}

fn in_file(path: &Path, location: Option<Location>) -> Place {
    let known = location.filter(|location| location.line() > 0);
    Place::File {
        path: path.to_owned(),
        line_column: known.map(|location| (location.line(), location.column())),
    }
}

/// The parser's error in our words where it is ours to explain, else in its own.
fn problem(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
        let nearest = match nearest(field, expected) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the keys are {}", expected.join(", ")),
        };
        return format!("unknown key `{field}`; {nearest}");
    }
    let text = error.to_string();
    // The place already stands in front.
    let head = text.lines().next().unwrap_or_default();
    head.split(" at line ").next().unwrap_or(head).to_owned()
}

/// The known name that `typed` is most likely a slip of: one edit for every three letters.
fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase().replace('_', "-");
    let ranked = known.iter().map(|name| (edits(&typed, name), *name));
    let (distance, name) = ranked.min()?;
    (distance <= name.len().div_ceil(3)).then_some(name)
}

/// Levenshtein's distance: the fewest insertions, removals and changes of one letter.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn listen(chosen: Option<Chosen<SocketAddr>>) -> Result<SocketAddr, ConfigError> {
    let Some(chosen) = chosen else { return Ok(LISTEN) };
    if chosen.value.ip().to_canonical().is_loopback() {
        return Ok(chosen.value);
    }
    Err(chosen.refused(format!(
        "listen {}: not a loopback address, and there is no TLS and no token yet, so anyone who \
         reaches it could read who talks to whom; write 127.0.0.1:{port}, and reach it from \
         elsewhere through a tunnel with the same port at both ends (ssh -L \
         {port}:127.0.0.1:{port} HOST)",
        chosen.value,
        port = chosen.value.port()
    )))
}

fn max_edges(chosen: Option<Chosen<u32>>) -> Result<u32, ConfigError> {
    let Some(chosen) = chosen else { return Ok(MAX_EDGES) };
    if (1..=MOST_EDGES).contains(&chosen.value) {
        return Ok(chosen.value);
    }
    Err(chosen.refused(format!("max-edges {}: write 1 to {MOST_EDGES}", chosen.value)))
}

fn edge_idle(chosen: Chosen<String>) -> Result<Duration, ConfigError> {
    cli::duration(&chosen.value)
        .map_err(|problem| chosen.refused(format!("edge-idle {}: {problem}", chosen.value)))
}

fn ring_bytes(chosen: Option<Chosen<u32>>) -> Result<u32, ConfigError> {
    let Some(chosen) = chosen else { return Ok(RING_BYTES) };
    let (value, page) = (chosen.value, page_bytes());
    if value.is_power_of_two() && (page..=LARGEST_RING).contains(&value) {
        return Ok(value);
    }
    // The next power of two, within what is allowed.
    let instead = value.clamp(page, LARGEST_RING).next_power_of_two();
    Err(chosen.refused(format!(
        "ring-bytes {value}: the kernel wants a power of two and whole pages of {page} bytes, and \
         at most {LARGEST_RING}; write {instead}"
    )))
}

/// A page's size; a power of two, so that every larger power of two is whole pages.
fn page_bytes() -> u32 {
    // SAFETY: sysconf takes a number, touches no memory of ours and keeps nothing.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

fn cluster(chosen: Option<Chosen<String>>) -> Result<Option<String>, ConfigError> {
    let Some(chosen) = chosen else { return Ok(None) };
    if chosen.value.is_empty() || chosen.value.len() > 253 {
        let problem = "cluster: write a name of 1 to 253 bytes, or leave it out".to_owned();
        return Err(chosen.refused(problem));
    }
    Ok(Some(chosen.value))
}

/// The filters of `observe`, checked.
pub fn filter(typed: &ObserveArgs) -> Result<FlowFilter, ConfigError> {
    let filter = FlowFilter {
        port: typed.port,
        cidr: typed.cidr,
        workload: typed.workload.clone(),
        transport: typed.transport,
        security: typed.security.clone(),
        plaintext: typed.plaintext,
        verdict: typed.verdict,
        min_duration: typed.min_duration,
        min_bytes: typed.min_bytes,
        sample: typed.sample,
    };
    let refused = |problem| ConfigError { place: Place::Typed, problem };
    filter.check().map_err(refused)?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str, typed: RunArgs) -> Result<Config, String> {
        // Tests run side by side, each with a file of its own.
        let name = format!("plainsight-config-{:?}.yaml", std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        let config = Config::new(RunArgs { config: Some(path.clone()), ..typed });
        fs::remove_file(&path).unwrap();
        config.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    fn typed(kernel: KernelArgs) -> Result<Config, String> {
        Config::new(RunArgs { kernel, ..RunArgs::default() }).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = Config::new(RunArgs::default()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9477");
        assert_eq!((config.kernel.max_edges, config.kernel.ring_bytes), (131_072, 1_048_576));
        assert_eq!((config.kernel.cgroup, config.cluster), (None, None));
    }

    #[test]
    fn a_file_sets_what_was_not_typed() {
        let text = "# Settings.\nlisten: 127.0.0.1:9000\nmax-edges: 1000\nring-bytes: 65536\nedge-idle: 90m\n\
                    log-format: json\ncgroup: /sys/fs/cgroup/x\ncluster: west\n\
                    state-dir: /var/lib/plainsight\none-way: true\n";
        let kernel = KernelArgs { max_edges: Some(77), ..KernelArgs::default() };
        let config = from_file(text, RunArgs { kernel, ..RunArgs::default() }).unwrap();
        let expect = Config {
            kernel: KernelConfig {
                cgroup: Some("/sys/fs/cgroup/x".into()),
                max_edges: 77,
                edge_quota: 10,
                edge_idle: Duration::from_secs(5400),
                ring_bytes: 65_536,
            },
            listen: "127.0.0.1:9000".parse().unwrap(),
            log_format: LogFormat::Json,
            cluster: Some("west".into()),
            names: None,
            state_dir: Some("/var/lib/plainsight".into()),
            one_way: true,
            links: Vec::new(),
            canary_interval: CANARY_INTERVAL,
            compare_interval: COMPARE_INTERVAL,
        };
        assert_eq!(config, expect);
    }

    #[test]
    fn a_file_may_set_nothing() {
        for text in ["", "\n", "# only a comment\n", "---\n", "{}\n"] {
            assert_eq!(
                from_file(text, RunArgs::default()),
                Ok(Config::new(RunArgs::default()).unwrap()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_file_is_refused_with_place_and_remedy() {
        let check = |text: &str, expect: &str| {
            assert_eq!(from_file(text, RunArgs::default()).unwrap_err(), expect, "{text:?}");
        };
        check(
            "cluster: a\nlisen: 127.0.0.1:1\n",
            "FILE:2:1: unknown key `lisen`; did you mean `listen`?",
        );
        check("max_edges: 7\n", "FILE:1:1: unknown key `max_edges`; did you mean `max-edges`?");
        check(
            "zzz: 1\n",
            "FILE:1:1: unknown key `zzz`; the keys are listen, cgroup, max-edges, edge-quota, \
             edge-idle, ring-bytes, \
             log-format, cluster, names, state-dir, one-way, links",
        );
        check("max-edges: 0\n", "FILE:1:12: max-edges 0: write 1 to 16777216");
        check(
            "\n\ncluster: ''\n",
            "FILE:3:10: cluster: write a name of 1 to 253 bytes, or leave it out",
        );
    }

    #[test]
    fn values_of_the_wrong_type_name_their_place() {
        let check = |text: &str, start: &str| {
            let error = from_file(text, RunArgs::default()).unwrap_err();
            assert!(error.starts_with(start) && !error.contains('\n'), "{text:?}: {error}");
        };
        check("max-edges: many\n", "FILE:1:12: ");
        check("listen: here\n", "FILE:1:9: ");
        check("log-format: xml\n", "FILE:1:13: ");
        check("listen: [\n", "FILE:");
        check("cluster: a\ncluster: b\n", "FILE:2:1: ");
        check("- a\n", "FILE:1:1: ");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let config = Some("/no/such/file.yaml".into());
        let error = Config::new(RunArgs { config, ..RunArgs::default() }).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/file.yaml: No such file"), "{error}");
    }

    #[test]
    fn rings_are_powers_of_two_and_whole_pages() {
        let check = |bytes: u32, instead: Option<u32>| {
            let kernel = KernelArgs { ring_bytes: Some(bytes), ..KernelArgs::default() };
            match (typed(kernel), instead) {
                (Ok(config), None) => assert_eq!(config.kernel.ring_bytes, bytes),
                (Err(error), Some(instead)) => {
                    assert!(error.starts_with(&format!("--ring-bytes {bytes}: ")), "{error}");
                    assert!(error.ends_with(&format!("write {instead}")), "{error}");
                }
                (result, _) => panic!("{bytes}: {result:?}"),
            }
        };
        check(1 << 20, None);
        check(page_bytes(), None);
        check(0, Some(page_bytes()));
        check(512, Some(page_bytes()));
        check(1_000_000, Some(1 << 20));
        check(u32::MAX, Some(LARGEST_RING));
    }

    #[test]
    fn only_loopback_is_served() {
        let check = |address: &str, ok: bool| {
            let listen = Some(address.parse().unwrap());
            let result = Config::new(RunArgs { listen, ..RunArgs::default() });
            assert_eq!(result.is_ok(), ok, "{address}");
            if let Err(error) = result {
                let error = error.to_string();
                assert!(error.starts_with(&format!("--listen {address}: not a loopback")));
                assert!(error.contains("write 127.0.0.1:9477"), "{error}");
            }
        };
        check("127.0.0.1:9477", true);
        check("127.9.9.9:1", true);
        check("[::1]:9477", true);
        check("[::ffff:127.0.0.1]:9477", true);
        check("0.0.0.0:9477", false);
        check("[::]:9477", false);
        check("192.0.2.1:9477", false);
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["listen", "cgroup", "max-edges"];
        let check = |typed: &str, expect: Option<&str>| {
            assert_eq!(nearest(typed, &known), expect, "{typed}");
        };
        check("lisetn", Some("listen"));
        check("LISTEN", Some("listen"));
        check("maxedges", Some("max-edges"));
        check("cgroups", Some("cgroup"));
        check("port", None);
        check("", None);
    }
}
