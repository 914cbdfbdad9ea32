//! A strict reader of Prometheus' text format (version 0.0.4), which shares no code with the
//! agent's writer.

use std::collections::{BTreeMap, BTreeSet};

/// A page of metrics: values by name and labels.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: BTreeMap<(String, Labels), f64>,
}

/// Label values by name.
type Labels = BTreeMap<String, String>;

/// What is known while the page is read.
#[derive(Default)]
struct Page {
    /// The family whose lines these are, and its type.
    family: Option<(String, String)>,
    finished: BTreeSet<String>,
    metrics: Metrics,
}

// === impl Metrics ===

impl Metrics {
    /// Reads a page.
    ///
    /// # Errors
    ///
    /// With the line that is not as the format has it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(text) = text.strip_suffix('\n') else {
            return Err("the page does not end with a line feed".into());
        };
        let mut page = Page::default();
        for (number, line) in text.split('\n').enumerate() {
            page.line(line).map_err(|reason| format!("line {}: {reason}: {line}", number + 1))?;
        }
        Ok(page.metrics)
    }

    /// The sum of all samples with this name and these labels among theirs; 0 if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |found: &Labels| {
            labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
        };
        let samples = self.samples.iter();
        samples
            .filter(|((found, with), _)| found == name && has(with))
            .map(|(_, value)| value)
            .sum()
    }

    /// All labels of each sample with this name and these labels among theirs.
    #[must_use]
    pub fn labels(&self, name: &str, labels: &[(&str, &str)]) -> Vec<BTreeMap<String, String>> {
        let has = |found: &Labels| {
            labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
        };
        let samples = self.samples.keys().filter(|(found, with)| found == name && has(with));
        samples.map(|(_, labels)| labels.clone()).collect()
    }

    /// The same for a number that must be there, and whole.
    ///
    /// # Errors
    ///
    /// If there is no such sample, or its value is no count.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Result<u64, String> {
        if !self.names().contains(name) {
            return Err(format!("there is no metric {name}"));
        }
        let value = self.sum(name, labels);
        let whole = value >= 0.0 && value.fract() == 0.0 && value < 9_007_199_254_740_992.0;
        if whole { Ok(value as u64) } else { Err(format!("{name} is {value}")) }
    }

    /// Names of all samples.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| name.as_str()).collect()
    }
}

// === impl Page ===

impl Page {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, _) = rest.split_once(' ').ok_or("no help")?;
            self.begin(name)
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            self.announce(name, kind)
        } else if line.starts_with('#') {
            Ok(())
        } else {
            self.sample(line)
        }
    }

    fn begin(&mut self, name: &str) -> Result<(), String> {
        if let Some((previous, _)) = self.family.take() {
            self.finished.insert(previous);
        }
        if self.finished.contains(name) {
            return Err("its family is in two places".into());
        }
        self.family = Some((name.to_owned(), "untyped".into()));
        Ok(())
    }

    fn announce(&mut self, name: &str, kind: &str) -> Result<(), String> {
        if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
            return Err(format!("there is no type {kind}"));
        }
        if self.family.as_ref().is_none_or(|(family, _)| family != name) {
            self.begin(name)?;
        }
        self.family = Some((name.to_owned(), kind.to_owned()));
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let (name, labels, value) = split(line).ok_or("not a sample")?;
        let Some((family, kind)) = &self.family else { return Err("it has no family".into()) };
        let suffixes: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["", "_sum", "_count"],
            _ => &[""],
        };
        if !suffixes.iter().any(|suffix| name.strip_prefix(family.as_str()) == Some(suffix)) {
            return Err(format!("it is not of the family {family}"));
        }
        if kind == "counter" && value < 0.0 {
            return Err("a counter below zero".into());
        }
        match self.metrics.samples.insert((name, labels), value) {
            None => Ok(()),
            Some(_) => Err("the same sample twice".into()),
        }
    }
}

fn split(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => split_labels(rest)?,
        None => (Labels::new(), rest),
    };
    Some((name.to_owned(), labels, rest.strip_prefix(' ')?.parse().ok()?))
}

fn split_labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        let (name, rest) = text.split_once("=\"")?;
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(letters) {
            return None;
        }
        let (value, rest) = unescaped(rest)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        match rest.strip_prefix(',') {
            Some(more) => text = more,
            None => return Some((labels, rest.strip_prefix('}')?)),
        }
    }
}

/// A label's value up to its closing quote, and what follows that.
fn unescaped(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                _ => return None,
            }),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    const PAGE: &str = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\"} 3\n\
        a_total{x=\"\\\"\\n\"} 4\n# HELP b Else.\n# TYPE b summary\nb_sum 0.5\nb_count 2\n";

    #[test]
    fn samples_are_added_up_by_the_labels_asked_for() {
        let metrics = Metrics::parse(PAGE).expect("a page");
        assert_eq!(metrics.get("a_total", &[]), Ok(7));
        assert_eq!(metrics.get("a_total", &[("x", "\"\n")]), Ok(4));
        assert_eq!(metrics.get("b_count", &[]), Ok(2));
        assert!(metrics.get("b_sum", &[]).is_err(), "not a whole number");
        assert!(metrics.get("c", &[]).is_err(), "not there");
    }

    #[test]
    fn what_is_not_of_the_format_is_refused() {
        for text in [
            "a 1",
            "a 1\n",
            "# TYPE a counter\na 1\na 2\n",
            "# TYPE a counter\nb 1\n",
            "# TYPE a counter\na{x=\"1} 1\n",
            "# TYPE a counter\na{x=\"1\",x=\"2\"} 1\n",
            "# TYPE a counter\na{x=\"\\q\"} 1\n",
            "# TYPE a counter\na -1\n",
            "# TYPE a counters\na 1\n",
            "# TYPE a counter\na 1\n# TYPE b gauge\nb 1\n# TYPE a counter\na{x=\"1\"} 1\n",
            "# TYPE a counter\na\n",
        ] {
            assert!(Metrics::parse(text).is_err(), "{text:?}");
        }
    }
}
