//! Names for what the first bytes of a connection showed.
//!
//! One lower-case name per wire protocol, with its version apart and TLS never part of it.

pub mod assess;
pub mod conversation;
pub mod exchange;
pub mod quic;
pub mod tls;

use alloc::borrow::Cow;
use alloc::string::String;

use plainsight_ebpf::abi::edge::{Class, FOLDED, GUESSED, LATE};
use plainsight_ebpf::wire::ip;
use serde::{Deserialize, Serialize};

/// What protects the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Nothing: the payload is readable by whoever carries it.
    None,
    /// TLS (RFC 8446, RFC 5246).
    Tls,
    /// QUIC (RFC 9001).
    Quic,
    /// SSH (RFC 4253).
    Ssh,
    /// Not known, which is neither safe nor unsafe.
    Unknown,
}

/// How far that protection was seen to be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Payload in the clear was seen.
    Plaintext,
    /// A handshake was begun, and nothing more was seen.
    HandshakeOnly,
    /// Encrypted payload was seen after a completed handshake.
    Encrypted,
    /// It began in the clear and changed to encryption.
    Upgraded,
    /// Some of it is encrypted and some is not.
    Partial,
    /// Not known.
    Unknown,
}

/// What carries the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// An IP protocol that has no name here.
    Unknown,
}

/// A [`Class`] in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading {
    /// The wire protocol: `dns`, `http`, `quic`, `ssh`, `tls` or `unknown`.
    pub protocol: &'static str,
    /// Its major version, where the first bytes tell.
    pub version: Option<&'static str>,
    /// What protects the payload.
    pub security: Security,
    /// How far that was seen to be in force.
    pub state: State,
    /// What was seen, in words for people.
    pub evidence: &'static str,
}

/// Every class there is, in the order of their codes.
const CLASSES: [Class; 9] = [
    Class::Pending,
    Class::Unknown,
    Class::Http1,
    Class::Http2,
    Class::Tls,
    Class::TlsOffered,
    Class::Ssh,
    Class::Dns,
    Class::Quic,
];

/// A bit of a mask of classes that stands for none of them.
const NO_CLASS: u32 = 1 << 31;

// === impl Security ===

impl Security {
    /// Every one that can be told now.
    pub const ALL: [Self; 5] = [Self::None, Self::Tls, Self::Quic, Self::Ssh, Self::Unknown];

    /// The one with this [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|security| security.name() == name)
    }

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Ssh => "ssh",
            Self::Unknown => "unknown",
        }
    }
}

// === impl State ===

impl State {
    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::HandshakeOnly => "handshake_only",
            Self::Encrypted => "encrypted",
            Self::Upgraded => "upgraded",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
        }
    }
}

// === impl Transport ===

impl Transport {
    /// The transport with this IP protocol number.
    pub const fn from_code(code: u8) -> Self {
        match code {
            ip::TCP => Self::Tcp,
            ip::UDP => Self::Udp,
            _ => Self::Unknown,
        }
    }

    /// TCP or UDP by its [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|transport| transport.name() == name)
    }

    /// The IP protocol number; 0 where it has no name here.
    pub const fn code(self) -> u8 {
        match self {
            Self::Tcp => ip::TCP,
            Self::Udp => ip::UDP,
            Self::Unknown => 0,
        }
    }

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unknown => "unknown",
        }
    }
}

/// Says in words what the kernel found. It claims no more than was seen: a hello does not show
/// that what follows is encrypted.
pub const fn reading(class: Class) -> Reading {
    let (protocol, version, security, state, evidence) = match class {
        Class::Pending => ("unknown", None, Security::Unknown, State::Unknown, "no payload yet"),
        Class::Unknown => {
            ("unknown", None, Security::Unknown, State::Unknown, "first bytes fit no rule")
        }
        Class::Http1 => {
            ("http", Some("1"), Security::None, State::Plaintext, "HTTP/1 request or status line")
        }
        Class::Http2 => {
            ("http", Some("2"), Security::None, State::Plaintext, "HTTP/2 connection preface")
        }
        Class::Tls => ("tls", None, Security::Tls, State::Unknown, "client and server hello"),
        Class::TlsOffered => {
            ("tls", None, Security::Tls, State::HandshakeOnly, "client hello, no server hello")
        }
        Class::Ssh => ("ssh", None, Security::Ssh, State::HandshakeOnly, "SSH identification"),
        Class::Dns => ("dns", None, Security::None, State::Plaintext, "a DNS question (RFC 1035)"),
        Class::Quic => (
            "quic",
            None,
            Security::Quic,
            State::HandshakeOnly,
            "a client's Initial packet (RFC 9000)",
        ),
    };
    Reading { protocol, version, security, state, evidence }
}

/// What a reading of `class` rests on, with what the flags of an edge's key say against it.
pub fn evidence(class: Class, flags: u8) -> Cow<'static, str> {
    let is_unread = matches!(class, Class::Pending | Class::Unknown);
    let seen = if is_unread && flags & LATE != 0 {
        "joined late: its start was not seen"
    } else {
        reading(class).evidence
    };
    let doubts = [
        (FOLDED, "; folded: its cgroup has more edges than its quota"),
        (GUESSED, "; inferred from the ports: which end is the client"),
    ];
    let doubts = doubts.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, text)| text);
    doubts.fold(Cow::Borrowed(seen), |what, doubt| Cow::Owned(String::from(what) + doubt))
}

/// One bit, by its code, for each class that reads as one of `security`, and as plain text if
/// `plaintext`. 0 where both leave open what it is, which a filter takes for any; where no class is
/// both, a bit that no class has.
pub fn classes(security: &[Security], plaintext: bool) -> u32 {
    if security.is_empty() && !plaintext {
        return 0;
    }
    let fits = |class: &Class| {
        let reading = reading(*class);
        (security.is_empty() || security.contains(&reading.security))
            && (!plaintext || reading.state == State::Plaintext)
    };
    let bits = CLASSES.into_iter().filter(fits).fold(0, |bits, class| bits | 1 << class as u32);
    if bits == 0 { NO_CLASS } else { bits }
}

/// The class with this code. A code from a newer kernel half is unknown, not an error.
pub const fn class(code: u8) -> Class {
    match Class::from_code(code) {
        Some(class) => class,
        None => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn check(class: Class, protocol: &str, security: &str, state: &str) {
        let reading = reading(class);
        assert_eq!(
            (reading.protocol, reading.security.name(), reading.state.name()),
            (protocol, security, state),
            "{class:?}"
        );
    }

    #[test]
    fn every_class_has_its_words() {
        check(Class::Pending, "unknown", "unknown", "unknown");
        check(Class::Unknown, "unknown", "unknown", "unknown");
        check(Class::Http1, "http", "none", "plaintext");
        check(Class::Http2, "http", "none", "plaintext");
        check(Class::Tls, "tls", "tls", "unknown");
        check(Class::TlsOffered, "tls", "tls", "handshake_only");
        check(Class::Ssh, "ssh", "ssh", "handshake_only");
        check(Class::Dns, "dns", "none", "plaintext");
        check(Class::Quic, "quic", "quic", "handshake_only");
    }

    #[test]
    fn no_class_is_left_out() {
        let codes: alloc::vec::Vec<u8> = CLASSES.iter().map(|class| *class as u8).collect();
        let known: alloc::vec::Vec<u8> =
            (0..u8::MAX).filter(|code| Class::from_code(*code).is_some()).collect();
        assert_eq!(codes, known);
    }

    #[test]
    fn nothing_is_called_encrypted_before_it_is_proven() {
        for class in CLASSES {
            assert_ne!(reading(class).state, State::Encrypted, "{class:?}");
        }
    }

    #[test]
    fn every_class_says_why() {
        for (i, class) in CLASSES.iter().enumerate() {
            for other in &CLASSES[..i] {
                assert_ne!(reading(*class).evidence, reading(*other).evidence);
            }
        }
    }

    #[test]
    fn evidence_says_what_speaks_against_it() {
        let check = |class, flags, expect: &str| assert_eq!(evidence(class, flags), expect);
        check(Class::Http1, 0, "HTTP/1 request or status line");
        check(Class::Unknown, LATE, "joined late: its start was not seen");
        check(Class::Dns, LATE, "a DNS question (RFC 1035)");
        let folded = "first bytes fit no rule; folded: its cgroup has more edges than its quota";
        check(Class::Unknown, FOLDED, folded);
        let all = "joined late: its start was not seen; \
                   folded: its cgroup has more edges than its quota; \
                   inferred from the ports: which end is the client";
        check(Class::Unknown, LATE | FOLDED | GUESSED, all);
    }

    #[test]
    fn classes_are_chosen_by_what_they_read_as() {
        let check = |security: &[Security], plaintext, expect: &[Class]| {
            let bits = expect.iter().fold(0, |bits, class| bits | 1 << *class as u32);
            assert_eq!(classes(security, plaintext), bits, "{security:?} {plaintext}");
        };
        check(&[], false, &[]);
        check(&[Security::Tls], false, &[Class::Tls, Class::TlsOffered]);
        check(&[], true, &[Class::Http1, Class::Http2, Class::Dns]);
        check(&[Security::None, Security::Tls], true, &[Class::Http1, Class::Http2, Class::Dns]);
        check(
            &[Security::Quic, Security::Unknown],
            false,
            &[Class::Pending, Class::Unknown, Class::Quic],
        );
    }

    #[test]
    fn what_no_class_is_fits_none() {
        let bits = classes(&[Security::Ssh], true);
        assert_ne!(bits, 0, "which would be any");
        assert!(CLASSES.iter().all(|class| bits & 1 << *class as u32 == 0));
    }

    #[test]
    fn names_are_those_of_the_json() {
        for class in CLASSES {
            let reading = reading(class);
            let json = serde_json::to_string(&(reading.security, reading.state)).unwrap();
            assert_eq!(
                json,
                format!("[\"{}\",\"{}\"]", reading.security.name(), reading.state.name())
            );
        }
        for code in [6, 17, 132] {
            let transport = Transport::from_code(code);
            let json = serde_json::to_string(&transport).unwrap();
            assert_eq!(json, format!("\"{}\"", transport.name()));
        }
        for security in Security::ALL {
            assert_eq!(Security::from_name(security.name()), Some(security));
        }
        for transport in [Transport::Tcp, Transport::Udp] {
            assert_eq!(Transport::from_name(transport.name()), Some(transport));
            assert_eq!(Transport::from_code(transport.code()), transport);
        }
        assert_eq!(Transport::from_name("unknown"), None, "nobody can ask for it");
    }

    #[test]
    fn a_code_from_a_newer_kernel_half_is_unknown() {
        assert_eq!(class(Class::Ssh as u8), Class::Ssh);
        assert_eq!(class(200), Class::Unknown);
    }
}
