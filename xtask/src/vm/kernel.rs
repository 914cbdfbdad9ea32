//! Debian's cloud kernels: which, from where, fetched with apt and unpacked, never installed.
//!
//! apt keeps its state for this in a private folder, so the machine's own package lists are not
//! touched. The mirror is the machine's own: it is the one known to be reachable from here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use crate::process;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    #[value(name = "5.10")]
    V5_10,
    #[value(name = "6.1")]
    V6_1,
    #[value(name = "6.12")]
    V6_12,
}

/// An unpacked kernel.
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// The folder that holds `kernel/net/…` and the like.
    pub(crate) modules: PathBuf,
}

/// Where Debian's packages come from on this machine.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    main: String,
    security: String,
}

/// One line or stanza of apt's sources that was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

// === impl Version ===

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
        }
    }

    /// The release's own kernel, as apt's extended expression: newer suites' kernels are offered
    /// in older ones too, under names like `6.1.0-0.deb11.48`.
    fn pattern(self) -> String {
        let version = self.name().replace('.', "\\.");
        format!("^linux-image-{version}\\.[0-9]+(-[0-9]+|\\+deb[0-9.]+)-cloud-amd64$")
    }
}

/// The kernel under `vm/VERSION/root`, fetched if it is not there. A fetched kernel is kept, so
/// that the counts compared with it stay comparable; delete the folder to get a newer one.
pub(crate) fn fetch(vm: &Path, version: Version) -> anyhow::Result<Kernel> {
    let root = vm.join(version.name()).join("root");
    if let Ok(kernel) = unpacked(&root) {
        return Ok(kernel);
    }
    let state = vm.join("apt").join(version.suite());
    let title = format!("fetching Debian's {} kernel", version.name());
    process::step(&title, || {
        prepare(&state, version)?;
        process::run(apt(&state, "apt-get").args(["-q", "update"]))?;
        let package = newest(&state, version)?;
        // One package file only, so that what is unpacked is what was asked for.
        let folder = emptied(&state.join("package"))?;
        process::run(
            apt(&state, "apt-get").current_dir(&folder).args(["-q", "download", &package]),
        )?;
        unpack(&folder, &root)
    })?;
    unpacked(&root)
}

fn prepare(state: &Path, version: Version) -> anyhow::Result<()> {
    for folder in ["lists/partial", "cache/archives/partial"] {
        let folder = state.join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
    }
    let mirror = mirror()?;
    let suite = version.suite();
    let sources = format!(
        "deb [arch=amd64 signed-by={KEYRING}] {} {suite} main\n\
         deb [arch=amd64 signed-by={KEYRING}] {} {suite}-security main\n",
        mirror.main, mirror.security
    );
    fs::write(state.join("sources.list"), sources)?;
    // An empty status file: nothing counts as installed, so nothing is held back.
    fs::write(state.join("status"), "").context("could not write apt's private state")
}

/// An apt program that reads and writes only below `state`.
fn apt(state: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    let folders = [
        ("Dir::Etc::SourceList", "sources.list"),
        ("Dir::State::Lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
    ];
    for (option, name) in folders {
        command.arg("-o").arg(format!("{option}={}", state.join(name).display()));
    }
    let settings = [
        "Dir::Etc::SourceParts=/dev/null",
        // The private folder belongs to whoever runs this; apt's own user could not write there.
        "APT::Sandbox::User=root",
        "APT::Architecture=amd64",
        "APT::Architectures=amd64",
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        "Acquire::Retries=3",
    ];
    for setting in settings {
        command.args(["-o", setting]);
    }
    command
}

fn newest(state: &Path, version: Version) -> anyhow::Result<String> {
    let mut search = apt(state, "apt-cache");
    search.args(["search", "--names-only", &version.pattern()]);
    let found = process::output(&mut search)?;
    let names = found.lines().filter_map(|line| line.split(' ').next());
    let newest = names.max_by_key(|name| numbers(name)).map(str::to_owned);
    newest.with_context(|| format!("the mirror offers no cloud kernel {}", version.name()))
}

/// The numbers in a package's name, which order its versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

fn emptied(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("could not empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    Ok(folder.to_path_buf())
}

fn unpack(folder: &Path, root: &Path) -> anyhow::Result<()> {
    let package = entries(folder)?.pop().context("apt downloaded nothing")?;
    // Unpacked beside and renamed, so that an interrupted run leaves no half kernel.
    let partial = emptied(&root.with_extension("partial"))?;
    process::run(Command::new("dpkg").arg("-x").arg(&package).arg(&partial))?;
    fs::rename(&partial, root).with_context(|| format!("could not make {}", root.display()))
}

fn unpacked(root: &Path) -> anyhow::Result<Kernel> {
    let image = entries(&root.join("boot"))?
        .into_iter()
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })
        .context("the package holds no kernel image")?;
    // Debian 13 moved modules below /usr.
    let folders = [root.join("lib/modules"), root.join("usr/lib/modules")];
    let modules = folders
        .iter()
        .find_map(|folder| entries(folder).ok()?.pop())
        .context("the package holds no modules")?;
    Ok(Kernel { image, modules })
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read =
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    Ok(read.flatten().map(|entry| entry.path()).collect())
}

/// The machine's mirror, from apt's sources of either format.
fn mirror() -> anyhow::Result<Mirror> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release names no Debian release")?
        .trim_matches('"')
        .to_owned();
    let mut sources = one_line_sources(&read_or_empty(Path::new("/etc/apt/sources.list")));
    for path in entries(Path::new("/etc/apt/sources.list.d")).unwrap_or_default() {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line_sources(&read_or_empty(&path))),
            Some("sources") => sources.extend(stanza_sources(&read_or_empty(&path))),
            _ => {}
        }
    }
    choose(&sources, &codename)
}

fn read_or_empty(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn choose(sources: &[Source], codename: &str) -> anyhow::Result<Mirror> {
    let uri = |suite: &str| {
        sources
            .iter()
            .filter(|source| source.components.iter().any(|component| component == "main"))
            .find(|source| source.suites.iter().any(|name| name.trim_end_matches('/') == suite))
            .and_then(|source| source.uris.first())
            .map(|uri| uri.trim_end_matches('/').to_owned())
    };
    let Some(main) = uri(codename).or_else(|| uri("stable")) else {
        bail!("apt's sources name no mirror for {codename}");
    };
    // A machine without the security suite still has a mirror; security lies beside main there.
    let security = uri(&format!("{codename}-security"))
        .or_else(|| uri("stable-security"))
        .unwrap_or_else(|| format!("{main}-security"));
    Ok(Mirror { main, security })
}

/// `deb [options] URI SUITE COMPONENT…`, one a line.
fn one_line_sources(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_line_source).collect()
}

fn one_line_source(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split('#').next()?.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
    })
}

/// deb822: stanzas of `Field: value`, separated by empty lines.
fn stanza_sources(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut stanza = Vec::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            sources.extend(stanza_source(&std::mem::take(&mut stanza)));
        } else if !line.starts_with('#') {
            stanza.push(line);
        }
    }
    sources
}

fn stanza_source(lines: &[&str]) -> Option<Source> {
    let field = |wanted: &str| -> Vec<String> {
        let values = lines.iter().filter_map(|line| line.split_once(':'));
        values
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .flat_map(|(_, value)| value.split_whitespace().map(str::to_owned))
            .collect()
    };
    let enabled = field("Enabled").first().is_none_or(|value| value != "no");
    (enabled && field("Types").iter().any(|kind| kind == "deb")).then(|| Source {
        uris: field("URIs"),
        suites: field("Suites"),
        components: field("Components"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "# a comment\n\
        deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm main contrib # note\n\
        deb-src http://mirror.example/debian bookworm main\n\
        deb http://security.example/debian-security bookworm-security main\n";

    const STANZAS: &str = "Types: deb\n# comment\nURIs: http://mirror.example/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\n\n\
        Types: deb\nURIs: https://other.example/x\nSuites: nodistro\nComponents: main\n";

    #[test]
    fn mirrors_are_read_from_both_formats() {
        let check = |sources: Vec<Source>, main: &str, security: &str| {
            let expect = Mirror { main: main.into(), security: security.into() };
            assert_eq!(choose(&sources, "bookworm").unwrap(), expect);
        };
        check(
            one_line_sources(LINES),
            "http://mirror.example/debian",
            "http://security.example/debian-security",
        );
        check(
            stanza_sources(STANZAS),
            "http://mirror.example/debian",
            "http://mirror.example/debian-security",
        );
    }

    #[test]
    fn a_disabled_or_foreign_source_is_no_mirror() {
        let disabled = STANZAS.replacen("Types: deb", "Enabled: no\nTypes: deb", 1);
        assert!(choose(&stanza_sources(&disabled), "bookworm").is_err());
    }

    #[test]
    fn the_newest_name_has_the_greatest_numbers() {
        let names = ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-50-cloud-amd64"];
        assert_eq!(names.iter().max_by_key(|name| numbers(name)), Some(&names[1]));
    }

    #[test]
    fn patterns_take_the_dot_literally() {
        assert!(Version::V6_1.pattern().starts_with("^linux-image-6\\.1\\.[0-9]+"));
    }
}
