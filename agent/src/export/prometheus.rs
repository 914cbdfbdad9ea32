//! A sample in Prometheus' text format, version 0.0.4, and the way back.
//!
//! Families are built for each scrape from the sample alone. A registry that outlives the scrape
//! would have to be kept in step with edges that come and go.

use ::prometheus::{
    TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric as Point, MetricFamily, MetricType, Summary},
};
use anyhow::{Context as _, anyhow};
use plainsight_ebpf::abi::counters::Counter as Kernel;

use super::{
    CanaryRuns, Counts, EdgeLabels, EdgeRows, Listeners, MapFill, Names, Open, Party, ProcessUse,
    Sample, Scans, occurred,
};

/// The content type of what [`encode`] gives.
pub const CONTENT_TYPE: &str = ::prometheus::TEXT_FORMAT;

/// What stands in place of the names of edges beyond the limit.
const OVERFLOW: &str = "(other)";

/// One line of the text format.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name.
    pub name: String,
    /// The labels, in the order of the line.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// A label's name and value.
type Label<'a> = (&'a str, &'a str);

/// Labels of a row, its port among them in text, and its values.
type Row<'a> = (Vec<Label<'a>>, String, &'a Counts);

// === impl Metric ===

impl Metric {
    /// A label's value; empty where the metric does not have it.
    pub fn label(&self, name: &str) -> &str {
        let label = self.labels.iter().find(|(label, _)| label == name);
        label.map_or("", |(_, value)| value)
    }
}

/// The sample as text.
pub fn encode(sample: &Sample) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut write = |family: MetricFamily| {
        // The encoder takes a family without points for a mistake.
        if family.get_metric().is_empty() {
            return Ok(());
        }
        let family = std::slice::from_ref(&family);
        TextEncoder::new().encode_utf8(family, &mut text).context("metrics could not be encoded")
    };
    write(build_info())?;
    edges(&sample.edges, &mut write)?;
    totals(sample).into_iter().try_for_each(&mut write)?;
    listeners(&sample.listeners).into_iter().try_for_each(&mut write)?;
    sample.open.iter().flat_map(open).try_for_each(&mut write)?;
    maps(&sample.maps).into_iter().try_for_each(&mut write)?;
    write(scans(&sample.scans))?;
    sample.canary.iter().flat_map(canary).try_for_each(&mut write)?;
    findings(sample).into_iter().try_for_each(&mut write)?;
    names_of(&sample.names).into_iter().try_for_each(&mut write)?;
    sample.process.as_ref().map(process).into_iter().flatten().try_for_each(&mut write)?;
    Ok(text)
}

fn build_info() -> MetricFamily {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    gauges(
        "plainsight_build_info",
        "Always 1; its label says which version answers.",
        [point(&version, 1)],
    )
}

/// Writes the families of edges one by one: each takes many times the memory of its text.
fn edges(
    edges: &EdgeRows,
    mut write: impl FnMut(MetricFamily) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let labels = overflow_labels();
    let overflow = edges.overflow.as_ref().map(|counts| (&labels, counts));
    let rows: Vec<Row<'_>> = edges
        .rows
        .iter()
        .map(|row| (&row.labels, &row.counts))
        .chain(overflow)
        .map(|(labels, counts)| (names(labels), port(labels), counts))
        .collect();
    let rows = rows.as_slice();
    let direction = |name| Some(("direction", name));
    write(counters(
        "plainsight_edge_connections_total",
        "Connections established.",
        each(rows, |counts| counts.has_connections().then_some((None, counts.connections))),
    ))?;
    write(gauges(
        "plainsight_edge_open_connections",
        "Connections that have not ended.",
        each(rows, |counts| counts.has_connections().then_some((None, counts.open))),
    ))?;
    write(counters(
        "plainsight_edge_bytes_total",
        "Payload bytes, sent and received as the client sees them.",
        each(rows, |counts| {
            [(direction("sent"), counts.bytes_sent), (direction("received"), counts.bytes_received)]
        }),
    ))?;
    write(counters(
        "plainsight_edge_datagrams_total",
        "UDP datagrams, sent and received as the client sees them.",
        each(rows, |counts| {
            let ways = [("sent", counts.datagrams_sent), ("received", counts.datagrams_received)];
            let has_any = counts.has_datagrams();
            ways.into_iter()
                .filter(move |_| has_any)
                .map(move |(name, count)| (direction(name), count))
        }),
    ))?;
    write(counters(
        "plainsight_edge_failures_total",
        "Connects that failed, by the kinds that occurred.",
        each(rows, |counts| {
            occurred(&counts.failures).map(|(kind, count)| (Some(("kind", kind)), count))
        }),
    ))?;
    write(counters(
        "plainsight_series_overflow_total",
        "Edges beyond the limit on series, which are added up in one with the name (other).",
        [point(&[], edges.overflow_rows)],
    ))
}

/// The points of one family: for each row, one for each value, the row's labels on all of them.
fn each<'a, V>(
    rows: &'a [Row<'a>],
    values: impl Fn(&Counts) -> V + 'a,
) -> impl Iterator<Item = Value> + 'a
where
    V: IntoIterator<Item = (Option<Label<'static>>, u64)> + 'a,
{
    rows.iter().flat_map(move |(names, port, counts)| {
        values(counts).into_iter().map(move |(label, value)| {
            let labels = names.iter().copied().chain([("server_port", port.as_str())]);
            (pairs(labels.chain(label)), value as f64)
        })
    })
}

fn names(labels: &EdgeLabels) -> Vec<Label<'_>> {
    let EdgeLabels { client, server, protocol, security, reporter, server_port: _ } = labels;
    let labels = [
        ("client_workload", client.workload.as_str()),
        ("client_kind", client.kind),
        ("client_namespace", &client.namespace),
        ("client_cluster", &client.cluster),
        ("client_host", &client.host),
        ("server_workload", &server.workload),
        ("server_kind", server.kind),
        ("server_namespace", &server.namespace),
        ("server_cluster", &server.cluster),
        ("server_host", &server.host),
        ("protocol", protocol),
        ("security", security),
        ("reporter", reporter),
    ];
    // A label without a value is as good as none (Prometheus' data model), and longer.
    let is_short = |name: &str| name.ends_with("_cluster") || name.ends_with("_host");
    labels.into_iter().filter(|(name, value)| !(is_short(name) && value.is_empty())).collect()
}

/// What fleet views name the other end of a hop by.
fn listeners(listeners: &Listeners) -> [MetricFamily; 2] {
    let points = listeners.rows.iter().map(|(address, port, party)| {
        let (address, port) = (address.to_string(), port.to_string());
        let labels = [
            ("address", address.as_str()),
            ("port", &port),
            ("transport", "tcp"),
            ("workload", &party.workload),
            ("kind", party.kind),
            ("namespace", &party.namespace),
            ("cluster", &party.cluster),
            ("host", &party.host),
        ];
        (pairs(labels.into_iter().filter(|(_, value)| !value.is_empty())), 1.0)
    });
    [
        gauges(
            "plainsight_listener_info",
            "Always 1; its labels say which workload listens at an address that others can reach.",
            points.collect::<Vec<_>>(),
        ),
        gauges(
            "plainsight_listeners_refused",
            "Listeners that are not published for want of room.",
            [point(&[], listeners.refused)],
        ),
    ]
}

fn names_of(names: &Names) -> Vec<MetricFamily> {
    let ends = names.ends.iter().map(|(result, count)| point(&[("result", result)], *count));
    let files = names
        .files
        .iter()
        .map(|(runtime, answer, count)| point(&[("runtime", runtime), ("answer", answer)], *count));
    let mut families = vec![
        counters(
            "plainsight_identities_total",
            "Ends on this host that were looked up, by how that came out.",
            ends.collect::<Vec<_>>(),
        ),
        counters(
            "plainsight_runtime_files_total",
            "State files of container runtimes that were read for names, by what they said.",
            files.collect::<Vec<_>>(),
        ),
    ];
    families.extend(names.rules.iter().flat_map(|(rules, is_good)| {
        [
            gauges(
                "plainsight_names_rules",
                "Names for networks that are in force.",
                [point(&[], *rules)],
            ),
            gauges(
                "plainsight_names_last_reload_successful",
                "Whether the names in force are those that the names file has now.",
                [point(&[], u64::from(*is_good))],
            ),
        ]
    }));
    families
}

/// Edges that are added up have no port in common.
fn port(labels: &EdgeLabels) -> String {
    if labels.server_port == 0 { OVERFLOW.to_owned() } else { labels.server_port.to_string() }
}

fn overflow_labels() -> EdgeLabels {
    let party = || Party { workload: OVERFLOW.to_owned(), kind: "group", ..Party::default() };
    EdgeLabels {
        client: party(),
        server: party(),
        server_port: 0,
        protocol: OVERFLOW.to_owned(),
        security: "unknown",
        reporter: "both",
    }
}

fn open(open: &Open) -> [MetricFamily; 2] {
    [
        gauges(
            "plainsight_open_connections",
            "Ends of TCP connections that are open, by the programs and by the kernel's sockets.",
            [
                point(&[("by", "programs")], open.programs),
                point(&[("by", "sockets")], open.sockets),
            ],
        ),
        gauges(
            "plainsight_open_without_socket",
            "Of those by the programs, the ones without a socket in the last two comparisons.",
            [point(&[], open.without_socket)],
        ),
    ]
}

fn totals(sample: &Sample) -> Vec<MetricFamily> {
    let total = |counter| sample.totals.get(counter);
    let directions = |sent, received| {
        [
            point(&[("direction", "sent")], total(sent)),
            point(&[("direction", "received")], total(received)),
        ]
    };
    vec![
        counters(
            "plainsight_connections_opened_total",
            "Ends of TCP connections established on this host.",
            [point(&[], total(Kernel::Opened))],
        ),
        counters(
            "plainsight_connections_closed_total",
            "Of those, the ones that ended.",
            [point(&[], total(Kernel::Closed))],
        ),
        counters(
            "plainsight_connections_failed_total",
            "TCP connects that failed.",
            [point(&[], total(Kernel::Failed))],
        ),
        counters(
            "plainsight_connections_paired_total",
            "Server ends whose client is on this host and was recognised.",
            [point(&[], total(Kernel::Paired))],
        ),
        counters(
            "plainsight_bytes_total",
            "Payload bytes of all ends on this host, over TCP and UDP.",
            directions(Kernel::SentBytes, Kernel::ReceivedBytes),
        ),
        counters(
            "plainsight_udp_datagrams_total",
            "UDP datagrams sent, and offered to sockets on this host.",
            directions(Kernel::DatagramsSent, Kernel::DatagramsReceived),
        ),
        counters(
            "plainsight_segments_older_total",
            "Segments of TCP connections older than the agent, before they were taken over.",
            [point(&[], total(Kernel::SegmentsOlder))],
        ),
        counters(
            "plainsight_connections_adopted_total",
            "Ends of TCP connections older than the agent that were taken over.",
            [point(&[], total(Kernel::Adopted))],
        ),
        counters(
            "plainsight_edges_folded_total",
            "Edges that their cgroup had too many of: they are counted on one that stands for all.",
            [point(&[], total(Kernel::Folded))],
        ),
        counters(
            "plainsight_quotas_full_total",
            "Cgroups whose edges could not be counted, and which have no bound therefore.",
            [point(&[], total(Kernel::QuotasFull))],
        ),
        overflow(total),
        counters(
            "plainsight_records_wanted_total",
            "Connection records that a filter asked for.",
            [point(&[], total(Kernel::RecordsWanted))],
        ),
        counters(
            "plainsight_events_received_total",
            "Events taken from the ring.",
            sample.events_received.iter().map(|(kind, count)| point(&[("kind", kind)], *count)),
        ),
        counters(
            "plainsight_lost_total",
            "What could not be kept, by stage and reason.",
            sample.lost.iter().flat_map(|(stage, reasons)| {
                reasons.iter().map(move |(reason, count)| {
                    point(&[("stage", stage), ("reason", reason)], *count)
                })
            }),
        ),
        gauges(
            "plainsight_balance_error",
            "By how much the totals and the edges differ; 0 when everything is accounted for.",
            [point(&[], sample.balance_error)],
        ),
        counters(
            "plainsight_clients_cut_off_total",
            "Clients that took nothing of their answer for too long.",
            [point(&[], sample.clients_cut_off)],
        ),
        gauges(
            "plainsight_record_filters",
            "Record filters in force.",
            [point(&[], sample.filters)],
        ),
    ]
}

/// What the totals have and no edge could take.
fn overflow(total: impl Fn(Kernel) -> u64) -> MetricFamily {
    let kinds = [
        ("opened", Kernel::OverflowOpened),
        ("closed", Kernel::OverflowClosed),
        ("failed", Kernel::OverflowFailed),
        ("bytes_sent", Kernel::OverflowSentBytes),
        ("bytes_received", Kernel::OverflowReceivedBytes),
        ("datagrams_sent", Kernel::OverflowDatagramsSent),
        ("datagrams_received", Kernel::OverflowDatagramsReceived),
    ];
    counters(
        "plainsight_overflow_total",
        "What was counted and found no edge, by what it is.",
        kinds.map(|(kind, counter)| point(&[("kind", kind)], total(counter))),
    )
}

fn maps(maps: &[MapFill]) -> Vec<MetricFamily> {
    let of = |value: fn(&MapFill) -> Option<u64>| {
        maps.iter().filter_map(move |map| Some(point(&[("map", map.name)], value(map)?)))
    };
    vec![
        gauges(
            "plainsight_map_entries",
            "Elements in use; of a ring, unread bytes.",
            of(|map| map.entries),
        ),
        gauges(
            "plainsight_map_capacity",
            "Most elements; of a ring, its bytes.",
            of(|map| Some(map.capacity)),
        ),
        gauges(
            "plainsight_map_memory_bytes",
            "Memory the kernel accounts for the map.",
            of(|map| Some(map.memory_bytes)),
        ),
    ]
}

fn scans(scans: &Scans) -> MetricFamily {
    let mut summary = Summary::default();
    summary.set_sample_count(scans.count);
    summary.set_sample_sum(scans.seconds);
    let mut point = Point::default();
    point.set_summary(summary);
    let help = "Reading the map of edges out of the kernel.";
    family("plainsight_scan_duration_seconds", help, MetricType::SUMMARY, vec![point])
}

/// Before the first success there is no time of it: 0 would read as one long ago.
fn canary(canary: &CanaryRuns) -> [MetricFamily; 2] {
    let runs = canary.runs.iter().map(|(result, count)| point(&[("result", result)], *count));
    let last = canary.last_success.map(|at| (Vec::new(), at.as_millisecond() as f64 / 1e3));
    [
        counters(
            "plainsight_canary_runs_total",
            "Connections of the agent to itself, by how they came back through the kernel.",
            runs,
        ),
        gauges(
            "plainsight_canary_last_success_timestamp_seconds",
            "When the agent last saw its own connection come back.",
            last,
        ),
    ]
}

/// Their names and addresses are for the API: here they would be series that never end.
fn findings(sample: &Sample) -> [MetricFamily; 4] {
    let points = sample.findings.iter().map(|((kind, severity, state), count)| {
        let labels =
            [("kind", kind.name()), ("severity", severity.name()), ("state", state.name())];
        point(&labels, *count)
    });
    [
        gauges(
            "plainsight_findings",
            "Findings by kind, severity and state.",
            points.collect::<Vec<_>>(),
        ),
        gauges(
            "plainsight_findings_refused",
            "Findings that there is no room for.",
            [point(&[], sample.findings_refused)],
        ),
        counters(
            "plainsight_encrypted_clients_forgotten_total",
            "Clients that are not remembered any more to have been encrypted, for want of room.",
            [point(&[], sample.clients_forgotten)],
        ),
        counters(
            "plainsight_state_write_failures_total",
            "How often the state file could not be written.",
            [point(&[], sample.state_failures)],
        ),
    ]
}

/// The names that Prometheus' own client libraries use for these two.
fn process(used: &ProcessUse) -> [MetricFamily; 2] {
    let help = "Resident memory of the agent.";
    let resident = [point(&[], used.resident_bytes)];
    let resident = gauges("process_resident_memory_bytes", help, resident);
    let help = "CPU time of the agent.";
    let cpu = [(Vec::new(), used.cpu_seconds)];
    [resident, counters("process_cpu_seconds_total", help, cpu)]
}

/// Labels and value of one point.
type Value = (Vec<LabelPair>, f64);

/// Prometheus knows floating point numbers only: above 2^53 the last digits are lost.
fn point(labels: &[Label<'_>], value: u64) -> Value {
    (pairs(labels.iter().copied()), value as f64)
}

fn pairs<'a>(labels: impl Iterator<Item = Label<'a>>) -> Vec<LabelPair> {
    labels
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        })
        .collect()
}

fn counters(name: &str, help: &str, values: impl IntoIterator<Item = Value>) -> MetricFamily {
    let points = values.into_iter().map(|(labels, value)| {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut point = Point::from_label(labels);
        point.set_counter(counter);
        point
    });
    family(name, help, MetricType::COUNTER, points.collect())
}

fn gauges(name: &str, help: &str, values: impl IntoIterator<Item = Value>) -> MetricFamily {
    let points = values.into_iter().map(|(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut point = Point::from_label(labels);
        point.set_gauge(gauge);
        point
    });
    family(name, help, MetricType::GAUGE, points.collect())
}

fn family(name: &str, help: &str, kind: MetricType, points: Vec<Point>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(points);
    family
}

/// Reads the text format back, strictly: a line that is not of the format is an error.
pub fn parse(text: &str) -> anyhow::Result<Vec<Metric>> {
    let lines = text.split('\n').enumerate();
    let metrics = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    metrics
        .map(|(number, line)| {
            parse_line(line).ok_or_else(|| anyhow!("line {}: {line:?}", number + 1))
        })
        .collect()
}

fn parse_line(line: &str) -> Option<Metric> {
    let (name, rest) = split_name(line)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    Some(Metric { name: name.to_owned(), labels, value })
}

/// The name a text begins with, and the rest.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !letter(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    name.starts_with(|c: char| !c.is_ascii_digit()).then_some((name, rest))
}

fn parse_labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = split_name(text)?;
        let (value, rest) = parse_value(rest.strip_prefix("=\"")?)?;
        labels.push((name.to_owned(), value));
        text = rest.strip_prefix(',').or_else(|| rest.starts_with('}').then_some(rest))?;
    }
}

/// A label's value up to its closing quote, unescaped, and the rest.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
}
