//! Sockets of this very process, as the kernel lists them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
};

use super::*;

fn inode(socket: &impl AsFd) -> u64 {
    let number = socket.as_fd().as_raw_fd();
    std::fs::metadata(format!("/proc/self/fd/{number}")).unwrap().ino()
}

/// A listener, and both ends of a connection over which 31 bytes went there and 17 back.
fn conversation(address: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(&[1; 31]).unwrap();
    server.read_exact(&mut [0; 31]).unwrap();
    server.write_all(&[1; 17]).unwrap();
    client.read_exact(&mut [0; 17]).unwrap();
    (listener, client, server)
}

fn one(found: &[Socket], inode: u64) -> &Socket {
    found.iter().find(|socket| socket.inode == inode).expect("the socket is listed")
}

fn check(address: &str) {
    let (listener, client, server) = conversation(address);
    let sockets = Sockets::here().unwrap();
    let found = sockets.list().unwrap();
    let at = listener.local_addr().unwrap();
    let listening = one(&found, inode(&listener));
    assert_eq!((listening.state, listening.local_port), (State::Listen, at.port()));
    let [client, server] = [(&client, 17), (&server, 31)].map(|(socket, received)| {
        let listed = one(&found, inode(socket));
        assert_eq!(listed.state, State::Established);
        assert_eq!(SocketAddr::new(listed.local, listed.local_port), socket.local_addr().unwrap());
        assert_eq!(listed.moved.unwrap().received, received);
        assert_eq!(holders::option(socket, libc::SO_COOKIE), Some(listed.cookie));
        listed
    });
    assert_eq!((client.remote, client.remote_port), (server.local, server.local_port));
    // The client's SYN is among its sequence numbers.
    assert_eq!(client.moved.unwrap().acked, 31 + 1);
    assert_eq!(netns_cookie(&listener), sockets.netns_cookie());
}

#[test]
fn ipv4_sockets_are_listed() {
    check("127.0.0.1:0");
}

#[test]
fn ipv6_sockets_are_listed() {
    check("[::1]:0");
}

#[test]
fn states_are_the_kernels() {
    let check = |code: u8, expect: Option<State>| assert_eq!(State::from_code(code), expect);
    check(1, Some(State::Established));
    check(10, Some(State::Listen));
    check(0, None);
    check(6, None);
    check(200, None);
}
