//! What the handshakes of an edge said, together: never what one of them said alone.
//!
//! Not every handshake is read, and those that were read may differ. So each value stands beside
//! the number of handshakes that showed it, and the one that names the edge is the weakest.

mod strength;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::strength::{Strength, cipher, group, version};
use crate::protocol::tls::{Basis, Certificate, Mutual, Tls};

/// What the handshakes of an edge said. Names and texts come from the network and are not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeTls {
    /// How many handshakes were read in which both ends had their say: what all other counts are
    /// of.
    pub handshakes: u64,
    /// Hellos that were read and that no server answered.
    pub unanswered: u64,
    /// The lowest version that was negotiated.
    pub version: Option<String>,
    /// Every version, and how many handshakes negotiated it.
    pub versions: Seen,
    /// The weakest cipher suite that was negotiated.
    pub cipher: Option<String>,
    /// Every cipher suite, likewise.
    pub ciphers: Seen,
    /// The weakest group of a key exchange.
    pub group: Option<String>,
    /// Every group, likewise.
    pub groups: Seen,
    /// How many key exchanges withstand quantum computers.
    pub post_quantum: u64,
    /// The server name that most clients asked for.
    pub sni: Option<String>,
    /// Every server name, and how many hellos asked for it.
    pub snis: Seen,
    /// The application protocol that was chosen most often.
    pub alpn: Option<String>,
    /// Every application protocol, likewise.
    pub alpns: Seen,
    /// How many hellos came with an encrypted one.
    pub ech: u64,
    /// How many handshakes resumed an earlier session.
    pub resumed: u64,
    /// Whether both ends proved who they are, wherever that is known: the weakest of all.
    pub mutual: Mutual,
    /// How that is known: observed only where every handshake that says so was read.
    pub mutual_basis: Basis,
    /// How many handshakes are mutual, one-way and so on.
    pub authentication: Authentication,
    /// In how many handshakes the server's certificate was readable. TLS 1.3 hides it.
    pub certificates: u64,
    /// The server's certificate; of several, the one that ends first.
    pub certificate: Option<SeenCertificate>,
    /// The others, in the order in which they end: at most [`MOST_CERTIFICATES`] in all.
    pub other_certificates: Vec<SeenCertificate>,
    /// How many certificates found no room.
    pub certificates_dropped: u64,
    /// The client's certificate that was read last.
    pub client_identity: Option<SeenCertificate>,
}

/// How many handshakes showed each value: at most [`MOST_SEEN`] values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Value and count.
    pub counts: BTreeMap<String, u64>,
    /// How many handshakes showed a value that found no room.
    pub more: u64,
}

/// How many handshakes proved what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// Both ends proved who they are.
    pub mutual: u64,
    /// Of those, how many are told from the lengths of records alone.
    pub mutual_inferred: u64,
    /// The server alone did.
    pub one_way: u64,
    /// Of those, how many are inferred.
    pub one_way_inferred: u64,
    /// The server asked, and the client had nothing to show.
    pub requested_not_given: u64,
    /// Of those, how many are inferred.
    pub requested_inferred: u64,
    /// It could not be told.
    pub unknown: u64,
}

/// A certificate, and when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCertificate {
    /// What it says.
    #[serde(flatten)]
    pub certificate: Certificate,
    /// When a handshake last showed it.
    pub last_seen: Timestamp,
}

/// How many different values are kept of each kind.
pub const MOST_SEEN: usize = 16;

/// How many certificates of different subjects are kept.
pub const MOST_CERTIFICATES: usize = 8;

/// Longest text that is kept of a value; a server's name has at most 253 bytes (RFC 1035, section
/// 2.3.4), and what is longer is none.
const LONGEST: usize = 255;

// === impl EdgeTls ===

impl EdgeTls {
    /// Takes in what one handshake said, and when. The order of handshakes makes no difference,
    /// except for what finds no room.
    pub fn fold(&mut self, tls: &Tls, at: Timestamp) {
        self.snis.add(tls.sni.as_deref());
        self.sni = self.snis.most_common();
        self.ech = self.ech.saturating_add(u64::from(tls.ech));
        // What nobody answered was negotiated by nobody.
        if !tls.answered {
            self.unanswered = self.unanswered.saturating_add(1);
            return;
        }
        self.handshakes = self.handshakes.saturating_add(1);
        weakest(&mut self.version, tls.version.as_deref(), strength::order_of_version);
        weakest(&mut self.cipher, tls.cipher.as_deref(), |name| strength::cipher(name) as u8);
        weakest(&mut self.group, tls.group.as_deref(), |name| strength::group(name) as u8);
        self.versions.add(tls.version.as_deref());
        self.ciphers.add(tls.cipher.as_deref());
        self.groups.add(tls.group.as_deref());
        self.alpns.add(tls.alpn.as_deref());
        self.alpn = self.alpns.most_common();
        self.post_quantum = self.post_quantum.saturating_add(u64::from(tls.post_quantum));
        self.resumed = self.resumed.saturating_add(u64::from(tls.resumed == Some(true)));
        self.authentication.add(tls.mutual, tls.mutual_basis);
        (self.mutual, self.mutual_basis) = self.authentication.weakest();
        self.identities(tls, at);
    }

    /// Every certificate of the server that is known, the one that ends first in front.
    pub fn server_certificates(&self) -> impl Iterator<Item = &SeenCertificate> {
        self.certificate.iter().chain(&self.other_certificates)
    }

    fn identities(&mut self, tls: &Tls, at: Timestamp) {
        if let Some(certificate) = &tls.client_identity {
            let is_older = self.client_identity.as_ref().is_some_and(|seen| seen.last_seen > at);
            if !is_older {
                self.client_identity = Some(SeenCertificate::new(certificate, at));
            }
        }
        if let Some(certificate) = &tls.certificate {
            self.certificates = self.certificates.saturating_add(1);
            self.keep(SeenCertificate::new(certificate, at));
        }
    }

    /// Keeps it in place of an older one for the same subject and names: that one was renewed.
    fn keep(&mut self, new: SeenCertificate) {
        let mut all = mem::take(&mut self.other_certificates);
        all.extend(self.certificate.take());
        let has_room = all.len() < MOST_CERTIFICATES;
        match all.iter_mut().find(|seen| seen.is_for_the_same(&new)) {
            Some(seen) if new.age() > seen.age() => *seen = new,
            Some(_) => {}
            None if has_room => all.push(new),
            None => self.certificates_dropped = self.certificates_dropped.saturating_add(1),
        }
        all.sort_by(|a, b| a.ending().cmp(&b.ending()));
        let mut all = all.into_iter();
        self.certificate = all.next();
        self.other_certificates = all.collect();
    }
}

// === impl Seen ===

impl Seen {
    fn add(&mut self, value: Option<&str>) {
        let Some(value) = value.filter(|value| value.len() <= LONGEST) else { return };
        if let Some(count) = self.counts.get_mut(value) {
            *count = count.saturating_add(1);
        } else if self.counts.len() < MOST_SEEN {
            self.counts.insert(value.into(), 1);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Of those that were seen equally often, the first in order.
    fn most_common(&self) -> Option<String> {
        let ranked = self.counts.iter().map(|(value, count)| (*count, value));
        let most = ranked.min_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)))?;
        Some(most.1.clone())
    }
}

// === impl Authentication ===

impl Authentication {
    fn add(&mut self, mutual: Mutual, basis: Basis) {
        let inferred = u64::from(basis == Basis::Inferred);
        let (all, of_those) = match mutual {
            Mutual::Mutual => (&mut self.mutual, Some(&mut self.mutual_inferred)),
            Mutual::OneWay => (&mut self.one_way, Some(&mut self.one_way_inferred)),
            Mutual::RequestedNotGiven => {
                (&mut self.requested_not_given, Some(&mut self.requested_inferred))
            }
            Mutual::Unknown => (&mut self.unknown, None),
        };
        *all = all.saturating_add(1);
        if let Some(count) = of_those {
            *count = count.saturating_add(inferred);
        }
    }

    /// The weakest that was seen at all, and how it is known.
    const fn weakest(&self) -> (Mutual, Basis) {
        let (mutual, inferred) = if self.one_way > 0 {
            (Mutual::OneWay, self.one_way_inferred)
        } else if self.requested_not_given > 0 {
            (Mutual::RequestedNotGiven, self.requested_inferred)
        } else if self.mutual > 0 {
            (Mutual::Mutual, self.mutual_inferred)
        } else {
            return (Mutual::Unknown, Basis::Inferred);
        };
        (mutual, if inferred > 0 { Basis::Inferred } else { Basis::Observed })
    }
}

// === impl SeenCertificate ===

impl SeenCertificate {
    fn new(certificate: &Certificate, at: Timestamp) -> Self {
        Self { certificate: certificate.clone(), last_seen: at }
    }

    fn is_for_the_same(&self, other: &Self) -> bool {
        self.certificate.subject == other.certificate.subject
            && self.certificate.names == other.certificate.names
    }

    /// The later in it is the one that is in use.
    fn age(&self) -> (Timestamp, Timestamp, Timestamp, &str) {
        let Certificate { not_before, not_after, issuer, .. } = &self.certificate;
        (self.last_seen, *not_before, *not_after, issuer)
    }

    fn ending(&self) -> (Timestamp, &str, &[String]) {
        let Certificate { not_after, subject, names, .. } = &self.certificate;
        (*not_after, subject, names)
    }
}

/// Keeps the lesser in `order`, and of equals the first by name.
fn weakest(kept: &mut Option<String>, new: Option<&str>, order: impl Fn(&str) -> u8) {
    let Some(new) = new.filter(|new| new.len() <= LONGEST) else { return };
    let is_weaker = |kept: &String| (order(new), new) < (order(kept), kept.as_str());
    if kept.as_ref().is_none_or(is_weaker) {
        *kept = Some(new.into());
    }
}

#[cfg(test)]
mod tests;
