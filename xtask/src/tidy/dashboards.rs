//! Dashboards and alert rules ask only for metrics that the agent exports.

use serde_json::Value;

use super::{Complaint, Source, docs::Metrics, numbered};

const PREFIX: &str = "plainsight_";

/// What Prometheus adds to a histogram's or summary's name.
const SUFFIXES: &[&str] = &["_bucket", "_sum", "_count"];

pub(crate) fn check(sources: &[Source], metrics: &Metrics) -> Vec<Complaint> {
    let dashboards = sources.iter().filter(|source| source.path.starts_with("dashboards/"));
    dashboards.flat_map(|source| one(source, metrics)).collect()
}

fn one(source: &Source, metrics: &Metrics) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if source.path.ends_with(".json")
        && let Err(error) = serde_json::from_str::<Value>(&source.text)
    {
        let what = format!("no JSON: {error}");
        complaints.push(Complaint::new(&source.path, error.line(), what, "mend the file"));
    }
    // Prose may speak of metrics to come; what Grafana and Prometheus load may not.
    if source.path.ends_with(".md") {
        return complaints;
    }
    for (line, text) in numbered(&source.text) {
        for name in names(text).filter(|name| !is_exported(name, metrics)) {
            complaints.push(Complaint::new(
                &source.path,
                line,
                format!("the agent exports no metric {name}"),
                "use a name declared in agent/src",
            ));
        }
    }
    complaints
}

fn is_exported(name: &str, metrics: &Metrics) -> bool {
    metrics.contains_key(name)
        || SUFFIXES
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .any(|base| metrics.contains_key(base))
}

/// Words that begin with the metrics' prefix. A colon marks a recording rule, whose name the
/// dashboards' own rules define.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(move |c| !letter(c))
        .filter(|word| word.len() > PREFIX.len() && word.starts_with(PREFIX) && !word.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::{brief, source};

    fn metrics() -> Metrics {
        let place = ("agent/src/export/prometheus.rs".to_owned(), 1);
        [("plainsight_edges", &place), ("plainsight_rtt_seconds", &place)]
            .map(|(name, place)| (name.to_owned(), place.clone()))
            .into()
    }

    #[test]
    fn only_exported_metrics_are_asked_for() {
        let check = |text: &str, expect: &[&str]| {
            let found = one(&source("dashboards/prometheus/a.yaml", text), &metrics());
            assert_eq!(brief(&found), expect, "{text}");
        };
        check("expr: sum(plainsight_edges{a=\"b\"})", &[]);
        check("expr: rate(plainsight_rtt_seconds_bucket[5m])", &[]);
        check("record: plainsight_edges:rate5m", &[]);
        check("expr: plainsight_gone > 0", &["1: the agent exports no metric plainsight_gone"]);
        check("expr: my_plainsight_gone", &[]);
    }

    #[test]
    fn json_must_parse() {
        let found = one(&source("dashboards/grafana/a.json", "{\n \"a\": ]"), &metrics());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
    }
}
