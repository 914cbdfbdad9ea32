//! The reference names every flag and every metric, so that none exists only in the code.

use std::collections::BTreeMap;

use super::{Complaint, Source, code};

const REFERENCE: &str = "docs/reference.md";
const COMMAND_LINE: &str = "agent/src/cli.rs";

/// Metrics by name, with the place of the declaration.
pub(crate) type Metrics = BTreeMap<String, (String, usize)>;

/// Metric names that the agent's source declares as string literals, tests left out.
pub(crate) fn metrics(sources: &[Source]) -> Metrics {
    let mut metrics = Metrics::new();
    let code = |source: &&Source| source.is_rust_below("agent/src/") && !source.is_tests();
    for source in sources.iter().filter(code) {
        for (line, text) in code::without_tests(&source.text) {
            for name in literals(text).filter(|literal| is_metric(literal)) {
                metrics.entry(name.to_owned()).or_insert_with(|| (source.path.clone(), line));
            }
        }
    }
    metrics
}

pub(crate) fn check(sources: &[Source], metrics: &Metrics) -> Vec<Complaint> {
    let reference = sources.iter().find(|source| source.path == REFERENCE);
    let reference = reference.map_or("", |source| source.text.as_str());
    let mut complaints = Vec::new();
    for (name, (file, line)) in metrics {
        if !mentions(reference, name) {
            complaints.push(missing(file, *line, &format!("metric {name}")));
        }
    }
    for source in sources.iter().filter(|source| source.path == COMMAND_LINE) {
        for (line, flag) in flags(&source.text) {
            if !mentions(reference, &flag) {
                complaints.push(missing(&source.path, line, &flag));
            }
        }
    }
    complaints
}

fn missing(file: &str, line: usize, what: &str) -> Complaint {
    let instead = format!("add it to {REFERENCE}");
    Complaint::new(file, line, format!("{what} is not in {REFERENCE}"), &instead)
}

/// The contents of string literals on one line; comment lines have none.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    let code = if line.trim_start().starts_with("//") { "" } else { line };
    code.split('"').skip(1).step_by(2)
}

/// `plainsight_` and a name, of which the agent's own crates are none.
fn is_metric(literal: &str) -> bool {
    let Some(rest) = literal.strip_prefix("plainsight_") else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !rest.is_empty() && rest.bytes().all(plain) && !matches!(rest, "core" | "ebpf" | "tests")
}

/// Whether `text` holds `name` as a whole word, `-` and `_` being letters.
fn mentions(text: &str, name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(letter) && !text[at + name.len()..].starts_with(letter)
    })
}

/// Long flags that clap derives from `#[arg(… long …)]` and the field below it.
fn flags(text: &str) -> Vec<(usize, String)> {
    let mut flags = Vec::new();
    let mut attribute: Option<String> = None;
    for (line, text) in code::without_tests(text) {
        let text = text.trim();
        match &mut attribute {
            // An attribute may stretch over several lines; it ends with its bracket.
            Some(started) if !started.ends_with(")]") => started.push_str(text),
            Some(started) => {
                if let Some(field) = field(text) {
                    flags.extend(flag(started, field).map(|flag| (line, flag)));
                    attribute = None;
                }
            }
            None if text.starts_with("#[arg(") => attribute = Some(text.to_owned()),
            None => {}
        }
    }
    flags
}

/// The name in `pub(crate) name: Type,`.
fn field(line: &str) -> Option<&str> {
    if line.starts_with("//") || line.starts_with('#') {
        return None;
    }
    line.split_once(':')?.0.split_whitespace().last()
}

fn flag(attribute: &str, field: &str) -> Option<String> {
    let inside = attribute.strip_prefix("#[arg(")?.strip_suffix(")]")?;
    let long = inside
        .split(',')
        .map(str::trim)
        .find(|part| part.split(['=', ' ']).next() == Some("long"))?;
    let name = match long.split_once('=') {
        Some((_, given)) => given.trim().trim_matches('"').to_owned(),
        None => field.replace('_', "-"),
    };
    Some(format!("--{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::{brief, source};

    #[test]
    fn flags_are_read_from_their_attributes() {
        let text = "struct Run {\n\
            /// Where.\n#[arg(long, env = \"X\")]\npub(crate) max_edges: u32,\n\
            #[arg(\nlong = \"for\",\nvalue_name = \"D\"\n)]\n/// How long.\nduration: u64,\n\
            #[arg(short)]\nquiet: bool,\n#[arg(value_name = \"long\")]\nfile: String,\n}\n";
        let names: Vec<_> = flags(text).into_iter().map(|(_, flag)| flag).collect();
        assert_eq!(names, ["--max-edges", "--for"]);
    }

    #[test]
    fn flags_and_metrics_must_be_in_the_reference() {
        let agent = "const A: &str = \"plainsight_edges\";\n// \"plainsight_comment\"\n\
            use plainsight_core::x;\n#[cfg(test)]\nconst B: &str = \"plainsight_test_only\";\n";
        let cli = "#[arg(long)]\nlisten: String,\n#[arg(long)]\nlisten_all: bool,\n";
        let sources = [
            source("agent/src/export/prometheus.rs", agent),
            source("agent/src/cli.rs", cli),
            source("docs/reference.md", "`--listen-all` and `plainsight_edges_total`"),
        ];
        let metrics = metrics(&sources);
        assert_eq!(
            brief(&check(&sources, &metrics)),
            [
                "1: metric plainsight_edges is not in docs/reference.md",
                "2: --listen is not in docs/reference.md",
            ]
        );
    }

    #[test]
    fn words_are_whole() {
        let check = |text: &str, name: &str, expect| assert_eq!(mentions(text, name), expect);
        check("`--api URL`", "--api", true);
        check("--api-version", "--api", false);
        check("plainsight_edges_total", "plainsight_edges", false);
        check("(plainsight_edges)", "plainsight_edges", true);
    }
}
