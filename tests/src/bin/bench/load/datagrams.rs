//! The workload over UDP.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use super::Operation;

/// Bytes of a datagram.
const MESSAGE: usize = 64;

/// One datagram, sent and received.
pub(crate) fn one_by_one() -> io::Result<Operation> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.connect(receiver.local_addr()?)?;
    let mut bytes = [b'x'; MESSAGE];
    Ok(Box::new(move || {
        sender.send(&bytes)?;
        receiver.recv(&mut bytes).map(drop)
    }))
}
