//! Network namespaces: which one has a cookie, and what is read of it once.
//!
//! Whoever holds a descriptor of a namespace keeps it and its devices alive, so all of them are
//! given back when a look is over. Only where a namespace was found last is remembered.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns};

use super::{
    device::{self, Devices},
    ipsec::{self, Policy, State},
    programs::{self, Redirect, Side},
};
use crate::discover::{
    holders::{is_refusal, processes},
    netlink::{Netlink, NetlinkError, Request, attributes, u32_at},
    sockets::netns_cookie,
};

/// Why nothing is known of a way that begins in a namespace which is gone.
pub const GONE: &str = "its network namespace is not there any more";

/// Where namespaces were found last, by their cookies.
#[derive(Debug, Default)]
pub struct Namespaces(BTreeMap<u64, Found>);

#[derive(Clone, Debug)]
struct Found {
    name: OsString,
    path: PathBuf,
}

/// Namespaces that are being looked at. The thread that does moves among them, so it must be one
/// that does nothing else.
pub(super) struct Open<'a> {
    found: &'a mut Namespaces,
    open: Vec<Namespace>,
    /// Which the thread is in.
    current: usize,
    has_searched: bool,
    /// Namespaces that may not be entered.
    refused: bool,
}

/// One of them, and what was read of it.
pub(super) struct Namespace {
    file: File,
    cookie: u64,
    pub(super) route: Netlink,
    xfrm: Option<Netlink>,
    pub(super) devices: Devices,
    pub(super) policies: Result<Vec<Policy>, String>,
    programs: BTreeMap<(u32, Side), Result<Option<Redirect>, String>>,
    /// Others, by this one's number for them.
    others: BTreeMap<i32, Option<usize>>,
}

/// The namespace of the thread that asks.
const OWN: &str = "/proc/thread-self/ns/net";

/// Namespaces that are looked at in one go, and of which the places are remembered.
const MOST_OPEN: usize = 1024;
const MOST_FOUND: usize = 16_384;

/// `RTM_NEWNSID`, `RTM_GETNSID`, and their attributes (include/uapi/linux/net_namespace.h).
const NEW_NSID: u16 = 88;
const GET_NSID: u16 = 90;
const NSID: u16 = 1;
const FD: u16 = 3;

// === impl Open ===

impl<'a> Open<'a> {
    pub(super) fn new(found: &'a mut Namespaces) -> Result<Self, NetlinkError> {
        let own = Namespace::here(File::open(OWN)?)?;
        Ok(Self { found, open: vec![own], current: 0, has_searched: false, refused: false })
    }

    pub(super) fn get(&self, at: usize) -> Option<&Namespace> {
        self.open.get(at)
    }

    /// The one with this cookie, or why there is none.
    pub(super) fn with_cookie(&mut self, cookie: u64) -> Result<usize, &'static str> {
        if cookie == 0 || self.open.first().is_some_and(|own| own.cookie == 0) {
            return Err("this kernel does not tell network namespaces apart");
        }
        let is_it = |namespace: &Namespace| namespace.cookie == cookie;
        if let Some(at) = self.open.iter().position(is_it) {
            return Ok(at);
        }
        if let Some(Found { name, path }) = self.found.0.get(&cookie).cloned()
            && let Some(at) = self.enter_path(&name, &path)
            && self.open.get(at).is_some_and(is_it)
        {
            return Ok(at);
        }
        self.search();
        self.open.iter().position(is_it).ok_or(match self.refused {
            true => "its network namespace may not be entered (CAP_SYS_ADMIN)",
            false => GONE,
        })
    }

    /// The one that has this number in another.
    pub(super) fn numbered(&mut self, at: usize, number: i32) -> Option<usize> {
        if let Some(known) = self.open.get(at)?.others.get(&number) {
            return *known;
        }
        let mut found = self.number_among_open(at, number);
        if found.is_none() {
            self.search();
            found = self.number_among_open(at, number);
        }
        self.open.get_mut(at)?.others.insert(number, found);
        found
    }

    fn number_among_open(&self, at: usize, number: i32) -> Option<usize> {
        let from = self.open.get(at)?;
        let is_it = |other: &Namespace| from.number_of(other).is_ok_and(|found| found == number);
        self.open.iter().position(is_it)
    }

    /// Looks through all processes, once.
    fn search(&mut self) {
        if std::mem::replace(&mut self.has_searched, true) {
            return;
        }
        let mut names = BTreeMap::new();
        for tgid in processes() {
            let path = PathBuf::from(format!("/proc/{tgid}/ns/net"));
            match fs::read_link(&path) {
                Ok(name) => _ = names.entry(name.into_os_string()).or_insert(path),
                Err(error) => self.refused |= is_refusal(&error),
            }
        }
        self.found.0.retain(|_, found| names.contains_key(&found.name));
        for (name, path) in names {
            self.enter_path(&name, &path);
        }
    }

    /// Opens the namespace of this name, unless it is open or there are too many.
    fn enter_path(&mut self, name: &OsStr, path: &Path) -> Option<usize> {
        let is_there = fs::read_link(path).is_ok_and(|found| found == name);
        if !is_there || self.open.len() >= MOST_OPEN {
            return None;
        }
        let file = File::open(path).inspect_err(|error| self.refused |= is_refusal(error)).ok()?;
        let is_open = |namespace: &Namespace| same(&namespace.file, &file);
        if let Some(at) = self.open.iter().position(is_open) {
            return Some(at);
        }
        let at = self.open.len();
        if let Err(error) = setns(&file, CloneFlags::CLONE_NEWNET) {
            self.refused |= error == nix::errno::Errno::EPERM;
            return None;
        }
        self.current = at;
        let namespace = Namespace::here(file);
        let Ok(namespace) = namespace else {
            // The thread is where nothing can be read; wherever it goes next, it goes on purpose.
            self.current = usize::MAX;
            return None;
        };
        if self.found.0.len() < MOST_FOUND {
            let found = Found { name: name.to_owned(), path: path.to_owned() };
            self.found.0.insert(namespace.cookie, found);
        }
        self.open.push(namespace);
        Some(at)
    }

    /// Brings the thread there.
    fn enter(&mut self, at: usize) -> io::Result<()> {
        if self.current != at {
            let namespace = self.open.get(at).ok_or(io::ErrorKind::NotFound)?;
            setns(&namespace.file, CloneFlags::CLONE_NEWNET)?;
            self.current = at;
        }
        Ok(())
    }

    /// What may redirect packets at this side of a device.
    pub(super) fn redirect(
        &mut self,
        at: usize,
        device: u32,
        side: Side,
    ) -> Result<Option<Redirect>, String> {
        let known = self.open.get(at).and_then(|namespace| namespace.programs.get(&(device, side)));
        if let Some(known) = known {
            return known.clone();
        }
        let entered = self.enter(at).map_err(|error| error.to_string());
        let namespace = self.open.get_mut(at).ok_or("it is not open")?;
        let found = entered.and_then(|()| {
            let found = programs::attached(&namespace.route, device, side);
            found.map_err(|error| error.to_string())
        });
        namespace.programs.insert((device, side), found.clone());
        found
    }

    /// Whether IPsec is switched off for what leaves by this device over IPv4 (`disable_xfrm`);
    /// also where that is not told.
    pub(super) fn lets_ipsec_be(&mut self, at: usize, device: &str) -> bool {
        let is_entered = self.enter(at).is_ok();
        let is_on = |name: &str| {
            let path = Path::new("/proc/sys/net/ipv4/conf").join(name).join("disable_xfrm");
            fs::read_to_string(path).is_ok_and(|text| text.trim() == "0")
        };
        !(is_entered && is_on("all") && is_on(device))
    }
}

// === impl Namespace ===

impl Namespace {
    /// That of the calling thread, which this is a descriptor of.
    fn here(file: File) -> Result<Self, NetlinkError> {
        let route = Netlink::open(libc::NETLINK_ROUTE)?;
        let xfrm = match Netlink::open(libc::NETLINK_XFRM) {
            Ok(xfrm) => Some(xfrm),
            // A kernel without IPsec.
            Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => None,
            Err(error) => return Err(error.into()),
        };
        let policies = xfrm.as_ref().map_or(Ok(Vec::new()), ipsec::policies);
        Ok(Self {
            file,
            cookie: netns_cookie(&route),
            devices: device::devices(&route)?,
            policies: policies.map_err(|error| error.to_string()),
            route,
            xfrm,
            programs: BTreeMap::new(),
            others: BTreeMap::new(),
        })
    }

    #[cfg(test)]
    pub(super) const fn cookie(&self) -> u64 {
        self.cookie
    }

    pub(super) fn states(&self) -> Result<Vec<State>, NetlinkError> {
        self.xfrm.as_ref().map_or(Ok(Vec::new()), ipsec::states)
    }

    /// This namespace's number for another.
    fn number_of(&self, other: &Self) -> Result<i32, NetlinkError> {
        let fd = other.file.as_raw_fd();
        let request = Request::one(GET_NSID, &[0; 4]).with(FD, &fd.to_ne_bytes());
        let mut number = -1;
        self.route.ask(&request, 1, |kind, body| {
            if kind != NEW_NSID {
                return Ok(());
            }
            attributes(body, 4, |kind, value| {
                if kind == NSID {
                    number = u32_at(value, 0)?.cast_signed();
                }
                Ok(())
            })
        })?;
        Ok(number)
    }
}

fn same(one: &File, other: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |file: &File| file.metadata().map(|file| (file.dev(), file.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}
