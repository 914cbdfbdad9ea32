//! Names for what the first bytes of a connection showed.
//!
//! One lower-case name per wire protocol, with its version apart and TLS never part of it.

use plainsight_ebpf::abi::edge::Class;
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
    /// The wire protocol: `http`, `tls`, `ssh` or `unknown`.
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

// === impl Security ===

impl Security {
    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tls => "tls",
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
    };
    Reading { protocol, version, security, state, evidence }
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

    const CLASSES: [Class; 7] = [
        Class::Pending,
        Class::Unknown,
        Class::Http1,
        Class::Http2,
        Class::Tls,
        Class::TlsOffered,
        Class::Ssh,
    ];

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
    }

    #[test]
    fn a_code_from_a_newer_kernel_half_is_unknown() {
        assert_eq!(class(Class::Ssh as u8), Class::Ssh);
        assert_eq!(class(200), Class::Unknown);
    }
}
