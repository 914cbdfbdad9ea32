//! The front door of the workspace: everything that people and CI run goes through `cargo xtask`.
//!
//! xtask imports none of the other packages; it runs cargo, so it also works while they do not
//! compile. One file holds one subject, and each command's order of steps stands in its own file.
#![expect(clippy::print_stdout, reason = "xtask is a command-line tool: its output is its result")]

mod bench;
mod binaries;
mod ci;
mod fuzz;
mod lint;
mod object;
mod process;
mod prove;
mod run;
mod setup;
mod summary;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, builds, tests and checks of this workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing to build, test and boot the virtual machines (Debian, as root).
    Setup,
    /// Build the kernel object and the agent.
    Build {
        /// Optimised, as `run` and the tests use it.
        #[arg(long)]
        release: bool,
    },
    /// Set up, build and start the agent.
    Run {
        /// Arguments for `plainsight run`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, build and watch this host once, without an agent.
    Scan {
        /// Arguments for `plainsight scan`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run one tier of the tests, or all that need no virtual machine.
    Test(test::Arguments),
    /// Run the kernel and e2e tiers at full counts and print what was wanted and what was measured.
    Prove(prove::Arguments),
    /// Feed every parser with made-up input, by libFuzzer.
    Fuzz(fuzz::Arguments),
    /// Run the kernel and e2e tiers on Debian's kernels, each in a virtual machine.
    Vm(vm::Arguments),
    /// Check formatting and run clippy, on the kernel half too.
    Lint,
    /// Check the repository against its own rules.
    Tidy,
    /// Measure what the agent costs, against nothing and against empty programs (as root).
    Bench(bench::Arguments),
    /// Everything CI runs, in CI's order.
    Ci,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // Cargo's own messages are above; this says which step of ours asked for them.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Setup => setup::ensure_all(&workspace).map(|()| ExitCode::SUCCESS),
        Command::Build { release } => run::build(&workspace, release),
        Command::Run { arguments } => run::agent(&workspace, "run", &arguments),
        Command::Scan { arguments } => run::agent(&workspace, "scan", &arguments),
        Command::Test(arguments) => test::run(&workspace, &arguments),
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Prove(arguments) => prove::run(&workspace, &arguments),
        Command::Vm(arguments) => vm::run(&workspace, &arguments),
        Command::Lint => lint::run(&workspace).map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run(&workspace),
        Command::Bench(arguments) => bench::run(&workspace, &arguments),
        Command::Ci => ci::run(&workspace),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
