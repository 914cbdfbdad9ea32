//! What the messages of a conversation add up to: one state machine for kernel and agent.
//!
//! A message begins at the stream's start and where the direction changes. Its head is judged by
//! [`head::head`](super::head::head) until it is recognised or long enough, and taken in once.

use super::head::{Before, Head, Tell};
use super::protocol::Protocol;
use super::search::Find;
use super::secret::Secret;
use super::stage::Stage;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// The end that opened the connection.
    Client = 0,
    /// The end that accepted it.
    Server = 1,
}

/// What is known of a conversation over TCP. Eight bytes, so that it fits into a socket's state.
///
/// Each direction has its own half, which nothing but what that direction says changes: two hooks
/// write them without a common lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Talk {
    client: Voice,
    server: Voice,
}

/// What one side said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Voice {
    /// [`Protocol`]: the first that was recognised, or the first that is sure.
    protocol: u8,
    /// Bits: [`HEARD`] to [`LATE`].
    said: u8,
    /// [`Tell`] of its latest message.
    last: u8,
    /// [`Secret`]: the worst of it; of the server, what it asked for. [`ANSWERED`] of a client
    /// that answered that.
    secret: u8,
}

/// It said something.
const HEARD: u8 = 1;
/// Its start was not seen.
const MISSED: u8 = 2;
/// Its protocol is sure.
const SURE: u8 = 4;
/// The client asked for encryption; the server agreed.
const AGREED: u8 = 8;
/// The client went on in the clear for good; the server refused.
const DECLINED: u8 = 16;
/// It began a handshake.
const HELLO: u8 = 32;
/// Something protected followed its own hello.
const SEALED: u8 = 64;
/// A client's hello came after something in the clear.
const LATE: u8 = 128;
/// A server offered encryption. Of a server, [`LATE`] says nothing.
const OFFERED: u8 = 128;

/// [`Voice::secret`] of a client that did what the server asked for.
const ANSWERED: u8 = 255;

/// Messages of a direction that are looked at, as a rule.
const FEW: u8 = 4;

/// The same, where encryption or authentication may still come.
const MANY: u8 = 16;

impl Talk {
    /// Both halves as one word, the client's in the lower one.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.client.to_word() as u64 | (self.server.to_word() as u64) << 32
    }

    /// The conversation of [`Self::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            client: Voice::from_word(word as u32),
            server: Voice::from_word((word >> 32) as u32),
        }
    }

    /// Takes in the head of a message.
    #[inline(always)]
    pub const fn hear(&mut self, side: Side, head: Head) {
        match side {
            Side::Client => self.client.hear(head, &self.server),
            Side::Server => self.server.hear(head, &self.client),
        }
    }

    /// Takes in what was found behind the head of a message of `side`.
    #[inline(always)]
    pub const fn learn(&mut self, side: Side, find: Find, secret: Secret) {
        match (find, side) {
            (Find::Offer, Side::Server) => self.server.said |= OFFERED,
            (Find::Grpc, Side::Client) => self.client.protocol = Protocol::Grpc as u8,
            (Find::Secret, Side::Client) => self.client.add(secret),
            _ => {}
        }
    }

    /// Whether nothing more is looked for in what `side` says: behind a hello nothing is readable.
    #[inline(always)]
    pub const fn is_found(&self, side: Side) -> bool {
        match side {
            Side::Client => {
                let is_readable = match Secret::from_code(self.client.secret) {
                    Some(secret) => secret.is_readable(),
                    None => false,
                };
                is_readable || self.client.said & HELLO != 0
            }
            Side::Server => {
                self.server.said & (OFFERED | HELLO) != 0 || self.client.said & DECLINED != 0
            }
        }
    }

    /// What was said before a message of `side`, as far as its head depends on it.
    #[inline(always)]
    pub const fn before(&self, side: Side) -> Before {
        let (own, other) = match side {
            Side::Client => (&self.client, &self.server),
            Side::Server => (&self.server, &self.client),
        };
        Before {
            side,
            own: own.protocol,
            heard: other.protocol,
            heard_last: other.last,
            is_first: own.said == 0,
            is_opening: own.said | other.said == 0,
            reserved: 0,
        }
    }

    /// What it is, as far as it went.
    #[inline(always)]
    pub const fn reading(&self) -> (Protocol, Stage) {
        if self.client.said | self.server.said == 0 {
            return (Protocol::Unknown, Stage::Pending);
        }
        let code = self.protocol();
        let protocol = match Protocol::from_code(code) {
            Some(protocol) => protocol,
            None => Protocol::Unknown,
        };
        (protocol, self.stage(code))
    }

    /// The worst authentication that was heard in the clear.
    #[inline(always)]
    pub const fn secret(&self) -> Secret {
        let code = match self.client.secret {
            ANSWERED => self.server.secret,
            code => code,
        };
        match Secret::from_code(code) {
            Some(secret) => secret,
            None => Secret::None,
        }
    }

    /// The protocol that one side spoke, even where the other has yet to agree.
    #[inline(always)]
    pub const fn named(&self, side: Side) -> Protocol {
        let code = match side {
            Side::Client => self.client.protocol,
            Side::Server => self.server.protocol,
        };
        match Protocol::from_code(code) {
            Some(protocol) => protocol,
            None => Protocol::Unknown,
        }
    }

    /// Whether both sides showed that they speak the same protocol.
    #[inline(always)]
    pub const fn is_agreed(&self) -> bool {
        let hellos = self.client.said & self.server.said & HELLO != 0;
        let (client, server) = (self.client.protocol, self.server.protocol);
        // Of gRPC the server's frames show no more than HTTP/2.
        let is_grpc = client == Protocol::Grpc as u8 && server == Protocol::Http2 as u8;
        hellos || client != 0 && client == server || is_grpc
    }

    /// Whether no message that is still to come can change the reading or add authentication.
    #[inline(always)]
    pub const fn is_settled(&self) -> bool {
        let code = self.protocol();
        let both = self.client.said & self.server.said & HEARD != 0;
        match self.stage(code) {
            Stage::Encrypted | Stage::Upgraded => true,
            Stage::Partial => both && code != Protocol::Rdp as u8,
            Stage::Plaintext if code == Protocol::Http as u8 => both && !self.is_asked(),
            Stage::Plaintext => {
                let sure = (self.client.said | self.server.said) & SURE != 0;
                (sure || both) && !may_change(code) && code != Protocol::Http2 as u8
            }
            _ => false,
        }
    }

    /// Whether another message of `side` should be looked at, of which `seen` were.
    #[inline(always)]
    pub const fn wants(&self, side: Side, seen: u8) -> bool {
        let voice = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        if voice.said == 0 {
            return true;
        }
        let code = self.protocol();
        // What calls are made over it, its client says.
        let is_server = matches!(side, Side::Server);
        if self.is_settled() || is_server && code == Protocol::Http2 as u8 {
            return false;
        }
        let many = match self.stage(code) {
            Stage::MayUpgrade | Stage::Offered | Stage::Handshake | Stage::Refused => true,
            Stage::OfferedNotTaken => true,
            Stage::Plaintext => may_change(code),
            _ => false,
        };
        seen < if many { MANY } else { FEW }
    }

    /// Whether the server answered that it wants credentials, which it did not get so far.
    #[inline(always)]
    const fn is_asked(&self) -> bool {
        self.server.last == Tell::More as u8 && self.client.secret == 0
    }

    /// Code of the protocol both sides agree on, or of the one that is sure of it.
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        const UNKNOWN: u8 = Protocol::Unknown as u8;
        const TLS: u8 = Protocol::Tls as u8;
        let (client, server) = (&self.client, &self.server);
        let (from_client, from_server) = (client.protocol, server.protocol);
        if from_client == from_server {
            from_client
        } else if from_server == TLS {
            // A server's hello says nothing of what went before, and alone proves nothing.
            match from_client {
                UNKNOWN if client.said & MISSED == 0 => UNKNOWN,
                UNKNOWN => TLS,
                _ if client.said & SURE == 0 => UNKNOWN,
                protocol => protocol,
            }
        } else if from_client == TLS {
            match client.said & LATE {
                0 => TLS,
                _ if from_server == UNKNOWN => TLS,
                _ => from_server,
            }
        } else if client.said & SURE != 0 {
            from_client
        } else if server.said & SURE != 0 {
            from_server
        } else {
            UNKNOWN
        }
    }

    #[inline(always)]
    const fn stage(&self, protocol: u8) -> Stage {
        let (client, server) = (self.client.said, self.server.said);
        // MySQL's client sends its hello right behind the request for it.
        let is_mysql = protocol == Protocol::Mysql as u8;
        let begun = client & HELLO != 0 || client & MISSED != 0 || is_mysql && client & AGREED != 0;
        if begun && server & HELLO != 0 {
            return self.sealed(protocol);
        }
        if (client | server) & HELLO != 0 && (client & HELLO != 0 || is_handshake(protocol)) {
            return Stage::Offered;
        }
        self.clear(protocol)
    }

    /// Both sent a hello.
    #[inline(always)]
    const fn sealed(&self, protocol: u8) -> Stage {
        let said = self.client.said | self.server.said;
        if said & SEALED == 0 {
            Stage::Handshake
        } else if protocol == Protocol::Tds as u8 && self.client.said & DECLINED != 0 {
            // Only the login was protected.
            Stage::Partial
        } else if is_handshake(protocol) {
            Stage::Encrypted
        } else {
            Stage::Upgraded
        }
    }

    /// Nothing but what is readable was heard so far.
    #[inline(always)]
    const fn clear(&self, protocol: u8) -> Stage {
        const UNKNOWN: u8 = Protocol::Unknown as u8;
        const TLS: u8 = Protocol::Tls as u8;
        const KERBEROS: u8 = Protocol::Kerberos as u8;
        const RDP: u8 = Protocol::Rdp as u8;
        let asked = self.client.said & AGREED != 0;
        if protocol == UNKNOWN || protocol == TLS {
            return Stage::Unknown;
        }
        // What is protected without TLS: tickets; and what a server that takes no TLS seals itself.
        if (self.client.said | self.server.said) & SEALED != 0 || protocol == KERBEROS {
            return Stage::Partial;
        }
        if protocol == RDP && self.server.said & DECLINED != 0 {
            return Stage::Partial;
        }
        if !(may_upgrade(protocol) || asked && protocol == Protocol::Http as u8) {
            return Stage::Plaintext;
        }
        if asked && self.server.said & DECLINED != 0 {
            Stage::Refused
        } else if self.client.said & DECLINED != 0 {
            if self.server.said & OFFERED != 0 { Stage::OfferedNotTaken } else { Stage::Plaintext }
        } else {
            Stage::MayUpgrade
        }
    }
}

impl Voice {
    #[inline(always)]
    const fn to_word(self) -> u32 {
        u32::from_ne_bytes([self.protocol, self.said, self.last, self.secret])
    }

    #[inline(always)]
    const fn from_word(word: u32) -> Self {
        let [protocol, said, last, secret] = word.to_ne_bytes();
        Self { protocol, said, last, secret }
    }

    #[inline(always)]
    const fn hear(&mut self, head: Head, other: &Self) {
        const TLS: u8 = Protocol::Tls as u8;
        self.note(head, other);
        let is_own = self.protocol == head.protocol as u8;
        self.said |= match head.tell {
            Tell::Missed => MISSED,
            Tell::Proxy => MISSED,
            Tell::Ask | Tell::GoAhead => HEARD | AGREED,
            Tell::Commit | Tell::Refusal => HEARD | DECLINED,
            Tell::Hello if is_own || head.protocol as u8 == TLS => HEARD | HELLO,
            // What looks protected is so only behind a hello of the same side.
            Tell::Sealed if self.said & (HELLO | MISSED) != 0 => HEARD | SEALED,
            Tell::Sealed if is_own && self.protocol != TLS => HEARD | SEALED,
            _ => HEARD,
        };
        self.last = head.tell as u8;
        self.confess(head, other);
    }

    /// Keeps the protocol: the first one, but a sure one before one that is not.
    #[inline(always)]
    const fn note(&mut self, head: Head, other: &Self) {
        const UNKNOWN: u8 = Protocol::Unknown as u8;
        const TLS: u8 = Protocol::Tls as u8;
        let protocol = head.protocol as u8;
        if matches!(head.tell, Tell::Hello) {
            // The other side's hello is none that went before in the clear.
            let other_spoke = other.said & HEARD != 0 && other.protocol != TLS;
            if self.said & HEARD != 0 && self.protocol != protocol
                || other_spoke && protocol == TLS && self.said & HELLO == 0
            {
                self.said |= LATE;
            }
        }
        if protocol == UNKNOWN || protocol == TLS && self.said & HEARD != 0 {
            return;
        }
        if self.protocol != UNKNOWN && self.protocol == other.protocol {
            // What both agree on stays, whatever is carried inside it.
            return;
        }
        let is_sure = !matches!(head.tell, Tell::Weak);
        if self.protocol == UNKNOWN || is_sure && self.said & SURE == 0 {
            self.protocol = protocol;
        }
        if is_sure && self.protocol == protocol {
            self.said |= SURE;
        }
    }

    #[inline(always)]
    const fn confess(&mut self, head: Head, other: &Self) {
        if matches!(head.tell, Tell::Answer) {
            // What the server asked for then counts, unless the client has shown worse.
            let is_worse = match Secret::from_code(self.secret) {
                Some(secret) => secret.is_readable(),
                None => false,
            };
            if self.secret == 0 || other.secret != 0 && !is_worse {
                self.secret = ANSWERED;
            }
        } else {
            self.add(head.secret);
        }
    }

    #[inline(always)]
    const fn add(&mut self, secret: Secret) {
        if secret as u8 != 0 && (self.secret == 0 || secret.is_readable()) {
            self.secret = secret as u8;
        }
    }
}

/// Whether it is nothing before its handshake, so that a hello of one side alone names it.
#[inline(always)]
const fn is_handshake(protocol: u8) -> bool {
    const TLS: u8 = Protocol::Tls as u8;
    const SSH: u8 = Protocol::Ssh as u8;
    const OPENVPN: u8 = Protocol::Openvpn as u8;
    matches!(protocol, TLS | SSH | OPENVPN)
}

/// Whether its clients may ask for encryption in the middle of it.
#[inline(always)]
const fn may_upgrade(protocol: u8) -> bool {
    const POSTGRESQL: u8 = Protocol::Postgresql as u8;
    const MYSQL: u8 = Protocol::Mysql as u8;
    const SMTP: u8 = Protocol::Smtp as u8;
    const IMAP: u8 = Protocol::Imap as u8;
    const POP3: u8 = Protocol::Pop3 as u8;
    const FTP: u8 = Protocol::Ftp as u8;
    const LDAP: u8 = Protocol::Ldap as u8;
    const XMPP: u8 = Protocol::Xmpp as u8;
    const IRC: u8 = Protocol::Irc as u8;
    const RDP: u8 = Protocol::Rdp as u8;
    const AMQP: u8 = Protocol::Amqp as u8;
    const NATS: u8 = Protocol::Nats as u8;
    const TDS: u8 = Protocol::Tds as u8;
    const NNTP: u8 = Protocol::Nntp as u8;
    matches!(
        protocol,
        POSTGRESQL
            | MYSQL
            | SMTP
            | IMAP
            | POP3
            | FTP
            | LDAP
            | XMPP
            | IRC
            | RDP
            | AMQP
            | NATS
            | TDS
            | NNTP
    )
}

/// Whether credentials, or sealing of its own, may come in a message after the first.
#[inline(always)]
const fn may_change(protocol: u8) -> bool {
    const REDIS: u8 = Protocol::Redis as u8;
    const SOCKS: u8 = Protocol::Socks as u8;
    const SMB: u8 = Protocol::Smb as u8;
    may_upgrade(protocol) || matches!(protocol, REDIS | SOCKS | SMB)
}
