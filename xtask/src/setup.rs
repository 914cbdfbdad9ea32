//! Set-up: what a fresh Debian 12 lacks to build, test and boot virtual machines.
//!
//! Every question is asked again on each call and is quick to answer, so that a command can
//! demand what it needs and nothing is done twice.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::{object::Toolchain, process, workspace::Workspace};

/// Compiler for BPF with a prebuilt core, and what bpf-linker is built from.
const TOOLCHAIN_PACKAGES: &[&str] = &[
    "cargo-web",
    "rustc-web",
    "rustfmt-web",
    "rust-web-clippy",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
    "libxml2-dev",
    "g++",
];

/// Servers, clients and tools that the e2e tier compares the agent with.
const TEST_PACKAGES: &[&str] = &[
    "nginx-light",
    "curl",
    "iproute2",
    "nftables",
    "procps",
    "openssl",
    "postgresql",
    "mariadb-server",
    "mariadb-client",
    "redis-server",
    "redis-tools",
    "exim4-daemon-light",
    "openssh-server",
    "openssh-client",
    "memcached",
    "mosquitto",
    "mosquitto-clients",
    "runc",
];

/// The same for the full counts alone: they are large, or need long to start.
const FULL_TEST_PACKAGES: &[&str] = &[
    "rabbitmq-server",
    "amqp-tools",
    "slapd",
    "ldap-utils",
    "libsasl2-modules",
    "libsasl2-modules-gssapi-mit",
    "krb5-kdc",
    "krb5-admin-server",
    "krb5-user",
    "dovecot-imapd",
    "dovecot-pop3d",
    "proftpd-core",
    "proftpd-mod-crypto",
    "samba",
    "smbclient",
    "python3-grpcio",
    "gnutls-bin",
    "golang-go",
    "default-jdk-headless",
    "unbound",
    "chrony",
    "prometheus",
    "prometheus-node-exporter",
    "podman",
];

/// What fetches, unpacks and boots a kernel.
const VM_PACKAGES: &[&str] = &["qemu-system-x86", "busybox-static", "xz-utils", "binutils"];

const LINKER_VERSION: &str = "0.13.0";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Keeps services from starting while packages are installed: a test machine's port 80 is not
/// ours to open. Removed when dropped; an existing policy is left alone.
struct NoServices {
    created: bool,
}

const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

// === impl NoServices ===

impl NoServices {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        if Path::new(SERVICE_POLICY).exists() {
            return Ok(Self { created: false });
        }
        fs::write(SERVICE_POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(SERVICE_POLICY, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("could not write {SERVICE_POLICY}"))?;
        Ok(Self { created: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.created && fs::remove_file(SERVICE_POLICY).is_err() {
            eprintln!("xtask: {SERVICE_POLICY} could not be removed; services will not start");
        }
    }
}

/// Everything any command needs, but for what `prove` alone runs against: that is large, and `prove` installs it.
pub(crate) fn ensure_all(workspace: &Workspace) -> anyhow::Result<()> {
    println!("[1/4] toolchain for the kernel half");
    let toolchain = ensure_toolchain(workspace)?;
    println!("      {toolchain:?}, bpf-linker found");
    println!("[2/4] formatter and clippy");
    ensure_lint(workspace)?;
    println!("[3/4] servers and tools for the tests");
    ensure_tests(false)?;
    println!("[4/4] virtual machines");
    ensure_vm()
}

/// A compiler for BPF and bpf-linker. What a developer's machine has is used as it is.
pub(crate) fn ensure_toolchain(workspace: &Workspace) -> anyhow::Result<Toolchain> {
    if workspace.has_program("bpf-linker")
        && let Some(toolchain) = Toolchain::find()
    {
        return Ok(toolchain);
    }
    if Toolchain::find().is_none() || !workspace.has_program("bpf-linker") {
        install_packages(TOOLCHAIN_PACKAGES)?;
    }
    if !workspace.has_program("bpf-linker") {
        install_linker(workspace)?;
    }
    Toolchain::find().context("packages are installed, but no compiler for BPF was found")
}

/// What the tests run against; for the full counts, all of it.
pub(crate) fn ensure_tests(is_full: bool) -> anyhow::Result<()> {
    let more: &[&str] = if is_full { FULL_TEST_PACKAGES } else { &[] };
    install_packages(&[TEST_PACKAGES, more].concat())
}

pub(crate) fn ensure_vm() -> anyhow::Result<()> {
    install_packages(VM_PACKAGES)
}

/// rustup's minimal profile has neither; both must match the stable compiler.
pub(crate) fn ensure_lint(workspace: &Workspace) -> anyhow::Result<()> {
    let present =
        |name: &str| process::try_output(workspace.cargo().args([name, "--version"])).is_some();
    if present("fmt") && present("clippy") {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["component", "add", "rustfmt", "clippy"]);
    process::step("rustfmt and clippy", || process::run(&mut command))
        .context("rustfmt and clippy are needed: rustup component add rustfmt clippy")
}

/// Installs those of `packages` that are missing. Elsewhere than on Debian as root it names the
/// command instead.
fn install_packages(packages: &[&str]) -> anyhow::Result<()> {
    let missing = missing_packages(packages, &installed_packages());
    if missing.is_empty() {
        return Ok(());
    }
    if !is_debian() || !is_root() {
        bail!("{}", instructions(&missing));
    }
    let title = format!("installing {}", missing.join(" "));
    process::step(&title, || {
        let _guard = NoServices::new()?;
        process::run(apt().args(["-q", "update"]))?;
        process::run(apt().args(["-q", "-y", "--no-install-recommends", "install"]).args(&missing))
    })
    .with_context(|| instructions(&missing))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.stdin(Stdio::null()).env("DEBIAN_FRONTEND", "noninteractive");
    // Another installation may be under way; waiting beats failing.
    command.args(["-o", "DPkg::Lock::Timeout=600"]);
    command
}

fn install_linker(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command.env("LLVM_PREFIX", LLVM_PREFIX).env_remove("CARGO_TARGET_DIR");
    command.args(["install", "--locked", "bpf-linker", "--version", LINKER_VERSION]);
    command.args(["--no-default-features", "--features", "llvm-22", "--root"]);
    command.arg(workspace.tools());
    let title = format!("building bpf-linker {LINKER_VERSION} (about a minute)");
    process::step(&title, || process::run(&mut command))
}

/// What a person can do where xtask may or can not.
fn instructions(missing: &[&str]) -> String {
    format!(
        "packages are missing. On Debian 12, as root:\n  \
         apt-get update && apt-get install --no-install-recommends {}\n  \
         LLVM_PREFIX={LLVM_PREFIX} cargo install --locked bpf-linker --version {LINKER_VERSION} \
         --no-default-features --features llvm-22 --root target/tools\n\
         To build elsewhere, rustup's nightly and a bpf-linker on PATH are enough:\n  \
         rustup toolchain install nightly --component rust-src\n  \
         cargo install bpf-linker",
        missing.join(" ")
    )
}

/// Names of installed packages, one a line, with dpkg's state letters before each.
fn installed_packages() -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Abbrev} ${Package}\n"]);
    process::try_output(&mut query).unwrap_or_default()
}

fn missing_packages<'a>(wanted: &[&'a str], installed: &str) -> Vec<&'a str> {
    let is_installed = |package: &str| {
        installed
            .lines()
            .any(|line| line.strip_prefix("ii").is_some_and(|rest| rest.trim() == package))
    };
    wanted.iter().copied().filter(|package| !is_installed(package)).collect()
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian" || line == "ID=\"debian\"")
}

/// Whether the effective user of this process is root.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)).is_some_and(|uid| uid == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fully_installed_packages_count() {
        let installed = "ii  curl\nrc  nginx-light\nii  g++\n";
        assert_eq!(
            missing_packages(&["curl", "nginx-light", "g++", "cpio"], installed),
            ["nginx-light", "cpio"],
        );
    }

    #[test]
    fn instructions_name_what_is_missing_and_both_ways() {
        let text = instructions(&["llvm-22-dev", "g++"]);
        assert!(text.contains("--no-install-recommends llvm-22-dev g++"), "{text}");
        assert!(text.contains("--component rust-src"), "{text}");
    }
}
