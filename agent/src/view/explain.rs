//! How a name came about: the name first, then every source with what it said.

use plainsight_core::{
    escape,
    identity::{Confidence, MatchedBy, Workload, explain::Explanation},
};

use super::{Align, Cell, Ink, Style, Table, name};

/// The name and its sources.
pub fn text(explanation: &Explanation, style: Style) -> String {
    let subject = escape::terminal(&explanation.subject);
    let mut text = match &explanation.workload {
        Some(workload) => format!("{subject} is {}\n", sentence(workload, style)),
        None => format!("{subject}: {}\n", style.paint(Ink::Doubtful, "nothing is known of it")),
    };
    let columns = vec![("SOURCE", Align::Left), ("ASKED", Align::Left), ("SAID", Align::Left)];
    let mut table = Table::new(2, columns);
    for step in &explanation.steps {
        let cell = |text: &str| Cell::new(escape::terminal(text));
        let said =
            step.said.as_deref().map_or_else(|| Cell::new("nothing").inked(Ink::Doubtful), cell);
        table.push(vec![cell(&step.source), cell(&step.asked), said]);
    }
    text += &table.render(style);
    if !explanation.given.is_empty() {
        text += "  on the map, as of when each end was first seen:\n";
        for workload in &explanation.given {
            text += &format!("    {}\n", sentence(workload, style));
        }
    }
    text
}

fn sentence(workload: &Workload, style: Style) -> String {
    let by = match workload.matched_by {
        MatchedBy::Cgroup => "cgroup",
        MatchedBy::LegacyCgroup => "cgroup of version 1",
        MatchedBy::Process => "process",
        MatchedBy::Listener => "listener",
        MatchedBy::Address => "address",
        MatchedBy::Rule => "names file",
    };
    let (worth, ink) = match workload.confidence {
        Confidence::High => ("high", Ink::Good),
        Confidence::Medium => ("medium", Ink::Doubtful),
        Confidence::Low => ("low", Ink::Bad),
    };
    let of = |what: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!(", {what} {}", escape::terminal(value)))
            .unwrap_or_default()
    };
    let Workload { container, service, host, cluster, owner, kind, .. } = workload;
    format!(
        "{} ({}{}{}{}{}{}), by {by}, {} confidence",
        style.paint(Ink::Heading, &name(workload)),
        kind.name(),
        of("container", container),
        of("service", service),
        of("host", host),
        of("cluster", cluster),
        of("owner", owner),
        style.paint(ink, worth),
    )
}

#[cfg(test)]
mod tests {
    use plainsight_core::identity::{explain::Step, outside};

    use super::*;

    #[test]
    fn every_source_has_a_line_and_nothing_moves_the_cursor() {
        let workload = outside::remote("192.0.2.7".parse().unwrap());
        let step =
            |said: Option<&str>| Step::new("names file", "a\u{1b}[2J", said.map(str::to_owned));
        let explanation = Explanation {
            subject: "192.0.2.7".into(),
            steps: vec![step(None), step(Some("b"))],
            workload: Some(workload.clone()),
            given: vec![workload],
        };
        let text = text(&explanation, Style::PLAIN);
        let expect = "192.0.2.7 is 192.0.2.7 (address), by address, low confidence\n";
        assert!(text.starts_with(expect), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains("nothing\n") && !text.contains('\u{1b}'), "{text}");
        let unknown = Explanation { workload: None, given: vec![], ..explanation };
        assert!(super::text(&unknown, Style::PLAIN).starts_with("192.0.2.7: nothing is known"));
    }
}
