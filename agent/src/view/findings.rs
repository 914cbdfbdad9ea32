//! Findings as a table, what to do about each below it, and last what was not proven.

use jiff::Timestamp;
use plainsight_core::{
    escape,
    finding::{Finding, Kind, NotProven, Report, Severity, State},
    graph::Scope,
};

use super::{Align, Cell, Ink, Style, Table, counted, grouped, name, place};

/// The findings above info, then what is expected, then what was not proven.
pub fn text(report: &Report, style: Style) -> String {
    let shown: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.severity < Severity::Info).collect();
    let mut screen = counts(report);
    if !shown.is_empty() {
        screen += &table(&shown, report.taken_at, style);
    }
    if report.refused > 0 {
        let refused = format!("{} found no room and are not listed\n", grouped(report.refused));
        screen += &style.paint(Ink::Bad, &refused);
    }
    screen + &not_proven(&report.not_proven)
}

/// How many there are of each state.
fn counts(report: &Report) -> String {
    let count = |state: State| {
        let count = report.counts.get(&state).copied().unwrap_or(0);
        format!("{} {}", state.name().to_ascii_uppercase(), grouped(count))
    };
    let counts = State::ALL.map(count).join(", ");
    format!("{counts}; expected plaintext {}\n", grouped(report.expected_plaintext.hops))
}

fn table(findings: &[&Finding], now: Timestamp, style: Style) -> String {
    use Align::{Left, Right};
    let columns = [
        ("SEV", Left),
        ("STATE", Left),
        ("ID", Left),
        ("SERVER", Left),
        ("WHAT", Left),
        ("OWNER", Left),
        ("SINCE", Right),
    ];
    let mut table = Table::new(0, columns.into());
    findings.iter().for_each(|finding| table.push(row(finding, now)));
    let rows = table.render(style);
    let mut lines = rows.lines();
    let mut text = lines.next().map(|titles| format!("{titles}\n")).unwrap_or_default();
    for (line, finding) in lines.zip(findings) {
        text += &format!("{line}\n");
        if matches!(finding.state, State::New | State::Worse | State::Open) {
            finding.fix.iter().for_each(|fix| text += &advice(fix));
        }
    }
    text
}

fn row(finding: &Finding, now: Timestamp) -> Vec<Cell> {
    let owner = finding.owner.as_deref().or(finding.server.owner.as_deref()).unwrap_or("unowned");
    vec![
        severity(finding.severity),
        state(finding.state),
        Cell::new(escape::terminal(&finding.id)),
        Cell::new(place(&finding.server, finding.server_port)),
        Cell::new(what(finding)),
        Cell::new(escape::terminal(owner)),
        Cell::new(since(finding.first_seen, now)),
    ]
}

/// In four letters, as they stand in a column.
pub(super) fn severity(severity: Severity) -> Cell {
    let (word, ink) = match severity {
        Severity::Critical => ("crit", Some(Ink::Bad)),
        Severity::High => ("high", Some(Ink::Bad)),
        Severity::Medium => ("med", Some(Ink::Doubtful)),
        Severity::Low => ("low", None),
        Severity::Info => ("info", None),
    };
    let cell = Cell::new(word);
    match ink {
        Some(ink) => cell.inked(ink),
        None => cell,
    }
}

fn state(state: State) -> Cell {
    let cell = Cell::new(state.name().to_ascii_uppercase());
    match state {
        State::New | State::Worse => cell.inked(Ink::Bad),
        State::Fixed => cell.inked(Ink::Good),
        State::Open | State::Quiet | State::Accepted => cell,
    }
}

/// What is wrong, on how many of how many, and for whom.
pub(super) fn what(finding: &Finding) -> String {
    let protocol = escape::terminal(&finding.protocol);
    let evidence = escape::terminal(&finding.evidence.what);
    let over = finding.link.words().filter(|_| finding.severity < Severity::Info);
    let over = over.map(|words| format!(", {words}")).unwrap_or_default();
    let said = match finding.kind {
        Kind::PlaintextHop if finding.scope == Scope::Outside => {
            format!("{protocol} in clear, leaves for outside{over}")
        }
        Kind::PlaintextHop => format!("{protocol} in clear{over}"),
        Kind::CredentialsInClear | Kind::AuthInClear => evidence.into_owned(),
        Kind::UpgradeRefused => format!("{protocol}: the server refuses TLS{over}"),
        Kind::Downgrade => format!("{protocol} in clear, was encrypted before{over}"),
        Kind::WeakTls => format!("weak: {evidence}"),
        Kind::OneWayTls | Kind::CertificateExpiring | Kind::CertificateSelfSigned => {
            evidence.into_owned()
        }
    };
    format!("{said}, {} of {}{}", grouped(finding.connections), grouped(finding.of), by(finding))
}

/// One client by its name, several by their number.
fn by(finding: &Finding) -> String {
    let more = finding.clients_more;
    match finding.clients.as_slice() {
        [] => String::new(),
        [client] if more == 0 => format!("; {}", name(client)),
        clients => {
            let count = (clients.len() as u64).saturating_add(more);
            format!("; {}", counted(count, "client"))
        }
    }
}

/// A sentence below what it is about.
pub(super) fn advice(sentence: &str) -> String {
    format!("     {}\n", escape::terminal(sentence))
}

/// How long ago, in one unit.
fn since(then: Timestamp, now: Timestamp) -> String {
    let seconds = then.duration_until(now).as_secs().max(0);
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m", seconds / 60),
        3600..=86_399 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What is not known, why, and how much of all there was that is.
pub(super) fn not_proven(all: &NotProven) -> String {
    let reasons = all.reasons.iter();
    let reasons: Vec<String> = reasons
        .map(|(doubt, amount)| format!("{} {}", grouped(amount.hops), doubt.words()))
        .collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
    format!(
        "NOT PROVEN {} of {} ({} of hops, {} of bytes){reasons}; {} lost\n",
        grouped(all.amount.hops),
        counted(all.of.hops, "hop"),
        percent(all.hops_share),
        percent(all.bytes_share),
        grouped(all.lost),
    )
}

/// A share that is not all and not nothing is never shown as either.
fn percent(share: f64) -> String {
    match share * 100.0 {
        none if none <= 0.0 => "0%".to_owned(),
        all if all >= 100.0 => "100%".to_owned(),
        some => format!("{:.1}%", some.clamp(0.1, 99.9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        let check = |share: f64, expect: &str| assert_eq!(percent(share), expect);
        check(0.0, "0%");
        check(0.000_01, "0.1%");
        check(0.019, "1.9%");
        check(0.999_99, "99.9%");
        check(1.0, "100%");
        check(f64::NAN, "NaN%");
    }

    #[test]
    fn ages_have_one_unit() {
        let check = |seconds: i64, expect: &str| {
            let now = Timestamp::from_second(1_000_000_000).unwrap();
            let then = Timestamp::from_second(1_000_000_000 - seconds).unwrap();
            assert_eq!(since(then, now), expect, "{seconds}");
        };
        check(-5, "0s");
        check(59, "59s");
        check(60, "1m");
        check(3_600, "1h");
        check(86_399, "23h");
        check(300_000, "3d");
    }
}
