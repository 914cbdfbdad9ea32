//! What the figures were measured on, without which they say little.

use std::{fs, process::Command, thread};

use crate::process;

/// One line about this machine and this day.
pub(crate) fn line() -> String {
    let kernel = file("/proc/sys/kernel/osrelease");
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = file("/proc/cpuinfo");
    let model = model(&cpuinfo).unwrap_or("unknown processor");
    // Only the agent reads the wall clock itself, in one place.
    let date = process::try_output(Command::new("date").args(["-u", "+%F"])).unwrap_or_default();
    let date = date.trim();
    format!("{date}, Linux {kernel}, {processors} processors ({model})")
}

/// How many tasks wanted a processor, as a mean of the last minute.
pub(crate) fn load_average() -> String {
    file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::model;

    #[test]
    fn the_first_processor_names_the_model() {
        assert_eq!(model("processor\t: 0\nmodel name\t: A B\nmodel name\t: C\n"), Some("A B"));
        assert_eq!(model(""), None);
    }
}
