//! What the files of systemd's units say beyond what systemd itself reads.
//!
//! systemd leaves settings alone whose names begin with `X-` (systemd.unit(5)), so a unit can say who
//! answers for it where it is defined.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::files;

/// Where units are defined, in the order in which systemd prefers them.
const FOLDERS: [&str; 8] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

const OWNER: &str = "X-Owner";

/// The longest owner.
const LONGEST: usize = 253;

/// Most drop-ins that are read of one unit in one folder.
const MOST_DROP_INS: usize = 64;

/// Most units whose owner is remembered.
const CAPACITY: usize = 16_384;

/// Who answers for the units of a host.
#[derive(Debug)]
pub struct Units {
    root: PathBuf,
    owners: HashMap<String, Option<String>>,
}

// === impl Units ===

impl Units {
    /// Those of the host whose file system is at `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, owners: HashMap::new() }
    }

    /// The owner that a unit of the system names, as of when it was first asked for.
    pub fn owner(&mut self, unit: &str) -> Option<String> {
        if let Some(owner) = self.owners.get(unit) {
            return owner.clone();
        }
        let owner = find(&self.root, unit).map(|(owner, _)| owner);
        if self.owners.len() >= CAPACITY {
            self.owners.clear();
        }
        self.owners.insert(unit.to_owned(), owner.clone());
        owner
    }

    /// The same as it is now, and the file that says so.
    pub fn origin(&self, unit: &str) -> Option<(String, PathBuf)> {
        find(&self.root, unit)
    }
}

/// The last setting wins: that of the drop-in with the greatest name, else the unit's own.
fn find(root: &Path, unit: &str) -> Option<(String, PathBuf)> {
    let read = |file: PathBuf| {
        let text = files::read_linked(&file)?.ok()?;
        Some((owner(&String::from_utf8_lossy(&text))?, file))
    };
    let names = spellings(unit);
    let own = || names.iter().flat_map(|name| folders(root).map(move |folder| folder.join(name)));
    drop_ins(root, &names).into_iter().rev().find_map(read).or_else(|| {
        // The first file there is defines the unit, whether it names an owner or not.
        own().find(|file| file.exists()).and_then(read)
    })
}

fn folders(root: &Path) -> impl Iterator<Item = PathBuf> {
    FOLDERS.into_iter().map(|folder| root.join(folder))
}

/// The unit, and the template it is an instance of.
fn spellings(unit: &str) -> Vec<String> {
    let template = unit.rsplit_once('.').and_then(|(stem, suffix)| {
        let (template, instance) = stem.split_once('@')?;
        (!instance.is_empty()).then(|| format!("{template}@.{suffix}"))
    });
    [unit.to_owned()].into_iter().chain(template).collect()
}

/// Drop-ins in the order in which they count. Of two with one name the folder that systemd prefers
/// has the one that does.
fn drop_ins(root: &Path, names: &[String]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in
        names.iter().flat_map(|name| folders(root).map(move |f| f.join(format!("{name}.d"))))
    {
        for file in files::names(&folder, MOST_DROP_INS) {
            let is_new = !found.iter().any(|known| known.file_name() == Some(&file));
            if is_new && file.as_encoded_bytes().ends_with(b".conf") {
                found.push(folder.join(file));
            }
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    found
}

/// The owner that a unit's file names in its section `[Unit]`.
fn owner(text: &str) -> Option<String> {
    let mut is_unit = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_unit = line == "[Unit]";
        } else if let Some((OWNER, value)) = line.split_once('=').map(|(k, v)| (k.trim(), v.trim()))
            && is_unit
        {
            found = Some(value);
        }
    }
    let is_usable = |owner: &&str| {
        !owner.is_empty() && owner.len() <= LONGEST && !owner.contains(char::is_control)
    };
    found.filter(is_usable).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn owners_stand_in_the_units_section() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(owner(text).as_deref(), expect, "{text:?}");
        };
        check(
            "[Unit]\nDescription=a\nX-Owner=payments\n[Service]\nExecStart=/x\n",
            Some("payments"),
        );
        check("[Unit]\n X-Owner = the team \n", Some("the team"));
        check("[Unit]\nX-Owner=a\nX-Owner=b\n", Some("b"));
        check("[Unit]\nX-Owner=a\nX-Owner=\n", None);
        check("X-Owner=a\n", None);
        check("[Service]\nX-Owner=a\n", None);
        check("[Unit]\n#X-Owner=a\n", None);
        check("[Unit]\nX-Owner=\u{1b}[2J\n", None);
        check(&format!("[Unit]\nX-Owner={}\n", "x".repeat(254)), None);
        check("", None);
    }

    #[test]
    fn what_systemd_prefers_counts() {
        let root = std::env::temp_dir().join(format!("plainsight-units-{}", std::process::id()));
        let write = |file: &str, owner: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("[Unit]\nX-Owner={owner}\n")).unwrap();
        };
        let now = |unit: &str| Units::new(root.clone()).owner(unit);
        let mut units = Units::new(root.clone());
        assert_eq!(units.owner("web.service"), None);
        write("usr/lib/systemd/system/web.service", "vendor");
        write("usr/lib/systemd/system/log@.service", "logs");
        assert_eq!(units.owner("web.service"), None, "as of when it was first asked for");
        assert_eq!(now("web.service").as_deref(), Some("vendor"));
        assert_eq!(now("log@a.service").as_deref(), Some("logs"));
        write("etc/systemd/system/web.service", "local");
        assert_eq!(now("web.service").as_deref(), Some("local"));
        write("usr/lib/systemd/system/web.service.d/50-a.conf", "drop-in");
        assert_eq!(now("web.service").as_deref(), Some("drop-in"));
        write("etc/systemd/system/web.service.d/50-a.conf", "preferred");
        write("etc/systemd/system/web.service.d/60-b.txt", "no");
        let (owner, file) = Units::new(root.clone()).origin("web.service").unwrap();
        assert_eq!(
            (owner.as_str(), file),
            ("preferred", root.join("etc/systemd/system/web.service.d/50-a.conf"))
        );
        write("run/systemd/system/log@.service.d/x.conf", "all");
        write("run/systemd/system/log@a.service.d/y.conf", "one");
        assert_eq!(now("log@a.service").as_deref(), Some("one"));
        assert_eq!(now("log@b.service").as_deref(), Some("all"));
        fs::remove_dir_all(&root).unwrap();
    }
}
