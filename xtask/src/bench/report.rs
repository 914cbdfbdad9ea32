//! What the measurements say, as tables.

use super::{
    cost::{ByHook, Costs, Runs},
    machine,
    paired::{ByWorkload, Condition, Series},
    resources::{Rest, Work},
    setting::Plan,
    statistics::{self, Interval, number},
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
    let rows = Workload::ALL.into_iter().flat_map(|workload| {
        let keys = costs.agent.iter().filter(|((of, _), runs)| *of == workload && is_part(runs));
        let keys: Vec<_> = keys.map(|(key, _)| *key).collect();
        let mut rows: Vec<_> = keys.iter().map(|key| program(costs, *key)).collect();
        rows.push(all_programs(costs, &keys, workload));
        rows
    });
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
        rows: rows.collect(),
    }
}

fn program(costs: &Costs, key: (Workload, &'static str)) -> Vec<String> {
    let (floor, agent) = (runs_of(&costs.floor, key), runs_of(&costs.agent, key));
    let (least, ours) = (per_run(floor), per_run(agent));
    vec![
        key.0.name().to_owned(),
        key.1.to_owned(),
        number(median_of(agent, |runs| runs.per_operation), 2),
        number(statistics::median(&least), 0),
        number(statistics::median(&ours), 0),
        Interval::of_differences(&ours, &least).shown(0),
        number(per_operation(floor), 0),
        number(per_operation(agent), 0),
    ]
}

/// The sums over the programs of one workload.
fn all_programs(
    costs: &Costs,
    keys: &[(Workload, &'static str)],
    workload: Workload,
) -> Vec<String> {
    let sum = |figure: &dyn Fn((Workload, &'static str)) -> f64| -> f64 {
        keys.iter().map(|key| figure(*key)).sum()
    };
    let runs = sum(&|key| median_of(runs_of(&costs.agent, key), |runs| runs.per_operation));
    vec![
        workload.name().to_owned(),
        "all".to_owned(),
        number(runs, 2),
        String::new(),
        String::new(),
        String::new(),
        number(sum(&|key| per_operation(runs_of(&costs.floor, key))), 0),
        number(sum(&|key| per_operation(runs_of(&costs.agent, key))), 0),
    ]
}

fn runs_of<'a>(by_hook: &'a ByHook, key: (Workload, &'static str)) -> &'a [Runs] {
    by_hook.get(&key).map_or(&[], Vec::as_slice)
}

fn per_operation(runs: &[Runs]) -> f64 {
    median_of(runs, |runs| runs.per_operation * runs.nanoseconds)
}

fn work(costs: &Costs) -> Table {
    let row = |(workload, work): (&Workload, &Vec<Work>)| {
        vec![
            workload.name().to_owned(),
            Interval::of(work.iter().map(|work| work.processor).collect()).shown(0),
            number(median_of(work, |work| work.wakeups), 4),
            number(median_of(work, |work| work.ring_bytes), 3),
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
