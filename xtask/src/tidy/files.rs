//! Rules for single files: a module doc in each, and nothing of one machine in any.

use super::{Complaint, Source, numbered};

/// Paths and names that exist on one machine or in one network only. They are put together from
/// parts, so that this list is not found in itself.
const FOREIGN: &[&[&str]] = &[
    &["/wo", "rk/"],
    &["/ro", "ot/"],
    &["/ho", "me/"],
    &["deb.debian", ".org"],
    &["security.debian", ".org"],
    &["index.crates", ".io"],
    &["static.crates", ".io"],
    &["artifact", "ory"],
    &["Artifact", " Registry"],
    &["pkg", ".dev/"],
];

pub(crate) fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = foreign(source);
    if source.path.ends_with(".rs") && !has_module_doc(&source.text) {
        complaints.push(Complaint::new(
            &source.path,
            1,
            "no module doc".into(),
            "begin the file with `//!` and what it is for",
        ));
    }
    complaints
}

fn has_module_doc(text: &str) -> bool {
    text.starts_with("//!")
}

fn foreign(source: &Source) -> Vec<Complaint> {
    // Cargo.lock names the registry by its public address, and cargo writes it.
    if source.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (line, text) in numbered(&source.text) {
        for word in FOREIGN.iter().map(|parts| parts.concat()).filter(|word| text.contains(word)) {
            complaints.push(Complaint::new(
                &source.path,
                line,
                format!("`{word}` exists on one machine or network only"),
                "derive it at run time, or use a path from the repository's root",
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::{brief, source};

    #[test]
    fn every_rust_file_begins_with_its_module_doc() {
        let check = |path: &str, text: &str, expect: &[&str]| {
            assert_eq!(brief(&check(&source(path, text))), expect, "{text}");
        };
        check("a.rs", "//! What it is for.\nfn a() {}\n", &[]);
        check("a.rs", "fn a() {}\n", &["1: no module doc"]);
        check("a.rs", "", &["1: no module doc"]);
        check("a.md", "text", &[]);
    }

    #[test]
    fn machine_paths_are_found_wherever_they_stand() {
        let path = ["/wo", "rk/x"].concat();
        let text = format!("fine\nsee {path}\n");
        assert_eq!(foreign(&source("README.md", &text)).len(), 1);
        assert_eq!(foreign(&source("README.md", &text))[0].line, 2);
        assert!(foreign(&source("Cargo.lock", &text)).is_empty());
        assert!(foreign(&source("README.md", "the work of routes")).is_empty());
    }
}
