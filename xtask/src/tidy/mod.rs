//! `tidy`: the repository tested against its own rules, those that no compiler checks.
//!
//! Each rule is a function from text to complaints, so that each is tested on small inputs; this
//! file reads the files and prints. A complaint says what to do instead.

mod code;
mod dashboards;
mod docs;
mod files;
mod imports;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{process, summary::Summary, workspace::Workspace};

/// One breach of a rule: where, what, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) instead: String,
}

/// A file of the repository, with its path from the root.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Entries that hold no text of the project's own.
const SKIPPED: &[&str] = &[".git", "target", "node_modules"];

// === impl Complaint ===

impl Complaint {
    pub(crate) fn new(file: &str, line: usize, what: String, instead: &str) -> Self {
        Self { file: file.to_owned(), line, what, instead: instead.to_owned() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.instead)
    }
}

// === impl Source ===

impl Source {
    /// Whether the file is Rust below `folder`.
    pub(crate) fn is_rust_below(&self, folder: &str) -> bool {
        self.path.ends_with(".rs") && self.path.starts_with(folder)
    }

    /// A sibling file of unit tests, which may name what the code itself may not.
    pub(crate) fn is_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let complaints = complaints(workspace)?;
    if complaints == 0 {
        process::say("tidy: no complaints");
        return Ok(ExitCode::SUCCESS);
    }
    process::say(&format!("tidy: {complaints} complaints"));
    Ok(ExitCode::FAILURE)
}

/// For CI: each complaint is a failure.
pub(crate) fn summary(workspace: &Workspace) -> anyhow::Result<Summary> {
    let failed = complaints(workspace)?;
    Ok(Summary { failed, ..Summary::default() })
}

/// Prints every complaint and returns their number.
fn complaints(workspace: &Workspace) -> anyhow::Result<u64> {
    let sources = read(&workspace.root)?;
    let complaints = check(&sources);
    for complaint in &complaints {
        process::say(&complaint.to_string());
    }
    Ok(complaints.len() as u64)
}

fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        complaints.extend(files::check(source));
        complaints.extend(imports::check(source));
    }
    let metrics = docs::metrics(sources);
    complaints.extend(dashboards::check(sources, &metrics));
    complaints.extend(docs::check(sources, &metrics));
    complaints.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    complaints
}

/// Every text file of the repository; what is no UTF-8 holds nothing that the rules look at.
fn read(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    paths.sort();
    let sources = paths.iter().filter_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        let path = path.strip_prefix(root).ok()?.to_string_lossy().into_owned();
        Some(Source { path, text })
    });
    Ok(sources.collect())
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // In a linked working tree `.git` is a file.
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        // Links are not followed: what they name is checked where it lies.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}

/// Lines with their numbers, from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Complaint, Source};

    pub(crate) fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    /// Complaints as `line: what`.
    pub(crate) fn brief(complaints: &[Complaint]) -> Vec<String> {
        complaints
            .iter()
            .map(|complaint| format!("{}: {}", complaint.line, complaint.what))
            .collect()
    }
}
