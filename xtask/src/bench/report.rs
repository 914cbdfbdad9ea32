//! What the measurements say, as tables.

use super::{
    cost::{Costs, Runs},
    machine,
    paired::{ByWorkload, Condition, Series},
    resources::{Rest, Work},
    setting::Plan,
    statistics::{self, Interval},
    table::Table,
    workload::Workload,
};

/// Where and how the tables came about, in one paragraph.
pub(crate) fn head(plan: &Plan, load_before: &str, load_after: &str) -> String {
    let operations =
        Workload::ALL.map(|workload| format!("{} {}", plan.operations(workload), workload.name()));
    format!(
        "{}. {} rounds of {}; {} rounds for programs and agent. Load average \
         {load_before} before and {load_after} after the rounds. Brackets hold the median with a \
         confidence of {:.1} %, those of programs and agent of {:.1} %.",
        machine::line(),
        plan.rounds,
        operations.join(", "),
        plan.cost_rounds,
        statistics::confidence(plan.rounds as usize),
        statistics::confidence(plan.cost_rounds as usize),
    )
}

pub(crate) fn tables(loads: &ByWorkload, costs: &Costs) -> Vec<Table> {
    vec![
        ratios("Processor time per operation", "off, ns", loads, Series::processor),
        differences(loads),
        ratios("Operations per second of wall time", "off", loads, Series::rates),
        programs(costs),
        work(costs),
        rest(costs),
    ]
}

/// A figure of each condition over the same figure with nothing attached, `what` being its unit.
fn ratios(
    title: &'static str,
    what: &'static str,
    loads: &ByWorkload,
    figures: fn(&Series, Condition) -> Vec<f64>,
) -> Table {
    let row = |(workload, series): (&Workload, &Series)| {
        let off = figures(series, Condition::Off);
        let ratio = |condition| Interval::of_ratios(&figures(series, condition), &off).shown(3);
        vec![
            workload.name().to_owned(),
            format!("{:.0}", statistics::median(&off)),
            ratio(Condition::Control),
            ratio(Condition::Floor),
            ratio(Condition::Agent),
        ]
    };
    Table {
        title,
        head: vec!["workload", what, "off / off", "floor / off", "plainsight / off"],
        rows: loads.iter().map(row).collect(),
    }
}

fn differences(loads: &ByWorkload) -> Table {
    let row = |(workload, series): (&Workload, &Series)| {
        let [off, floor, agent, control] =
            [Condition::Off, Condition::Floor, Condition::Agent, Condition::Control]
                .map(|condition| series.processor(condition));
        let over = Interval::of_differences(&agent, &floor);
        let share = over.median / statistics::median(&off) * 100.0;
        vec![
            workload.name().to_owned(),
            Interval::of_differences(&control, &off).shown(0),
            Interval::of_differences(&floor, &off).shown(0),
            Interval::of_differences(&agent, &off).shown(0),
            over.shown(0),
            format!("{share:.1} %"),
        ]
    };
    Table {
        title: "Nanoseconds added to an operation",
        head: vec![
            "workload",
            "off − off",
            "floor − off",
            "plainsight − off",
            "plainsight − floor",
            "of off",
        ],
        rows: loads.iter().map(row).collect(),
    }
}

fn programs(costs: &Costs) -> Table {
    let row = |(key, agent): (&(Workload, &'static str), &Vec<Runs>)| {
        let floor = costs.floor.get(key).map_or(&[][..], Vec::as_slice);
        let (ours, least) = (per_run(agent), per_run(floor));
        let per_operation = median_of(agent, |runs| runs.per_operation);
        let number = |value: f64| if value.is_nan() { "–".into() } else { format!("{value:.0}") };
        vec![
            key.0.name().to_owned(),
            key.1.to_owned(),
            format!("{per_operation:.2}"),
            number(statistics::median(&least)),
            number(statistics::median(&ours)),
            Interval::of_differences(&ours, &least).shown(0),
            number(median_of(floor, |runs| runs.per_operation * runs.nanoseconds)),
            number(median_of(agent, |runs| runs.per_operation * runs.nanoseconds)),
        ]
    };
    Table {
        title: "Programs, the statistics' own clock included",
        head: vec![
            "workload",
            "hook",
            "runs/op",
            "floor ns/run",
            "plainsight ns/run",
            "difference",
            "floor ns/op",
            "plainsight ns/op",
        ],
        rows: costs.agent.iter().filter(|(_, runs)| is_part(runs)).map(row).collect(),
    }
}

fn work(costs: &Costs) -> Table {
    let row = |(workload, work): (&Workload, &Vec<Work>)| {
        vec![
            workload.name().to_owned(),
            Interval::of(work.iter().map(|work| work.processor).collect()).shown(0),
            format!("{:.4}", median_of(work, |work| work.wakeups)),
            format!("{:.3}", median_of(work, |work| work.ring_bytes)),
        ]
    };
    Table {
        title: "The agent's process per operation, beyond its work at rest",
        head: vec!["workload", "processor, ns", "wake-ups", "bytes through the ring"],
        rows: costs.work.iter().map(row).collect(),
    }
}

fn rest(costs: &Costs) -> Table {
    let median = |of: fn(&Rest) -> f64| median_of(&costs.rest, of);
    let mebibytes = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = vec![
        row("processor", format!("{:.3} % of one", median(|rest| rest.processor) / 1e7)),
        row("wake-ups", format!("{:.1} /s", median(|rest| rest.wakeups))),
        row("resident when ready", mebibytes(median(|rest| rest.resident))),
        row("resident at most", mebibytes(median(|rest| rest.most_resident))),
        row("maps in the kernel", mebibytes(median(|rest| rest.maps))),
    ];
    Table { title: "The agent at rest", head: vec!["what", "how much"], rows }
}

/// Whether the program is part of an operation: others run once or twice while a load begins.
fn is_part(runs: &[Runs]) -> bool {
    median_of(runs, |runs| runs.per_operation) >= 0.1
}

fn per_run(runs: &[Runs]) -> Vec<f64> {
    runs.iter().map(|runs| runs.nanoseconds).collect()
}

fn median_of<T>(values: &[T], of: impl Fn(&T) -> f64) -> f64 {
    statistics::median(&values.iter().map(of).collect::<Vec<_>>())
}
