//! `vm`: the kernel and e2e tiers on Debian's kernels, the same binaries on each.
//!
//! Per kernel: fetch and unpack (kernel.rs), pack an initramfs with the binaries and the modules
//! they need (modules.rs, cpio.rs, image.rs), boot it under a time limit and read its console
//! (boot.rs), compare the verifier's work with the checked-in counts (instructions.rs).

mod boot;
mod cpio;
mod image;
pub(crate) mod instructions;
mod kernel;
mod modules;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::{
    binaries::{self, Linkage},
    object, process, setup,
    summary::Summary,
    test,
    workspace::Workspace,
};

/// Emulated on two processors that do nothing else a machine takes about half of it.
const LIMIT_SECONDS: u64 = 1500;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Kernels to boot; without any, all of them.
    #[arg(value_enum)]
    kernels: Vec<kernel::Version>,
    /// Write the verified-instruction counts measured here to the checked-in file.
    #[arg(long)]
    bless: bool,
    /// Wall-clock limit per virtual machine; one that exceeds it is stopped and has failed.
    #[arg(long, default_value_t = LIMIT_SECONDS)]
    limit_seconds: u64,
    /// What executes the guest: tcg works everywhere, kvm where the machine offers it.
    #[arg(long, value_enum, default_value_t = boot::Accelerator::Tcg)]
    accel: boot::Accelerator,
    /// Fetch and boot each kernel with its modules, and run no tests.
    #[arg(long)]
    boot_only: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let summary = all(workspace, arguments)?;
    if arguments.boot_only && summary.failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(test::close(&summary))
}

/// What CI runs: every kernel, counts compared, the default limit.
pub(crate) fn matrix(workspace: &Workspace) -> anyhow::Result<Summary> {
    let arguments = Arguments {
        kernels: Vec::new(),
        bless: false,
        limit_seconds: LIMIT_SECONDS,
        accel: boot::Accelerator::Tcg,
        boot_only: false,
    };
    all(workspace, &arguments)
}

fn all(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Summary> {
    setup::ensure_vm()?;
    let binaries = if arguments.boot_only { Vec::new() } else { static_binaries(workspace)? };
    let mut total = Summary::default();
    let mut measured = Vec::new();
    let versions = chosen(&arguments.kernels);
    for (done, &version) in versions.iter().enumerate() {
        let title = format!("[{}/{}] kernel {}", done + 1, versions.len(), version.name());
        let summary = process::step(&title, || one(workspace, version, &binaries, arguments))?;
        let counts = summary.instructions.iter().cloned();
        measured.extend(counts.map(|count| (version.name().to_owned(), count)));
        total.add(summary);
    }
    instructions::judge(&workspace.root, &measured, &mut total, arguments.bless)?;
    Ok(total)
}

fn chosen(named: &[kernel::Version]) -> Vec<kernel::Version> {
    if named.is_empty() { kernel::Version::value_variants().to_vec() } else { named.to_vec() }
}

/// Fetches, packs, boots and reads one kernel's tests.
fn one(
    workspace: &Workspace,
    version: kernel::Version,
    binaries: &[PathBuf],
    arguments: &Arguments,
) -> anyhow::Result<Summary> {
    let folder = workspace.vm().join(version.name());
    let kernel = kernel::fetch(&workspace.vm(), version)?;
    let image = image::pack(&folder, &kernel, binaries)?;
    let machine = boot::Machine {
        name: version.name(),
        kernel: &kernel.image,
        initramfs: &image,
        console: &folder.join("console.log"),
        limit: Duration::from_secs(arguments.limit_seconds),
        accelerator: arguments.accel,
    };
    boot::run(&machine, &image::tests(binaries))
}

/// The agent, both tiers and the peers they start, linked statically and without debug
/// information: the image lies in the guest's memory.
fn static_binaries(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let object = object::build(workspace)?;
    object::build_entry(workspace)?;
    let mut built = binaries::tests(workspace, &object, image::TESTS, Linkage::Static)?;
    let agent = binaries::agent(workspace, &object, true, Linkage::Static)?;
    built.insert("plainsight".into(), agent);
    let folder = workspace.vm().join("bin");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    built.into_iter().map(|(name, built)| image::strip(&built, folder.join(name))).collect()
}
