//! Running other programs: with context in errors, with their output passed on line by line, and
//! with a line before and after every step that takes long.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// Announces `title`, runs `work`, says how long it took.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    println!("== {title}");
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "done" } else { "FAILED" };
    println!("== {title}: {outcome} in {}", seconds(start.elapsed()));
    result
}

pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        whole @ 60.. => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{:.1}s", duration.as_secs_f64()),
    }
}

/// Runs `command` to its end; a status other than 0 is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("could not start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to standard output; its errors stay visible.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Like `output`, for questions whose failure is an answer too.
pub(crate) fn try_output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command`, hands every line of its standard output to `line`, returns whether it
/// succeeded. Bytes that are no UTF-8 are replaced: test output may hold anything.
pub(crate) fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> anyhow::Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", shown(command)))?;
    let stdout = child.stdout.take().context("the child has no standard output")?;
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    Ok(child.wait()?.success())
}

/// Prints one line and flushes it, so that a reader of a pipe sees progress as it happens.
pub(crate) fn say(line: &str) {
    println!("{line}");
    // A closed pipe shows at the next line; here there is nothing to do about it.
    let _ = std::io::stdout().flush();
}

/// A command as a person would type it, shortened to program and arguments.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        let check = |millis, expect: &str| {
            assert_eq!(seconds(Duration::from_millis(millis)), expect);
        };
        check(340, "0.3s");
        check(59_940, "59.9s");
        check(61_000, "1m01s");
        check(754_000, "12m34s");
    }

    #[test]
    fn streamed_lines_arrive_whole_and_the_status_is_kept() {
        let mut lines = Vec::new();
        let ok = stream(Command::new("sh").args(["-c", "printf 'a\\r\\nb'; exit 3"]), |line| {
            lines.push(line.to_owned())
        })
        .unwrap();
        assert!(!ok);
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn a_failed_command_is_shown_with_its_arguments() {
        let error = run(Command::new("false").arg("x")).unwrap_err();
        assert!(error.to_string().starts_with("false x failed"), "{error}");
    }
}
