//! Names for what the messages of a conversation showed.
//!
//! One lower-case name per wire protocol, with its version apart and TLS never part of it.

pub mod assess;
pub mod conversation;
pub mod exchange;
pub mod quic;
pub mod tls;

use alloc::borrow::Cow;

use alloc::format;
use plainsight_ebpf::abi::edge::{EdgeKey, FOLDED, GUESSED, LATE};
use plainsight_ebpf::wire::ip;
use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::secret::Secret;
use plainsight_ebpf::wire::security;
use plainsight_ebpf::wire::stage::Stage;
use serde::{Deserialize, Serialize};

/// What protects the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Nothing: the payload is readable by whoever carries it.
    None,
    /// TLS (RFC 8446, RFC 5246).
    Tls,
    /// DTLS (RFC 9147).
    Dtls,
    /// QUIC (RFC 9001).
    Quic,
    /// SSH (RFC 4253).
    Ssh,
    /// WireGuard.
    Wireguard,
    /// IPsec: IKE (RFC 7296) and ESP (RFC 4303).
    Ipsec,
    /// OpenVPN.
    Openvpn,
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

/// Whether a conversation that began in the clear changed to encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upgrade {
    /// No offer was seen.
    None,
    /// The server offered it, and the client did not take it.
    OfferedNotTaken,
    /// The client asked for it, and the server refused.
    Refused,
    /// It did.
    Taken,
}

/// What the kernel half found a conversation to be. The greater tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// How far it is protected.
    pub stage: Stage,
    /// What is spoken.
    pub protocol: Protocol,
    /// The worst authentication that was heard in the clear.
    pub secret: Secret,
}

/// A [`Class`] in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading {
    /// The wire protocol: `http`, `postgresql`, `tls` or `unknown`. Of an upgraded conversation,
    /// what it began as.
    pub protocol: &'static str,
    /// Its major version, where it tells one protocol from another.
    pub version: Option<&'static str>,
    /// What protects the payload.
    pub security: Security,
    /// How far that was seen to be in force.
    pub state: State,
}

// === impl Security ===

impl Security {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Tls,
        Self::Dtls,
        Self::Quic,
        Self::Ssh,
        Self::Wireguard,
        Self::Ipsec,
        Self::Openvpn,
        Self::Unknown,
    ];

    /// The kernel half's word for it, here.
    const fn new(security: security::Security) -> Self {
        match security {
            security::Security::None => Self::None,
            security::Security::Tls => Self::Tls,
            security::Security::Dtls => Self::Dtls,
            security::Security::Quic => Self::Quic,
            security::Security::Ssh => Self::Ssh,
            security::Security::Wireguard => Self::Wireguard,
            security::Security::Ipsec => Self::Ipsec,
            security::Security::Openvpn => Self::Openvpn,
            security::Security::Unknown => Self::Unknown,
        }
    }

    const fn in_kernel(self) -> security::Security {
        match self {
            Self::None => security::Security::None,
            Self::Tls => security::Security::Tls,
            Self::Dtls => security::Security::Dtls,
            Self::Quic => security::Security::Quic,
            Self::Ssh => security::Security::Ssh,
            Self::Wireguard => security::Security::Wireguard,
            Self::Ipsec => security::Security::Ipsec,
            Self::Openvpn => security::Security::Openvpn,
            Self::Unknown => security::Security::Unknown,
        }
    }

    /// The one with this [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|security| security.name() == name)
    }

    /// As in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        self.in_kernel().name()
    }
}

// === impl State ===

impl State {
    const fn of(stage: Stage) -> Self {
        match stage {
            Stage::Pending | Stage::Unknown => Self::Unknown,
            Stage::Plaintext | Stage::MayUpgrade | Stage::OfferedNotTaken | Stage::Refused => {
                Self::Plaintext
            }
            Stage::Offered | Stage::Handshake => Self::HandshakeOnly,
            Stage::Encrypted => Self::Encrypted,
            Stage::Upgraded => Self::Upgraded,
            Stage::Partial => Self::Partial,
        }
    }

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

// === impl Class ===

impl Class {
    /// Of a connection that carried nothing yet.
    pub const PENDING: Self = Self::new(Protocol::Unknown, Stage::Pending);

    /// Of one whose messages fit no rule.
    pub const UNKNOWN: Self = Self::new(Protocol::Unknown, Stage::Unknown);

    /// One of which no authentication was heard.
    pub const fn new(protocol: Protocol, stage: Stage) -> Self {
        Self { stage, protocol, secret: Secret::None }
    }

    /// That of an edge's key. A code from a newer kernel half is unknown, not an error.
    pub const fn of(key: &EdgeKey) -> Self {
        let stage = match Stage::from_code(key.stage) {
            Some(stage) => stage,
            None => Stage::Unknown,
        };
        let protocol = match Protocol::from_code(key.protocol) {
            Some(protocol) => protocol,
            None => Protocol::Unknown,
        };
        let secret = match Secret::from_code(key.secret) {
            Some(secret) => secret,
            None => Secret::None,
        };
        Self { stage, protocol, secret }
    }

    /// Whether nothing is known of it.
    pub const fn is_unread(self) -> bool {
        matches!(self.stage, Stage::Pending | Stage::Unknown)
    }

    /// Whether no payload was seen.
    pub const fn is_pending(self) -> bool {
        matches!(self.stage, Stage::Pending)
    }

    /// Says in words what the kernel half found.
    pub const fn reading(self) -> Reading {
        let (protocol, version) = match self.protocol {
            Protocol::Http => ("http", Some("1")),
            Protocol::Http2 => ("http", Some("2")),
            other => (other.name(), None),
        };
        Reading {
            protocol,
            version,
            security: Security::new(security::Security::of(self.protocol, self.stage)),
            state: State::of(self.stage),
        }
    }

    /// Whether it began in the clear and changed.
    pub const fn upgrade(self) -> Upgrade {
        match self.stage {
            Stage::OfferedNotTaken => Upgrade::OfferedNotTaken,
            Stage::Refused => Upgrade::Refused,
            Stage::Upgraded => Upgrade::Taken,
            _ => Upgrade::None,
        }
    }

    /// What its reading rests on, with what the flags of an edge's key say against it.
    pub fn evidence(self, flags: u8) -> Cow<'static, str> {
        let seen = if self.is_unread() && flags & LATE != 0 {
            Cow::Borrowed("joined late: its start was not seen")
        } else {
            self.seen()
        };
        let doubts = [
            (FOLDED, "; folded: its cgroup has more edges than its quota"),
            (GUESSED, "; inferred from the ports: which end is the client"),
        ];
        let doubts = doubts.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, text)| text);
        doubts.fold(seen, |what, doubt| Cow::Owned(what.into_owned() + doubt))
    }

    fn seen(self) -> Cow<'static, str> {
        let name = self.reading().protocol;
        Cow::Owned(match self.stage {
            Stage::Pending => return Cow::Borrowed("no payload yet"),
            Stage::Unknown => return Cow::Borrowed("first bytes fit no rule"),
            Stage::Plaintext => format!("{name} messages in the clear"),
            Stage::MayUpgrade => format!("{name} messages in the clear, no upgrade so far"),
            Stage::OfferedNotTaken => {
                format!("{name} messages in the clear; the server offered encryption")
            }
            Stage::Refused => {
                format!("{name} messages in the clear; the server refused encryption")
            }
            Stage::Offered => format!("{name} handshake of one end, not answered in kind"),
            Stage::Handshake => format!("{name} handshake of both ends"),
            Stage::Encrypted => format!("{name} handshake of both ends, then protected records"),
            Stage::Upgraded => {
                format!("{name} messages in the clear, then TLS from both ends")
            }
            Stage::Partial => format!("{name} messages that are protected in part"),
        })
    }
}

/// One bit, by its code in the kernel half, for each of `security`; 0, which a filter takes for
/// any, where there is none.
pub fn securities(security: &[Security]) -> u16 {
    security.iter().fold(0, |bits, security| bits | security.in_kernel().bit())
}

/// One bit, by its code, for each stage in the clear if `plaintext`; else 0, which a filter takes
/// for any.
pub fn stages(plaintext: bool) -> u16 {
    let is_wanted = |stage: &Stage| plaintext && State::of(*stage) == State::Plaintext;
    Stage::ALL.iter().copied().filter(is_wanted).fold(0, |bits, stage| bits | 1 << stage as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(protocol: Protocol, stage: Stage, words: (&str, Option<&str>), security: &str) {
        let Reading { protocol: name, version, security: found, .. } =
            Class::new(protocol, stage).reading();
        assert_eq!((name, version), words, "{protocol:?} {stage:?}");
        assert_eq!(found.name(), security, "{protocol:?} {stage:?}");
    }

    fn every() -> impl Iterator<Item = Class> {
        let all = |protocol: &'static Protocol| {
            Stage::ALL.iter().copied().map(|stage| Class::new(*protocol, stage))
        };
        Protocol::ALL.iter().flat_map(all)
    }

    #[test]
    fn classes_have_words() {
        check(Protocol::Unknown, Stage::Pending, ("unknown", None), "unknown");
        check(Protocol::Http, Stage::Plaintext, ("http", Some("1")), "none");
        check(Protocol::Http2, Stage::Plaintext, ("http", Some("2")), "none");
        check(Protocol::Grpc, Stage::Plaintext, ("grpc", None), "none");
        check(Protocol::Tls, Stage::Handshake, ("tls", None), "tls");
        check(Protocol::Postgresql, Stage::Upgraded, ("postgresql", None), "tls");
        check(Protocol::Ssh, Stage::Handshake, ("ssh", None), "ssh");
        check(Protocol::EspInUdp, Stage::Encrypted, ("ipsec-nat-t", None), "ipsec");
        check(Protocol::Kerberos, Stage::Partial, ("kerberos", None), "unknown");
    }

    #[test]
    fn only_what_was_seen_is_called_encrypted() {
        let check = |stage, expect: &str, upgrade| {
            let class = Class::new(Protocol::Smtp, stage);
            assert_eq!((class.reading().state.name(), class.upgrade()), (expect, upgrade));
        };
        check(Stage::Pending, "unknown", Upgrade::None);
        check(Stage::Unknown, "unknown", Upgrade::None);
        check(Stage::Plaintext, "plaintext", Upgrade::None);
        check(Stage::MayUpgrade, "plaintext", Upgrade::None);
        check(Stage::OfferedNotTaken, "plaintext", Upgrade::OfferedNotTaken);
        check(Stage::Refused, "plaintext", Upgrade::Refused);
        check(Stage::Offered, "handshake_only", Upgrade::None);
        check(Stage::Handshake, "handshake_only", Upgrade::None);
        check(Stage::Encrypted, "encrypted", Upgrade::None);
        check(Stage::Upgraded, "upgraded", Upgrade::Taken);
        check(Stage::Partial, "partial", Upgrade::None);
    }

    #[test]
    fn every_stage_says_why() {
        for (i, stage) in Stage::ALL.iter().copied().enumerate() {
            for other in &Stage::ALL[..i] {
                let [one, other] =
                    [stage, *other].map(|stage| Class::new(Protocol::Ldap, stage).evidence(0));
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn evidence_says_what_speaks_against_it() {
        let check = |class: Class, flags, expect: &str| assert_eq!(class.evidence(flags), expect);
        let dns = Class::new(Protocol::Dns, Stage::Plaintext);
        check(dns, 0, "dns messages in the clear");
        check(Class::UNKNOWN, LATE, "joined late: its start was not seen");
        check(dns, LATE, "dns messages in the clear");
        let folded = "first bytes fit no rule; folded: its cgroup has more edges than its quota";
        check(Class::UNKNOWN, FOLDED, folded);
        let all = "joined late: its start was not seen; \
                   folded: its cgroup has more edges than its quota; \
                   inferred from the ports: which end is the client";
        check(Class::UNKNOWN, LATE | FOLDED | GUESSED, all);
    }

    #[test]
    fn masks_choose_what_they_say() {
        for class in every() {
            let Reading { security, state, .. } = class.reading();
            let bit = security::Security::bit_of(class.protocol as u8, class.stage as u8);
            for wanted in Security::ALL {
                assert_eq!(securities(&[wanted]) & bit != 0, wanted == security, "{class:?}");
            }
            let is_clear = stages(true) & 1 << class.stage as u8 != 0;
            assert_eq!(is_clear, state == State::Plaintext, "{class:?}");
        }
        assert_eq!((securities(&[]), stages(false)), (0, 0), "which is any");
    }

    #[test]
    fn what_is_in_the_clear_is_protected_by_nothing() {
        for class in every() {
            let Reading { security, state, .. } = class.reading();
            assert_eq!(state == State::Plaintext, security == Security::None, "{class:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_json() {
        for class in every() {
            let reading = class.reading();
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
            assert_eq!(Security::new(security.in_kernel()), security);
        }
        for transport in [Transport::Tcp, Transport::Udp] {
            assert_eq!(Transport::from_name(transport.name()), Some(transport));
            assert_eq!(Transport::from_code(transport.code()), transport);
        }
        assert_eq!(Transport::from_name("unknown"), None, "nobody can ask for it");
    }

    #[test]
    fn a_code_from_a_newer_kernel_half_is_unknown() {
        let key = |protocol, stage, secret| {
            Class::of(&EdgeKey { protocol, stage, secret, ..EdgeKey::default() })
        };
        let [ssh, handshake] = [Protocol::Ssh as u8, Stage::Handshake as u8];
        assert_eq!(key(ssh, handshake, 0), Class::new(Protocol::Ssh, Stage::Handshake));
        assert_eq!(key(200, handshake, 0), Class::new(Protocol::Unknown, Stage::Handshake));
        assert_eq!(key(ssh, 200, 200), Class::new(Protocol::Ssh, Stage::Unknown));
    }
}
