//! Conversations over netlink (netlink(7)): requests, and the messages and attributes of answers,
//! each read within its bounds.
//!
//! A socket belongs to the network namespace in which it was opened, wherever its thread goes later.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::sys::{
    socket::{MsgFlags, NetlinkAddr, recv, sendto, setsockopt, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike as _},
};

/// The kernel fills no more than 32 KiB at a time; a longer answer would be cut.
const BUFFER: usize = 64 * 1024;

/// The kernel answers at once; waiting for longer means that it will not.
const PATIENCE_SECONDS: i64 = 5;

/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// What stands in front of an attribute's value.
const ATTRIBUTE: usize = 4;

/// Message types that end an answer (`NLMSG_ERROR`, `NLMSG_DONE`).
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;

/// In the upper bits of an attribute's kind (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const KIND: u16 = 0x3fff;

/// Why the kernel did not tell.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// It refused the request, or the conversation failed.
    #[error(transparent)]
    Refused(#[from] io::Error),
    /// A message or an attribute is longer than what holds it.
    #[error("an answer is cut short")]
    Truncated,
    /// There are more messages than are read.
    #[error("more than {0} of them")]
    TooMany(usize),
}

/// A request in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request(pub(super) Vec<u8>);

/// An open conversation.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

/// What follows in an answer: its kind, and the bytes after its header.
#[derive(Debug, PartialEq, Eq)]
enum Message<'a> {
    Part(u16, &'a [u8]),
    Done,
}

// === impl Request ===

impl Request {
    /// For one message.
    pub(super) fn one(kind: u16, body: &[u8]) -> Self {
        Self::new(kind, libc::NLM_F_REQUEST, body)
    }

    /// For all there are.
    pub(super) fn all(kind: u16, body: &[u8]) -> Self {
        Self::new(kind, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, body)
    }

    fn new(kind: u16, flags: i32, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        // Sequence number and port, which one conversation at a time does not need.
        bytes.extend([0; 8]);
        bytes.extend(body);
        let mut request = Self(bytes);
        request.fill_up();
        request
    }

    /// The same with this attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.fill_up();
        self
    }

    fn fill_up(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let length = (self.0.len() as u32).to_ne_bytes();
        if let Some(head) = self.0.first_chunk_mut() {
            *head = length;
        }
    }

    fn is_for_all(&self) -> bool {
        let flags = array(&self.0, 6).map_or(0, u16::from_ne_bytes);
        i32::from(flags) & libc::NLM_F_DUMP == libc::NLM_F_DUMP
    }
}

// === impl Netlink ===

impl Netlink {
    /// With this part of the kernel (`NETLINK_…`), in the network namespace of the calling thread.
    pub(super) fn open(protocol: libc::c_int) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: it takes numbers and touches no memory of ours.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, valid and nobody else's.
        let netlink = unsafe { OwnedFd::from_raw_fd(fd) };
        setsockopt(&netlink, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        Ok(Self(netlink))
    }

    /// Sends a request and takes each message of the answer, with its kind: at most so many. After
    /// an error that is not the kernel's own refusal no other request may follow.
    pub(super) fn ask(
        &self,
        request: &Request,
        most: usize,
        mut take: impl FnMut(u16, &[u8]) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        let fd = self.0.as_raw_fd();
        sendto(fd, &request.0, &NetlinkAddr::new(0, 0), MsgFlags::empty())
            .map_err(io::Error::from)?;
        let mut buffer = Wiped(vec![0; BUFFER]);
        let mut taken = 0;
        loop {
            // With MSG_TRUNC the length is that of the whole answer, so a cut one is noticed.
            let length = recv(fd, &mut buffer.0, MsgFlags::MSG_TRUNC).map_err(io::Error::from)?;
            let answer = buffer.0.get(..length).ok_or(NetlinkError::Truncated)?;
            let is_over = messages(answer, |kind, body| {
                taken += 1;
                if taken > most { Err(NetlinkError::TooMany(most)) } else { take(kind, body) }
            })?;
            if is_over || !request.is_for_all() {
                return Ok(());
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Bytes that are gone when nobody reads them any more: the kernel lists IPsec's keys with what is
/// asked for.
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // Or the compiler may leave out what nobody reads.
        std::hint::black_box(&self.0);
    }
}

/// Takes each message of an answer, with its kind; true once the kernel has said all.
pub(super) fn messages(
    mut bytes: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> Result<(), NetlinkError>,
) -> Result<bool, NetlinkError> {
    while let Some((message, after)) = message(bytes)? {
        let Message::Part(kind, body) = message else { return Ok(true) };
        take(kind, body)?;
        bytes = after;
    }
    Ok(false)
}

/// The first message, and what follows it; none at the end.
fn message(bytes: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, NetlinkError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = u32_at(bytes, 0)? as usize;
    let kind = u16_at(bytes, 4)?;
    let body = bytes.get(HEADER..length).ok_or(NetlinkError::Truncated)?;
    let message = match kind {
        DONE => Message::Done,
        ERROR => refusal(body).map(|()| Message::Done)?,
        _ => Message::Part(kind, body),
    };
    Ok(Some((message, after(bytes, length))))
}

/// An error of 0 is an acknowledgement.
fn refusal(body: &[u8]) -> Result<(), NetlinkError> {
    match i32::from_ne_bytes(array(body, 0)?) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg()).into()),
    }
}

/// Takes each attribute, with its kind. They begin after a header of this length.
pub(super) fn attributes<'a>(
    body: &'a [u8],
    header: usize,
    mut take: impl FnMut(u16, &'a [u8]) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    let mut rest = body.get(header..).ok_or(NetlinkError::Truncated)?;
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & KIND;
        take(kind, rest.get(ATTRIBUTE..length).ok_or(NetlinkError::Truncated)?)?;
        rest = after(rest, length);
    }
    Ok(())
}

/// A text that may end with NUL. What is no UTF-8 becomes U+FFFD.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// What follows a message or an attribute: each begins at a multiple of four, and the last need not
/// be filled up to one.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, NetlinkError> {
    array(bytes, at).map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, NetlinkError> {
    array(bytes, at).map(u32::from_ne_bytes)
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Result<u8, NetlinkError> {
    bytes.get(at).copied().ok_or(NetlinkError::Truncated)
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], NetlinkError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(NetlinkError::Truncated)
}

/// Bytes of answers, as the kernel writes them.
#[cfg(test)]
pub(super) mod bytes {
    use super::Request;

    /// A message, filled up to a multiple of four.
    pub(in crate::discover) fn answer(kind: u16, body: &[u8]) -> Vec<u8> {
        Request::one(kind, body).0
    }

    /// An attribute, filled up to a multiple of four.
    pub(in crate::discover) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{
        bytes::{answer, attribute},
        *,
    };

    #[test]
    fn requests_say_their_length_and_what_they_want() {
        let request = Request::all(26, &[2, 0, 0]).with(1, &[10, 0, 0, 1]).with(9, &[7]);
        let Request(bytes) = &request;
        assert_eq!((bytes.len(), u32_at(bytes, 0).unwrap()), (36, 36));
        assert_eq!((u16_at(bytes, 4).unwrap(), u16_at(bytes, 6).unwrap()), (26, 0x301));
        assert_eq!(bytes[16..], [2, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1, 5, 0, 9, 0, 7, 0, 0, 0]);
        assert!(request.is_for_all() && !Request::one(26, &[]).is_for_all());
    }

    #[test]
    fn messages_follow_each_other() {
        let both = [answer(24, &[1, 2, 3, 4]), answer(DONE, &[0; 4])].concat();
        let (first, rest) = message(&both).unwrap().unwrap();
        assert_eq!(first, Message::Part(24, &[1, 2, 3, 4]));
        assert_eq!(message(rest).unwrap().unwrap().0, Message::Done);
        assert!(message(&[]).unwrap().is_none());
    }

    #[test]
    fn a_refusal_is_an_error_and_an_acknowledgement_the_end() {
        let refused = message(&answer(ERROR, &(-libc::EPERM).to_ne_bytes())).unwrap_err();
        assert!(
            matches!(&refused, NetlinkError::Refused(error) if error.raw_os_error() == Some(1))
        );
        let done = answer(ERROR, &[0; 4]);
        assert_eq!(message(&done).unwrap().unwrap().0, Message::Done);
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let whole = answer(24, &[1, 2, 3, 4]);
        for end in 1..whole.len() {
            assert!(message(&whole[..end]).is_err(), "{end}");
        }
        for body in [&[3_u8, 0, 1, 0][..], &[9, 0, 1, 0, 7], &[4], &[4, 0, 1]] {
            assert!(attributes(body, 0, |_, _| Ok(())).is_err(), "{body:?}");
        }
        assert!(attributes(&[0; 3], 4, |_, _| Ok(())).is_err());
    }

    #[test]
    fn attributes_are_told_from_their_flags() {
        let body = [attribute(0x8000 | 18, &[1]), attribute(3, b"eth0\0")].concat();
        let mut found = Vec::new();
        let all = attributes(&body, 0, |kind, value| {
            found.push((kind, text(value)));
            Ok(())
        });
        assert!(all.is_ok());
        assert_eq!(found, [(18, "\u{1}".into()), (3, "eth0".into())]);
    }

    #[test]
    fn this_host_lists_its_links() {
        let netlink = Netlink::open(libc::NETLINK_ROUTE).unwrap();
        let request = Request::all(libc::RTM_GETLINK, &[0; 16]);
        let mut count = 0;
        netlink
            .ask(&request, 1 << 16, |kind, _| {
                count += usize::from(kind == libc::RTM_NEWLINK);
                Ok(())
            })
            .unwrap();
        assert!(count > 0);
    }
}
