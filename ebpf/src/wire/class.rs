//! The few classes an edge is keyed by, from codes of the first message of each direction.

use super::head::{Head, Tell};
use super::protocol::Protocol;
use super::talk::Side;
use crate::abi::edge::Class;

/// No payload yet.
pub const NONE: u8 = 0;
const UNKNOWN: u8 = 1;
const REQUEST: u8 = 2;
const RESPONSE: u8 = 3;
const PREFACE: u8 = 4;
const SETTINGS: u8 = 5;
const CLIENT_HELLO: u8 = 6;
const SERVER_HELLO: u8 = 7;
const SSH: u8 = 8;
const MISSED: u8 = 9;

/// The code of a first message.
#[inline(always)]
pub const fn code(head: Head, side: Side) -> u8 {
    match (head.protocol, side) {
        _ if matches!(head.tell, Tell::Missed) => MISSED,
        (Protocol::Http, Side::Client) => REQUEST,
        (Protocol::Http, Side::Server) => RESPONSE,
        (Protocol::Http2, Side::Client) => PREFACE,
        (Protocol::Http2, Side::Server) => SETTINGS,
        (Protocol::Tls, Side::Client) if matches!(head.tell, Tell::Hello) => CLIENT_HELLO,
        (Protocol::Tls, Side::Server) if matches!(head.tell, Tell::Hello) => SERVER_HELLO,
        (Protocol::Ssh, _) => SSH,
        _ => UNKNOWN,
    }
}

/// The class of a conversation from these codes.
#[inline(always)]
pub const fn class(client: u8, server: u8) -> Class {
    if client == NONE && server == NONE {
        Class::Pending
    } else if client == SSH || server == SSH {
        Class::Ssh
    } else if client == CLIENT_HELLO {
        match server {
            SERVER_HELLO => Class::Tls,
            RESPONSE => Class::Http1,
            _ => Class::TlsOffered,
        }
    } else if client == MISSED && server == SERVER_HELLO {
        Class::Tls
    } else if client == PREFACE || client == MISSED && server == SETTINGS {
        Class::Http2
    } else if client == REQUEST || server == RESPONSE {
        Class::Http1
    } else {
        Class::Unknown
    }
}

/// Whether nothing that is still to come can change the class of these two codes.
#[inline(always)]
pub const fn is_settled(client: u8, server: u8) -> bool {
    let both = client != NONE && server != NONE;
    both || matches!(class(client, server), Class::Ssh | Class::Http1 | Class::Http2)
}
