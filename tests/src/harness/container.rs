//! Containers that runc runs, with peers in them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use super::{Cgroup, Namespace, Peer, peer_binary, run};

/// Folders of the host that a program needs to run, where there are any.
const SHARED: [&str; 5] = ["/usr", "/lib", "/lib64", "/bin", "/etc"];

/// A container below a cgroup of a test. When it is dropped, it is ended and removed.
#[derive(Debug)]
pub struct Container {
    id: String,
    bundle: PathBuf,
    parent: String,
}

static MADE: AtomicU32 = AtomicU32::new(0);

// === impl Container ===

impl Container {
    /// A container of this name, which gets a number of its own, below `cgroup`. In the namespaces
    /// of the network that runc is started in.
    ///
    /// # Panics
    ///
    /// If its folder cannot be made.
    #[must_use]
    pub fn new(name: &str, cgroup: &Cgroup) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let id = format!("{name}-{}-{number}", process::id());
        let bundle = env::temp_dir().join(format!("plainsight-{id}"));
        fs::create_dir_all(bundle.join("rootfs")).expect("a folder can be made");
        Self { id, bundle, parent: cgroup.within_hierarchy() }
    }

    /// Its id, which is its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs a peer as the container's first process. `arguments` as of [`Peer::start`].
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn run(&self, namespace: &Namespace, name: &str, arguments: &str) -> Peer {
        let spec = self.spec(&peer(name, arguments)).to_string();
        fs::write(self.bundle.join("config.json"), spec).expect("a file can be written");
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(&self.bundle).arg(&self.id);
        namespace.place(&mut command);
        Peer::spawn(name, command)
    }

    /// Runs a peer in the running container beside its first process.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn exec(&self, namespace: &Namespace, name: &str, arguments: &str) -> Peer {
        let mut command = Command::new("runc");
        command.args(["exec", &self.id]).args(peer(name, arguments));
        // The container has no network namespace of its own that runc would enter.
        namespace.place(&mut command);
        Peer::spawn(name, command)
    }

    /// Ends and removes it, as far as it is there.
    pub fn remove(&self) {
        let _gone = run(Command::new("runc").args(["delete", "--force", &self.id]));
    }

    fn spec(&self, command: &[String]) -> Value {
        let bind = |path: &Path| json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"]});
        let peers = peer_binary();
        let shared = SHARED.iter().map(Path::new).filter(|path| path.is_dir());
        let mounts = shared.chain(peers.parent()).map(bind);
        let proc = json!({"destination": "/proc", "source": "proc", "type": "proc"});
        json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": command, "cwd": "/"},
            "root": {"path": "rootfs"},
            "mounts": mounts.chain([proc]).collect::<Vec<_>>(),
            "linux": {
                "cgroupsPath": format!("{}/{}", self.parent, self.id),
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}],
            },
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
        // What stays behind is in the way of nobody.
        let _removed = fs::remove_dir_all(&self.bundle);
        // In the hierarchies of version 1 runc makes the parent too, and leaves it.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            if hierarchy.file_name() != "unified" {
                let _removed =
                    fs::remove_dir(format!("{}{}", hierarchy.path().display(), self.parent));
            }
        }
    }
}

/// The command line of a peer.
fn peer(name: &str, arguments: &str) -> Vec<String> {
    let program = peer_binary().to_str().expect("the path is text").to_owned();
    let flags = arguments.split(' ').chain(["--name", name]).map(str::to_owned);
    [program].into_iter().chain(flags).collect()
}
