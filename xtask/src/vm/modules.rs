//! Kernel modules for the guest: found, unpacked, ordered so that dependencies come first.
//!
//! The package holds no modules.dep (Debian makes it at installation), so dependencies are read
//! from each module itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// What the tests need, unless it is built in: pairs of links, sock_diag for TCP, which also closes
/// sockets, and links that encrypt, with the parts of the cipher and its random numbers that no
/// module names.
const WANTED: &[&str] = &[
    "veth",
    "inet_diag",
    "tcp_diag",
    "wireguard",
    "xfrm_user",
    "esp4",
    "gcm",
    "ctr",
    "ghash_generic",
    "seqiv",
    "sha512_generic",
    "drbg",
];

pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The wanted modules and what they depend on, in the order to load them.
pub(crate) fn collect(folder: &Path) -> anyhow::Result<Vec<Module>> {
    let files = files(&folder.join("kernel"))?;
    let built_in = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let is_built_in = |name: &str| {
        built_in.lines().any(|path| module_name(Path::new(path)).as_deref() == Some(name))
    };
    let mut modules = Vec::new();
    for name in WANTED.iter().filter(|name| !is_built_in(name)) {
        add(&files, name, &mut modules)?;
    }
    Ok(modules)
}

fn add(files: &[PathBuf], name: &str, modules: &mut Vec<Module>) -> anyhow::Result<()> {
    if modules.iter().any(|module| module.name == name) {
        return Ok(());
    }
    // A missing file is an error here: a test that needs the module would only say that it failed.
    let path = files
        .iter()
        .find(|path| module_name(path).as_deref() == Some(name))
        .with_context(|| format!("the kernel package holds no module {name}"))?;
    let bytes = read(path)?;
    for dependency in dependencies(&bytes) {
        add(files, &dependency, modules)?;
    }
    modules.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

/// Every file below `folder`.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// `tcp_diag` for `tcp_diag.ko` and `tcp-diag.ko.xz`: the kernel takes both signs for one.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_suffix(".xz").unwrap_or(file).strip_suffix(".ko")?;
    Some(name.replace('-', "_"))
}

/// A module's bytes, unpacked: busybox's insmod refuses compressed ones and yet reports success.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("could not read {}", path.display()));
    }
    let output = Command::new("xz").args(["-d", "-c"]).arg(path).output().context("no xz")?;
    if !output.status.success() {
        bail!("xz could not unpack {}: {}", path.display(), output.status);
    }
    Ok(output.stdout)
}

/// Names in the module's `depends=` entry.
fn dependencies(bytes: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = bytes.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = bytes[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module() {
        let check = |bytes: &[u8], expect: &[&str]| assert_eq!(dependencies(bytes), expect);
        check(b"\x7fELF", &[]);
        check(b"license=GPL\0depends=\0name=veth\0", &[]);
        check(b"license=GPL\0depends=inet_diag\0", &["inet_diag"]);
        check(b"x\0depends=a,b-c\0", &["a", "b_c"]);
    }

    #[test]
    fn names_ignore_compression_and_dashes() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(module_name(Path::new(path)).as_deref(), expect);
        };
        check("kernel/net/ipv4/tcp_diag.ko", Some("tcp_diag"));
        check("kernel/net/ipv4/tcp-diag.ko.xz", Some("tcp_diag"));
        check("modules.order", None);
    }
}
