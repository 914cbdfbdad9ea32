//! UDP: one side asks, the other answers each datagram with one, so that none is lost on the way.

use std::{
    io,
    mem::size_of,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use serde_json::json;

use super::{
    flags::Flags,
    option, phrase,
    tally::{self, Tally},
};

/// Whoever asks, and what.
struct Asker {
    socket: UdpSocket,
    question: Vec<u8>,
    /// So many answers come to a question: it may leave as several datagrams.
    answers: u64,
    buffer: Vec<u8>,
    tally: Tally,
}

/// On loopback an answer that is not here by then will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// No datagram is longer.
const LONGEST: usize = 65_536;

// === impl Asker ===

impl Asker {
    fn new(flags: &Flags, to: SocketAddr) -> anyhow::Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let question = words(flags)?.context("--bytes or --say is missing")?;
        if let Some(segment) = flags.number::<u16>("segment")? {
            option::set_udp(&socket, libc::UDP_SEGMENT, segment.into())?;
        }
        let answers = flags.number("answers")?.unwrap_or(1);
        let (buffer, tally) = (vec![0; LONGEST], Tally::default());
        Ok(Self { socket, question, answers, buffer, tally })
    }

    /// Asks one and waits for the answers.
    fn ask(&mut self, to: SocketAddr) -> anyhow::Result<()> {
        self.tally.written += self.socket.send_to(&self.question, to)? as u64;
        self.answers(to)
    }

    /// The same with the socket's only peer.
    fn ask_peer(&mut self, peer: SocketAddr) -> anyhow::Result<()> {
        self.tally.written += self.socket.send(&self.question)? as u64;
        self.answers(peer)
    }

    fn answers(&mut self, to: SocketAddr) -> anyhow::Result<()> {
        for _ in 0..self.answers {
            let (length, from) = self.socket.recv_from(&mut self.buffer)?;
            ensure!(from == to, "an answer from {from}");
            self.tally.read += length as u64;
        }
        Ok(())
    }
}

/// Gives back what it got, or the words it was told to say. If it gathers, it takes datagrams that
/// came together as one.
pub(crate) fn echo(flags: &Flags) -> anyhow::Result<()> {
    let socket = open(flags, "listen")?;
    if flags.is_set("gather") {
        option::set_udp(&socket, libc::UDP_GRO, 1)?;
    }
    let answer = words(flags)?;
    tally::say(&json!({ "listening": socket.local_addr()?.to_string() }))?;
    let mut tally = Tally::default();
    let mut buffer = vec![0; LONGEST];
    for _ in 0..flags.count("datagrams")? {
        let (length, from) = socket.recv_from(&mut buffer)?;
        tally.read += length as u64;
        let answer = answer.as_deref().unwrap_or(&buffer[..length]);
        tally.written += socket.send_to(answer, from)? as u64;
    }
    Ok(tally.tell()?)
}

/// Asks each of the servers, in turn if the socket is not connected, else one after the other.
pub(crate) fn ask(flags: &Flags) -> anyhow::Result<()> {
    let servers = flags.addresses("to")?;
    let datagrams = flags.count("datagrams")?;
    let mut asker = Asker::new(flags, *servers.first().context("--to is missing")?)?;
    if flags.is_set("connected") {
        for server in servers {
            asker.socket.connect(server)?;
            (0..datagrams).try_for_each(|_| asker.ask_peer(server))?;
            dissolve(&asker.socket)?;
        }
    } else {
        for _ in 0..datagrams {
            servers.iter().try_for_each(|server| asker.ask(*server))?;
        }
    }
    Ok(asker.tally.tell()?)
}

/// Sends without waiting for answers.
pub(crate) fn tell(flags: &Flags) -> anyhow::Result<()> {
    let (socket, to) = (open(flags, "from")?, flags.address("to")?);
    let words = words(flags)?.context("--bytes or --say is missing")?;
    let mut tally = Tally::default();
    for _ in 0..flags.count("datagrams")? {
        tally.written += socket.send_to(&words, to)? as u64;
    }
    Ok(tally.tell()?)
}

/// Takes what is sent to a group, on the interface with this address, and answers nothing.
pub(crate) fn hear(flags: &Flags) -> anyhow::Result<()> {
    let group: Ipv4Addr = flags.number("group")?.context("--group is missing")?;
    let interface = flags.number("interface")?.context("--interface is missing")?;
    let socket = open(flags, "listen")?;
    socket.join_multicast_v4(&group, &interface)?;
    let listening = SocketAddr::new(IpAddr::V4(group), socket.local_addr()?.port());
    tally::say(&json!({ "listening": listening.to_string() }))?;
    let (mut tally, mut buffer) = (Tally::default(), vec![0; LONGEST]);
    for _ in 0..flags.count("datagrams")? {
        tally.read += socket.recv(&mut buffer)? as u64;
    }
    Ok(tally.tell()?)
}

/// What is to be said: so many bytes that no rule recognises, or first bytes of a protocol.
fn words(flags: &Flags) -> anyhow::Result<Option<Vec<u8>>> {
    let phrase = |name| phrase::phrase(name).with_context(|| format!("unknown words {name}"));
    match flags.text("say") {
        Some(name) => phrase(name).map(Some),
        None => Ok(flags.number("bytes")?.map(|length| vec![0xa7; length])),
    }
}

fn open(flags: &Flags, name: &str) -> anyhow::Result<UdpSocket> {
    let address = flags.address(name)?;
    let socket = UdpSocket::bind(address).with_context(|| format!("listening on {address}"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Takes a socket's peer away (`AF_UNSPEC`, connect(2)).
fn dissolve(socket: &UdpSocket) -> io::Result<()> {
    let nobody =
        libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the address is live and of the length that is given with it.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}
