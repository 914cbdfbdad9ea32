//! A client that connects again and again, and counts what does not work.

use std::{
    io,
    mem::size_of_val,
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, socket,
    },
};

use super::{
    flags::Flags,
    step::{self, Step},
    tally::Tally,
};

/// What to connect to, and how.
struct Plan {
    to: SocketAddr,
    /// Ports from that of `to` on, taken in turn.
    ports: u16,
    steps: Vec<Step>,
    from: Option<IpAddr>,
    syn_retries: Option<i32>,
    /// Give up before there can be an answer.
    abandon: bool,
}

// === impl Plan ===

impl Plan {
    fn new(flags: &Flags) -> anyhow::Result<Self> {
        Ok(Self {
            to: flags.address("to")?,
            ports: flags.number("ports")?.unwrap_or(1),
            steps: Step::list(flags.text("steps").unwrap_or_default())?,
            from: flags.number("from")?,
            syn_retries: flags.number("syn-retries")?,
            abandon: flags.is_set("abandon"),
        })
    }

    /// One connection after another, from the `first` on.
    fn play(&self, first: u64, count: u64) -> Tally {
        let mut tally = Tally::default();
        for number in first..first + count {
            match self.connect(number) {
                Ok(stream) => {
                    if let Ok(local) = stream.local_addr() {
                        tally.port(local.port());
                    }
                    step::play(&self.steps, stream, &mut tally);
                }
                Err(error) => tally.failure(&error),
            }
        }
        tally
    }

    fn connect(&self, number: u64) -> io::Result<TcpStream> {
        let mut to = self.to;
        to.set_port(to.port() + (number % u64::from(self.ports)) as u16);
        if self.syn_retries.is_none() && self.from.is_none() && !self.abandon {
            return TcpStream::connect(to);
        }
        let socket = self.socket(to)?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) => Ok(socket.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn socket(&self, to: SocketAddr) -> io::Result<OwnedFd> {
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let mut flags = SockFlag::SOCK_CLOEXEC;
        flags.set(SockFlag::SOCK_NONBLOCK, self.abandon);
        let socket = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
        if let Some(retries) = self.syn_retries {
            set_syn_retries(&socket, retries)?;
        }
        if let Some(from) = self.from {
            bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
        }
        Ok(socket)
    }
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let plan = Plan::new(flags)?;
    let connections = flags.count("connections")?;
    let tally = if flags.is_set("parallel") {
        parallel(&plan, connections)
    } else {
        plan.play(0, connections)
    };
    Ok(tally.tell()?)
}

/// A thread for each connection; threads inherit the name of the one that starts them.
fn parallel(plan: &Plan, connections: u64) -> Tally {
    let mut total = Tally::default();
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|number| scope.spawn(move || plan.play(number, 1))).collect();
        for tally in threads.into_iter().filter_map(|thread| thread.join().ok()) {
            total.add(tally);
        }
    });
    total
}

/// `TCP_SYNCNT` (tcp(7)).
fn set_syn_retries(socket: &OwnedFd, retries: i32) -> io::Result<()> {
    // SAFETY: the descriptor is valid, and the value is an int, as the option wants it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw const retries).cast(),
            size_of_val(&retries) as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop).map_err(io::Error::from)
}
