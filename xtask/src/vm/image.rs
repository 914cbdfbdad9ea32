//! The guest's file system: busybox, the binaries, modules and an init that runs the tests.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::{cpio::Archive, kernel::Kernel, modules};
use crate::process;

/// Begins every line with which init speaks to xtask.
pub(crate) const MARK: &str = "plainsight-vm:";

const FOLDERS: &[&str] = &[
    "bin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var",
    "var/tmp",
];

/// Test binaries that the guest runs, in this order; other binaries are what they start.
pub(crate) const TESTS: &[&str] = &["kernel", "e2e"];

/// Tests that need Debian's own servers, its runtimes or its nftables stay on the host: none are in the guest. So do those of
/// what the agent makes of counts, whatever kernel counted: each start of it takes seconds under emulation, which
/// the verifier needs. First payload at a listening socket is left out for
/// what the known limits in ARCHITECTURE.md say of it.
const E2E_ARGUMENTS: &str = "--skip debian:: --skip mutual:: --skip nat:: --skip servers:: \
    --skip api:: --skip brief:: --skip canary:: --skip churn:: --skip complete:: --skip doctor:: \
    --skip findings:: --skip identity:: --skip observe:: --skip runtimes:: --skip scale:: \
    --skip early::";

/// Writes `initramfs.cpio` below `folder` and returns its path. It is not compressed: under
/// emulation unpacking costs more than reading.
pub(crate) fn pack(
    folder: &Path,
    kernel: &Kernel,
    binaries: &[PathBuf],
) -> anyhow::Result<PathBuf> {
    let path = folder.join("initramfs.cpio");
    let file =
        File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    for name in FOLDERS {
        archive.directory(name)?;
    }
    // Init has no output without this node, which the kernel opens before /dev is mounted.
    archive.character_device("dev/console", (5, 1))?;
    archive.file("bin/busybox", 0o755, &read(Path::new("/bin/busybox"))?)?;
    for binary in binaries {
        archive.file(&format!("bin/{}", name(binary)), 0o755, &read(binary)?)?;
    }
    let modules = modules::collect(&kernel.modules)?;
    for module in &modules {
        archive.file(&format!("lib/modules/{}.ko", module.name), 0o644, &module.bytes)?;
    }
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )?;
    archive.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    archive.file("etc/hosts", 0o644, b"127.0.0.1 localhost\n::1 localhost\n")?;
    let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    archive.file("init", 0o755, init(&names, &tests(binaries)).as_bytes())?;
    archive.finish()?;
    Ok(path)
}

/// The test binaries among `binaries`, in the order to run them.
pub(crate) fn tests(binaries: &[PathBuf]) -> Vec<String> {
    let packed = |test: &&str| binaries.iter().any(|path| name(path) == **test);
    TESTS.iter().filter(|test| packed(test)).map(|test| (*test).to_owned()).collect()
}

/// Copies `from` to `to` without debug information; symbols stay for backtraces.
pub(crate) fn strip(from: &Path, to: PathBuf) -> anyhow::Result<PathBuf> {
    process::run(Command::new("strip").arg("--strip-debug").arg("-o").arg(&to).arg(from))?;
    Ok(to)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("could not read {}", path.display()))
}

/// The script that the kernel starts. Every step's failure is visible: a missing mount or module
/// would otherwise show as some test's strange error.
fn init(modules: &[&str], tests: &[String]) -> String {
    let mut script = String::from(PROLOGUE);
    for module in modules {
        // insmod's exit status is no proof; the kernel's own list is.
        let _ = writeln!(
            script,
            "insmod /lib/modules/{module}.ko; grep -q '^{module} ' /proc/modules || echo '{MARK} no module {module}'"
        );
    }
    for test in tests {
        let skip = if test == "e2e" { E2E_ARGUMENTS } else { "" };
        let _ = writeln!(script, "echo '{MARK} start {test}'");
        let _ = writeln!(script, "/bin/{test} --test-threads=1 --nocapture {skip} 2>&1");
        let _ = writeln!(script, "echo \"\n{MARK} exit {test} $?\"");
    }
    let _ = writeln!(script, "echo '{MARK} end'\npoweroff -f");
    script
}

const PROLOGUE: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root RUST_BACKTRACE=1
export PLAINSIGHT_VM=1 PLAINSIGHT_BIN=/bin/plainsight PLAINSIGHT_PEER=/bin/peer
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
hostname guest
echo \"plainsight-vm: kernel $(uname -r)\"
";

#[cfg(test)]
mod tests_of_init {
    use super::*;

    #[test]
    fn init_runs_each_test_and_powers_off() {
        let script = init(&["veth"], &["kernel".into(), "e2e".into()]);
        let expect = "insmod /lib/modules/veth.ko; grep -q '^veth ' /proc/modules";
        assert!(script.contains(expect), "{script}");
        assert!(script.contains("/bin/kernel --test-threads=1 --nocapture  2>&1"), "{script}");
        assert!(
            script
                .contains("/bin/e2e --test-threads=1 --nocapture --skip debian:: --skip mutual::"),
            "{script}"
        );
        assert!(script.ends_with("plainsight-vm: end'\npoweroff -f\n"), "{script}");
    }

    #[test]
    fn what_the_tests_start_is_no_test() {
        let binaries = ["/x/e2e", "/x/kernel", "/x/peer", "/x/plainsight"].map(PathBuf::from);
        assert_eq!(tests(&binaries), ["kernel", "e2e"]);
        assert!(tests(&[]).is_empty());
    }
}
