//! Answers of the kernel, whole, cut short, and of kinds that are not asked for.

use super::*;
use crate::discover::netlink::{
    DONE, ERROR, HEADER,
    bytes::{answer as message, attribute},
    messages,
};

/// `struct inet_diag_msg` of a socket between these two.
fn head(family: libc::c_int, state: u8, local: &[u8], remote: &[u8]) -> Vec<u8> {
    let mut bytes = vec![family as u8, state, 0, 0];
    bytes.extend(8080_u16.to_be_bytes());
    bytes.extend(40_001_u16.to_be_bytes());
    for address in [local, remote] {
        bytes.extend(address);
        bytes.extend(vec![0; 16 - address.len()]);
    }
    // The interface, and the cookie's two halves, the lower one first.
    bytes.extend([0; 4]);
    bytes.extend(0x89ab_cdef_u32.to_ne_bytes());
    bytes.extend(0x0123_4567_u32.to_ne_bytes());
    bytes.extend([0; 16]);
    bytes.extend(4711_u32.to_ne_bytes());
    bytes
}

/// `struct tcp_info` up to this length.
fn info(length: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; 248];
    bytes[68..72].copy_from_slice(&1500_u32.to_ne_bytes());
    bytes[120..128].copy_from_slice(&1009_u64.to_ne_bytes());
    bytes[128..136].copy_from_slice(&62_u64.to_ne_bytes());
    bytes.truncate(length);
    bytes
}

fn whole() -> Vec<u8> {
    let mut body = head(libc::AF_INET, 1, &[10, 0, 0, 1], &[192, 0, 2, 7]);
    // One that nobody reads, whose length is no multiple of four.
    body.extend(attribute(8, &[3]));
    body.extend(attribute(INFO, &info(248)));
    body.extend(attribute(CGROUP, &77_u64.to_ne_bytes()));
    message(BY_FAMILY, &body)
}

/// Whether an answer is the last, and its sockets.
fn read(bytes: &[u8]) -> Result<(bool, Vec<Socket>), NetlinkError> {
    let mut found = Vec::new();
    let is_over = messages(bytes, |kind, body| {
        found.extend(listed(kind, body)?);
        Ok(())
    })?;
    Ok((is_over, found))
}

#[test]
fn a_socket_is_read() {
    let (is_over, found) = read(&whole()).unwrap();
    let expect = Socket {
        cookie: 0x0123_4567_89ab_cdef,
        state: State::Established,
        local: "10.0.0.1".parse().unwrap(),
        local_port: 8080,
        remote: "192.0.2.7".parse().unwrap(),
        remote_port: 40_001,
        inode: 4711,
        cgroup: 77,
        is_v6_only: false,
        moved: Some(Moved { acked: 1009, received: 62, rtt_us: 1500 }),
    };
    assert_eq!((is_over, found), (false, vec![expect]));
}

#[test]
fn mapped_addresses_are_ipv4() {
    let mapped = |last| Ipv4Addr::new(127, 0, 0, last).to_ipv6_mapped().octets();
    let body = head(libc::AF_INET6, 1, &mapped(1), &mapped(2));
    let (_, found) = read(&message(BY_FAMILY, &body)).unwrap();
    let ends = [found[0].local, found[0].remote].map(|end| end.to_string());
    assert_eq!(ends, ["127.0.0.1", "127.0.0.2"]);
}

#[test]
fn what_a_kernel_does_not_tell_is_left_out() {
    let of = |attributes: &[u8]| {
        let mut body = head(libc::AF_INET6, 10, &[0; 16], &[0; 16]);
        body.extend(attributes);
        read(&message(BY_FAMILY, &body)).unwrap().1.remove(0)
    };
    let bare = of(&[]);
    assert_eq!((bare.cgroup, bare.moved, bare.is_v6_only), (0, None, false));
    assert!(of(&attribute(V6_ONLY, &[1])).is_v6_only);
    assert_eq!(of(&attribute(INFO, &info(104))).moved, None);
    assert!(of(&attribute(INFO, &info(136))).moved.is_some());
}

#[test]
fn lists_have_an_end() {
    let socket = whole();
    let done = message(DONE, &[0; 4]);
    let (is_over, found) = read(&[socket.clone(), socket, done].concat()).unwrap();
    assert_eq!((is_over, found.len()), (true, 2));
    assert_eq!(read(&[]).unwrap(), (false, vec![]));
    assert_eq!(read(&message(ERROR, &[0; 4])).unwrap(), (true, vec![]));
}

#[test]
fn refusals_are_errors() {
    let refused = |code: i32| match read(&message(ERROR, &code.to_ne_bytes())) {
        Err(NetlinkError::Refused(error)) => error.raw_os_error(),
        _ => None,
    };
    assert_eq!(refused(-libc::ENOENT), Some(libc::ENOENT));
    // A number that has no opposite must not end the process.
    assert_eq!(refused(i32::MIN), Some(i32::MAX));
}

#[test]
fn other_states_families_and_messages_are_passed_over() {
    let check = |kind: u16, body: &[u8]| {
        assert_eq!(read(&message(kind, body)).unwrap(), (false, vec![]));
    };
    check(BY_FAMILY, &head(libc::AF_INET, 6, &[0; 4], &[0; 4]));
    check(BY_FAMILY, &head(libc::AF_INET, 255, &[0; 4], &[0; 4]));
    check(BY_FAMILY, &head(libc::AF_UNIX, 1, &[0; 4], &[0; 4]));
    check(1, &[]);
}

#[test]
fn every_cut_is_noticed_or_leaves_whole_sockets() {
    let bytes = whole();
    for length in 1..bytes.len() {
        assert!(matches!(read(&bytes[..length]), Err(NetlinkError::Truncated)), "{length}");
    }
}

#[test]
fn lengths_that_lie_are_errors() {
    let with = |at: usize, value: u8| {
        let mut bytes = whole();
        bytes[at..at + 2].copy_from_slice(&u16::from(value).to_ne_bytes());
        read(&bytes)
    };
    // A message shorter than its header would never end the loop.
    for length in 0..16 {
        assert!(with(0, length).is_err(), "{length}");
    }
    let first = HEADER + SOCKET;
    for length in 0..4 {
        assert!(with(first, length).is_err(), "attribute of {length}");
    }
    let mut short = head(libc::AF_INET, 1, &[0; 4], &[0; 4]);
    short.extend(attribute(CGROUP, &[0; 7]));
    assert!(read(&message(BY_FAMILY, &short)).is_err());
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    // A plain generator: every byte of the message is replaced by many others.
    let bytes = whole();
    for at in 0..bytes.len() {
        for value in (0..=255).step_by(5) {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _read = read(&changed);
        }
    }
}

#[test]
fn a_request_is_of_the_kernels_shape() {
    let Request(bytes) = request(libc::AF_INET6 as u8, 0x402);
    assert_eq!(bytes.len(), 72);
    assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()), 72);
    assert_eq!(bytes[16..20], [10, 6, 2, 0]);
    assert_eq!(u32::from_ne_bytes(bytes[20..24].try_into().unwrap()), 0x402);
}
