//! Builds the kernel programs, or takes them where `PLAINSIGHT_EBPF_OBJ` says they are.
//!
//! Two toolchains can build for a BPF target: rustup's nightly with rust-src, and a distribution's
//! rustc that comes with a core library for it. Whichever is here is used, so that a plain
//! `cargo build` needs no environment.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

const OBJECT: &str = "PLAINSIGHT_EBPF_OBJ";
const PACKAGE: &str = "plainsight-ebpf";

/// A compiler that can build for a BPF target.
enum Compiler {
    /// rustup's nightly, which builds core from source.
    Nightly,
    /// The distribution's, with a prebuilt core.
    Distribution,
}

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed={OBJECT}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the agent has no parent")?;
    if let Some(object) = env::var_os(OBJECT).filter(|path| !path.is_empty()) {
        return take(Path::new(&object));
    }
    let tools = root.join("target/tools/bin");
    let compiler = compiler()?;
    if !has_linker(&tools) {
        bail!("bpf-linker is missing: run `cargo xtask setup`, or `cargo install bpf-linker`");
    }
    prepare(&compiler, &tools)?;
    build(&root.join("ebpf"))
}

fn take(object: &Path) -> Result<()> {
    println!("cargo:rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?).join(PACKAGE);
    fs::copy(object, &out).with_context(|| format!("{OBJECT} names {}", object.display()))?;
    Ok(())
}

fn compiler() -> Result<Compiler> {
    let nightly = output("rustup", &["run", "nightly", "rustc", "--print", "sysroot"])
        .map(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock"));
    if nightly.is_some_and(|lock| lock.exists()) {
        return Ok(Compiler::Nightly);
    }
    let target = ["--print", "target-libdir", "--target", "bpfel-unknown-none"];
    let core = output("/usr/bin/rustc", &target).and_then(|folder| fs::read_dir(folder).ok());
    let is_core = |file: fs::DirEntry| file.file_name().to_string_lossy().starts_with("libcore-");
    if core.is_some_and(|mut files| files.any(|file| file.is_ok_and(is_core))) {
        return Ok(Compiler::Distribution);
    }
    bail!(
        "no compiler for a BPF target: run `cargo xtask setup` as root on Debian, or \
         `rustup toolchain install nightly --component rust-src`"
    )
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn has_linker(tools: &Path) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain([tools.to_owned()]);
    folders.any(|folder| folder.join("bpf-linker").exists())
}

/// Sets this process's environment, which aya-build hands on to the inner cargo.
fn prepare(compiler: &Compiler, tools: &Path) -> Result<()> {
    let old = env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![tools.to_owned()];
    match compiler {
        Compiler::Nightly => folders.extend(env::split_paths(&old)),
        Compiler::Distribution => {
            folders.push("/usr/bin".into());
            // aya-build always goes through rustup where it finds one.
            folders.extend(env::split_paths(&old).filter(|f| !f.join("rustup").exists()));
            for variable in ["RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "CARGO"] {
                set(variable, None);
            }
            // The two crates use unstable features that core's BPF target needs.
            set("RUSTC_BOOTSTRAP", Some("aya_ebpf,plainsight_ebpf".into()));
        }
    }
    set("PATH", Some(env::join_paths(folders)?));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "aya-build reads its settings from the environment")]
fn set(variable: &str, value: Option<OsString>) {
    // SAFETY: the build script has one thread.
    unsafe {
        match value {
            Some(value) => env::set_var(variable, value),
            None => env::remove_var(variable),
        }
    }
}

fn build(folder: &Path) -> Result<()> {
    let root_dir = folder.to_str().context("the path of ebpf/ is not UTF-8")?;
    let mut features = vec!["bpf"];
    if env::var_os("CARGO_FEATURE_TRACE").is_some() {
        features.push("trace");
    }
    let package = Package { name: PACKAGE, root_dir, features: &features, ..Package::default() };
    aya_build::build_ebpf([package], Toolchain::default())
}
