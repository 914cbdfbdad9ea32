//! What a running agent says of itself, by its metrics and its health.

use serde::Serialize;

use super::{Check, Outcome, names};
use crate::export::prometheus::Metric;

/// The most kernel memory that the maps of an agent with its default settings are meant to take.
const CEILING: u64 = 64 << 20;

/// From this share on a map counts as nearly full.
const NEARLY_FULL: f64 = 0.9;

/// One of the kernel's maps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapState {
    /// Its name.
    pub name: String,
    /// Elements in it, where they can be counted.
    pub entries: Option<u64>,
    /// Most elements it can hold; of a ring, its bytes.
    pub capacity: u64,
    /// Memory the kernel accounts for it.
    pub memory_bytes: u64,
}

/// What a running agent's metrics say about itself.
pub fn agent(metrics: &[Metric]) -> Vec<Check> {
    let maps = maps(metrics);
    let mut checks = vec![lost(metrics), balance(metrics)];
    checks.extend(canary(metrics));
    checks.extend(ends(metrics));
    checks.extend(names::agent(metrics));
    checks.extend(maps.iter().map(map));
    checks.extend(memory(metrics, &maps));
    checks
}

/// Why a running agent could not be asked. That none runs is no fault: a scan needs none.
pub fn no_answer(none_runs: bool, reason: &str) -> Check {
    if none_runs {
        return Check::ok("agent", reason);
    }
    Check::warning("agent", reason, "see its log on stderr, or name another one with --api")
}

/// The maps of a running agent, largest first.
pub fn maps(metrics: &[Metric]) -> Vec<MapState> {
    let of = |name: &'static str, map: &str| {
        let mut values = metrics.iter().filter(|metric| metric.name == name);
        values.find(|metric| metric.label("map") == map).map(|metric| metric.value as u64)
    };
    let sizes = metrics.iter().filter(|metric| metric.name == "plainsight_map_capacity");
    let mut maps: Vec<MapState> = sizes
        .map(|size| {
            let name = size.label("map");
            MapState {
                name: name.to_owned(),
                entries: of("plainsight_map_entries", name),
                capacity: size.value as u64,
                memory_bytes: of("plainsight_map_memory_bytes", name).unwrap_or(0),
            }
        })
        .collect();
    maps.sort_by_key(|map| std::cmp::Reverse(map.memory_bytes));
    maps
}

fn lost(metrics: &[Metric]) -> Check {
    let counts = metrics.iter().filter(|metric| metric.name == "plainsight_lost_total");
    let lost: Vec<String> = counts
        .filter(|metric| metric.value > 0.0)
        .map(|metric| {
            format!("{} {}/{}", metric.value, metric.label("stage"), metric.label("reason"))
        })
        .collect();
    if lost.is_empty() {
        return Check::ok("lost", "nothing");
    }
    let advice = "see `lost` in docs/reference.md for what each means; edges/full: raise \
                  --max-edges; ring: raise --ring-bytes";
    Check::warning("lost", lost.join(", "), advice)
}

fn balance(metrics: &[Metric]) -> Check {
    match sum(metrics, "plainsight_balance_error") {
        Some(0.0) => Check::ok("balance", "everything counted is on an edge"),
        Some(error) => Check::warning(
            "balance",
            format!("differs by {error}"),
            "report it: numbers on edges are not exact",
        ),
        None => Check::warning("balance", "not in the agent's metrics", "is it another version?"),
    }
}

/// Whether it comes back now is the health's to say; here is how often it did not.
fn canary(metrics: &[Metric]) -> Option<Check> {
    const NAME: &str = "canary";
    let runs = metrics.iter().filter(|metric| metric.name == "plainsight_canary_runs_total");
    let (mut returned, mut faults) = (None, Vec::new());
    for run in runs {
        match run.label("result") {
            "returned" => returned = Some(run.value),
            result if run.value > 0.0 => faults.push(format!("{} {result}", run.value)),
            _ => {}
        }
    }
    let found = format!("came back {} times", returned?);
    Some(if faults.is_empty() {
        Check::ok(NAME, found)
    } else {
        let advice = "see `the canary` in docs/reference.md; if it does not come back now, the \
                      agent is blind: see its /healthz";
        Check::warning(NAME, format!("{found}, and did not: {}", faults.join(", ")), advice)
    })
}

/// Whether the programs saw connections end. Absent before the agent has compared.
fn ends(metrics: &[Metric]) -> Option<Check> {
    const NAME: &str = "ends of connections";
    let without_socket = sum(metrics, "plainsight_open_without_socket")?;
    Some(if without_socket == 0.0 {
        Check::ok(NAME, "all seen")
    } else {
        let found = format!("{without_socket} connections count as open and have no socket");
        let advice = "see `other programs`: one at sock_ops that replaces the callbacks of a socket \
                      hides how it ends, unless it is attached before the agent: restart the \
                      agent. Or network namespaces cannot be listed";
        Check::warning(NAME, found, advice)
    })
}

fn map(map: &MapState) -> Check {
    let MapState { name, entries, capacity, memory_bytes } = map;
    let fill = entries.map_or(String::new(), |entries| format!("{entries} of "));
    let name = format!("map {name}");
    let found = format!("{fill}{capacity}, {}", mib(*memory_bytes));
    let is_full = |entries: u64| entries as f64 >= NEARLY_FULL * *capacity as f64;
    if *capacity > 0 && entries.is_some_and(is_full) {
        return Check::warning(name, found, "raise --max-edges before edges are refused");
    }
    Check::ok(name, found)
}

fn memory(metrics: &[Metric], maps: &[MapState]) -> Vec<Check> {
    let own = sum(metrics, "process_resident_memory_bytes");
    let own = own.map(|bytes| Check::ok("memory", format!("{} in the agent", mib(bytes as u64))));
    let all = maps.iter().map(|map| map.memory_bytes).sum();
    let maps = (!maps.is_empty()).then(|| kernel_memory(all, "in all maps"));
    own.into_iter().chain(maps).collect()
}

/// Kernel memory against what is promised.
pub(super) fn kernel_memory(bytes: u64, what: &str) -> Check {
    const NAME: &str = "kernel memory";
    let found = format!("{} {what}, of {} meant to be enough", mib(bytes), mib(CEILING));
    if bytes <= CEILING {
        return Check::ok(NAME, found);
    }
    Check::warning(NAME, found, "lower --max-edges or --ring-bytes, unless it was meant")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn sum(metrics: &[Metric], name: &str) -> Option<f64> {
    let values = metrics.iter().filter(|metric| metric.name == name).map(|metric| metric.value);
    values.reduce(|sum, value| sum + value)
}

/// What the agent's `/healthz` says.
pub fn health(is_good: bool, text: &str) -> Check {
    let outcome = if is_good { Outcome::Ok } else { Outcome::Failed };
    let advice = (!is_good).then(|| "restart it, and see who changed what it attached".to_owned());
    Check { name: "health".into(), outcome, found: text.trim_end().to_owned(), advice }
}
