//! A client that connects again and again, and counts what does not work.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockFlag, SockaddrStorage, bind, connect, sendto},
};

use super::{
    flags::Flags,
    option,
    step::{self, Step},
    tally::Tally,
};

/// What to connect to, and how.
struct Plan<'a> {
    flags: &'a Flags,
    to: SocketAddr,
    /// Ports from that of `to` on, taken in turn.
    ports: u16,
    steps: Vec<Step>,
    from: Option<IpAddr>,
    /// The same port each time, which the connection before may still have in `TIME_WAIT`.
    from_port: Option<u16>,
    syn_retries: Option<i32>,
    /// So many bytes go with the SYN, if the server has given a cookie for it (RFC 7413).
    fast: Option<usize>,
    /// Connections a second, by default as many as there can be.
    rate: Option<u64>,
    /// Give up before there can be an answer.
    abandon: bool,
}

/// Between two attempts to get a port that is taken for a while.
const PAUSE: Duration = Duration::from_millis(10);

// === impl Plan ===

impl<'a> Plan<'a> {
    fn new(flags: &'a Flags) -> anyhow::Result<Self> {
        Ok(Self {
            flags,
            to: flags.address("to")?,
            ports: flags.number("ports")?.unwrap_or(1),
            steps: Step::list(flags.text("steps").unwrap_or_default())?,
            from: flags.number("from")?,
            from_port: flags.number("from-port")?,
            syn_retries: flags.number("syn-retries")?,
            fast: flags.number("fast-open")?,
            rate: flags.number("rate")?,
            abandon: flags.is_set("abandon"),
        })
    }

    /// One connection after another, from the `first` on.
    fn play(&self, first: u64, count: u64) -> Tally {
        let mut tally = Tally::default();
        let start = Instant::now();
        for number in first..first + count {
            self.wait_for_turn(number, start);
            match self.connect(number) {
                Ok(stream) => {
                    if let Ok(local) = stream.local_addr() {
                        tally.port(local.port());
                    }
                    tally.written += self.fast.unwrap_or(0) as u64;
                    step::play(&self.steps, stream, &mut tally);
                }
                Err(error) => tally.failure(&error),
            }
        }
        tally
    }

    /// Keeps to the rate, and makes up for what was late.
    fn wait_for_turn(&self, number: u64, start: Instant) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }

    fn connect(&self, number: u64) -> io::Result<TcpStream> {
        let mut to = self.to;
        to.set_port(to.port() + (number % u64::from(self.ports)) as u16);
        loop {
            let socket = self.socket(to)?;
            match self.open(&socket, to) {
                Ok(()) => return Ok(socket.into()),
                // The kernel lets a port in `TIME_WAIT` go after a second.
                Err(Errno::EADDRNOTAVAIL) if self.from_port.is_some() => thread::sleep(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn open(&self, socket: &OwnedFd, to: SocketAddr) -> nix::Result<()> {
        let address = SockaddrStorage::from(to);
        let Some(length) = self.fast else { return connect(socket.as_raw_fd(), &address) };
        let bytes = vec![0xa7; length];
        let flags = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
        match sendto(socket.as_raw_fd(), &bytes, &address, flags)? {
            sent if sent == length => Ok(()),
            _ => Err(Errno::EMSGSIZE),
        }
    }

    fn socket(&self, to: SocketAddr) -> io::Result<OwnedFd> {
        let mut how = SockFlag::empty();
        how.set(SockFlag::SOCK_NONBLOCK, self.abandon);
        let socket = option::stream(self.flags, to, how)?;
        if let Some(retries) = self.syn_retries {
            option::set_tcp(&socket, libc::TCP_SYNCNT, retries)?;
        }
        if self.flags.is_set("fast-open-connect") {
            option::set_tcp(&socket, libc::TCP_FASTOPEN_CONNECT, 1)?;
        }
        if let Some(from) = self.from {
            option::reuse_address(&socket)?;
            let from = SocketAddr::new(from, self.from_port.unwrap_or(0));
            bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
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

/// A single connection: whether all went well with it.
pub(crate) fn one(flags: &Flags) -> anyhow::Result<bool> {
    let tally = Plan::new(flags)?.play(0, 1);
    Ok(tally.connections == 1 && tally.is_without_errors())
}

/// A thread for each connection; threads inherit the name of the one that starts them.
fn parallel(plan: &Plan<'_>, connections: u64) -> Tally {
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
