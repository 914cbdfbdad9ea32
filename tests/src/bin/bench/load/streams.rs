//! Workloads over TCP.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use nix::sys::socket::{setsockopt, sockopt};

use super::Operation;

/// Bytes of a request, and of its answer.
const MESSAGE: usize = 64;
/// Bytes of one send in bulk.
const BLOCK: usize = 64 << 10;
/// Room for a whole block on its way: one thread cannot wait for itself to read.
const ROOM: usize = 4 << 20;
/// Connections go to as many ports in turn, so that a free port is found as easily for the last
/// as for the first.
const LISTENERS: usize = 32;

/// A connection's ends.
struct Ends {
    client: TcpStream,
    server: TcpStream,
}

// === impl Ends ===

impl Ends {
    fn connect(listener: &TcpListener, to: SocketAddr) -> io::Result<Self> {
        let client = TcpStream::connect(to)?;
        let (server, _) = listener.accept()?;
        Ok(Self { client, server })
    }

    fn exchange(&mut self) -> io::Result<()> {
        let mut bytes = [b'x'; MESSAGE];
        self.client.write_all(&bytes)?;
        self.server.read_exact(&mut bytes)?;
        self.server.write_all(&bytes)?;
        self.client.read_exact(&mut bytes)
    }

    /// The client closes first, as most do; the server reads that and closes too.
    fn close(self) -> io::Result<()> {
        let Self { client, mut server } = self;
        drop(client);
        server.read(&mut [0; MESSAGE]).map(drop)
    }
}

/// Connect, one request, one answer, close.
pub(crate) fn connections() -> io::Result<Operation> {
    let listeners = (0..LISTENERS).map(|_| listen()).collect::<io::Result<Vec<_>>>()?;
    let mut next = 0;
    Ok(Box::new(move || {
        let (listener, address) = &listeners[next % LISTENERS];
        next += 1;
        let mut ends = Ends::connect(listener, *address)?;
        ends.exchange()?;
        ends.close()
    }))
}

/// One request and one answer on a connection that stays.
pub(crate) fn requests() -> io::Result<Operation> {
    let mut ends = lasting()?;
    Ok(Box::new(move || ends.exchange()))
}

/// A block from one end to the other.
pub(crate) fn bulk() -> io::Result<Operation> {
    let mut ends = lasting()?;
    setsockopt(&ends.client, sockopt::SndBufForce, &ROOM)?;
    setsockopt(&ends.server, sockopt::RcvBufForce, &ROOM)?;
    let mut block = vec![b'x'; BLOCK];
    Ok(Box::new(move || {
        ends.client.write_all(&block)?;
        ends.server.read_exact(&mut block)
    }))
}

fn lasting() -> io::Result<Ends> {
    let (listener, address) = listen()?;
    let ends = Ends::connect(&listener, address)?;
    // A request must not wait for the acknowledgement of the one before.
    ends.client.set_nodelay(true)?;
    ends.server.set_nodelay(true)?;
    Ok(ends)
}

fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
