//! What one edge says for and against each kind of finding.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Kind;
use super::expected::expected;
use super::severity::{self, Severity};
use super::sidecar::Proxies;
use crate::graph::tls::{self, EdgeTls, Seen, SeenCertificate, Strength};
use crate::graph::{Credentials, Edge, Scope};
use crate::protocol::tls::{Basis, Certificate};
use crate::protocol::{Security, State, Transport, Upgrade};

/// What users ask for beyond what everybody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// That clients prove who they are.
    pub mutual: bool,
}

/// What an edge says about one kind of finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// On how many connections it is so.
    pub(super) bad: u64,
    /// On how many it is certain that it is not so.
    pub(super) good: u64,
    /// Of how many in all.
    pub(super) of: u64,
    /// Whether it goes on.
    pub(super) is_live: bool,
    /// How bad that is.
    pub(super) severity: Severity,
    /// How bad it would be over a link in the clear.
    pub(super) base: Severity,
    /// What was seen.
    pub(super) what: Cow<'static, str>,
    /// Subjects of certificates that are wrong, or where nothing is, of those that are right.
    pub(super) subjects: Vec<String>,
}

/// What must be known beside the edge.
pub(super) struct Surroundings<'a> {
    pub(super) now: Timestamp,
    pub(super) asked: Asked,
    pub(super) proxies: &'a Proxies,
    /// Whether this client was always encrypted before.
    pub(super) was_sealed: bool,
}

/// What begins in the clear and may change to encryption: until that is decided, it is too early to
/// call it plain text.
const MAY_UPGRADE: [&str; 13] = [
    "postgresql",
    "mysql",
    "smtp",
    "imap",
    "pop3",
    "ftp",
    "ldap",
    "xmpp",
    "irc",
    "rdp",
    "amqp",
    "nats",
    "http-connect",
];

/// How long such a connection may take to decide.
const UNDECIDED: SignedDuration = SignedDuration::from_secs(10);

/// A certificate that ends sooner is a finding, unless it lives for a short time anyway.
const EXPIRING: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A part of a certificate's life, and the end of it at which it is a finding.
const LIFE: i32 = 5;

/// What this edge says about this kind; none where it says nothing.
pub(super) fn said(kind: Kind, edge: &Edge, around: &Surroundings<'_>) -> Option<Said> {
    match kind {
        Kind::PlaintextHop => in_clear(edge, around, is_clear(edge)),
        Kind::UpgradeRefused => {
            in_clear(edge, around, is_clear(edge) && edge.upgrade == Upgrade::Refused)
        }
        Kind::Downgrade => in_clear(edge, around, is_clear(edge) && around.was_sealed),
        Kind::CredentialsInClear => credentials(edge, true),
        Kind::AuthInClear => credentials(edge, false),
        Kind::WeakTls => weak(edge),
        Kind::OneWayTls => one_way(edge, around.asked),
        Kind::CertificateExpiring => {
            let is_bad = |seen: &SeenCertificate| is_expiring(&seen.certificate, around.now);
            certificates(edge, is_bad, |bad| expiring(bad, edge.scope, around.now))
        }
        Kind::CertificateSelfSigned => {
            let is_bad = |seen: &SeenCertificate| seen.certificate.self_signed;
            let severity = severity::off_host(Severity::Low, edge.scope);
            certificates(edge, is_bad, |_| (severity, "self-signed"))
        }
    }
}

/// Whether its payload is known to be in the clear, for good.
pub fn is_clear(edge: &Edge) -> bool {
    edge.state == State::Plaintext
        && edge.security == Security::None
        && edge.protocol != "unknown"
        && !edge.server.is_folded()
        && payload(edge) > 0
        && (edge.transport == Transport::Udp || edge.evidence.connections > 0)
        && is_decided(edge)
}

/// Whether its payload is known to be encrypted, from its start.
pub fn is_sealed(edge: &Edge) -> bool {
    matches!(edge.state, State::Encrypted | State::Upgraded)
        && !matches!(edge.security, Security::None | Security::Unknown)
        && !edge.joined_late
}

/// Payload bytes of both directions.
pub(super) fn payload(edge: &Edge) -> u64 {
    edge.bytes_sent.saturating_add(edge.bytes_received)
}

/// Connections, and over UDP, which has none, datagrams.
pub(super) fn amount(edge: &Edge) -> u64 {
    match edge.transport {
        Transport::Udp => edge.datagrams_sent.saturating_add(edge.datagrams_received),
        _ => edge.connections,
    }
}

/// A connection that ended in the clear has decided, and so has one that was in use for long.
fn is_decided(edge: &Edge) -> bool {
    !MAY_UPGRADE.contains(&&*edge.protocol)
        || edge.upgrade != Upgrade::None
        || edge.connections > edge.open
        || edge.first_seen.duration_until(edge.last_seen) >= UNDECIDED
}

fn in_clear(edge: &Edge, around: &Surroundings<'_>, is_bad: bool) -> Option<Said> {
    if !is_bad {
        return better(edge, if is_sealed(edge) { amount(edge) } else { 0 });
    }
    let is_leg = around.proxies.have_leg(edge);
    let shown = match edge.transport {
        Transport::Udp => amount(edge),
        _ => edge.evidence.connections,
    };
    let base = match expected(edge) {
        _ if is_leg => Severity::Low,
        Some(_) => Severity::Info,
        None => severity::of_payload(edge.scope),
    };
    let what = match edge.upgrade {
        _ if is_leg => Cow::Borrowed("in clear to a proxy on the same loopback interface"),
        Upgrade::Refused => with_evidence(edge, "the server refused encryption"),
        Upgrade::OfferedNotTaken => {
            with_evidence(edge, "the server offers encryption, and the client does not take it")
        }
        Upgrade::None | Upgrade::Taken => edge.evidence.what.clone(),
    };
    let (bad, of, is_live) = (shown, amount(edge), edge.open > 0);
    linked(edge, Said { bad, good: 0, of, is_live, ..plain(base, what) })
}

/// How bad it is over a link in the clear, and nothing counted yet.
const fn plain(severity: Severity, what: Cow<'static, str>) -> Said {
    let subjects = Vec::new();
    Said { bad: 0, good: 0, of: 0, is_live: false, severity, base: severity, what, subjects }
}

/// The same over the link that carries it: one that is encrypted makes it less severe, and says so.
fn linked(edge: &Edge, said: Said) -> Option<Said> {
    let is_harmless = said.bad == 0 || said.base == Severity::Info;
    let Some(words) = edge.link.words().filter(|_| !is_harmless) else { return said_of(said) };
    let severity = said.base.over(edge.link);
    let what = format!("{}; {words}: {}", said.what, edge.link_evidence).into();
    said_of(Said { severity, what, ..said })
}

/// What is not in question, or certain not to be so.
fn better(edge: &Edge, good: u64) -> Option<Said> {
    said_of(Said { good, of: amount(edge), ..plain(Severity::Info, Cow::Borrowed("")) })
}

fn with_evidence(edge: &Edge, what: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{}; {what}", edge.evidence.what))
}

/// Those that were sent before an upgrade count, too.
fn credentials(edge: &Edge, readable: bool) -> Option<Said> {
    let shown = edge.credentials.as_ref().filter(|shown| shown.readable == readable);
    let bad = shown.map_or(0, |shown| shown.connections);
    let good = if is_sealed(edge) { amount(edge).saturating_sub(bad) } else { 0 };
    let Some(Credentials { mechanism, .. }) = shown else { return better(edge, good) };
    let base = match expected(edge) {
        Some("metadata" | "loopback") => Severity::Info,
        _ if readable => severity::of_secret(edge.scope),
        _ => severity::off_host(Severity::Low, edge.scope),
    };
    let what = Cow::Owned(match readable {
        true => format!("{mechanism}: the secret is readable"),
        false => format!("{mechanism}: a proof of the secret is readable"),
    });
    let is_live = edge.open > 0 && !is_sealed(edge);
    linked(edge, Said { bad, good, of: amount(edge), is_live, ..plain(base, what) })
}

fn weak(edge: &Edge) -> Option<Said> {
    let tls = edge.tls.as_deref()?;
    let parts = [
        (&tls.versions, tls::version as fn(&str) -> Strength),
        (&tls.ciphers, tls::cipher),
        (&tls.groups, tls::group),
    ];
    let weak: Vec<(Strength, &str, u64)> =
        parts.into_iter().flat_map(|(seen, strength)| weak_values(seen, strength)).collect();
    let worst = weak.iter().map(|(strength, ..)| *strength).min().unwrap_or(Strength::Sound);
    // A handshake that is weak in two ways is in two counts, and may be in one.
    let at_least = weak.iter().map(|(.., count)| *count).max().unwrap_or(0);
    let at_most = weak.iter().map(|(.., count)| *count).fold(0, u64::saturating_add);
    let severity = match worst {
        Strength::Broken => Severity::High,
        Strength::Weak => Severity::Medium,
        Strength::NoForwardSecrecy | Strength::Sound => Severity::Low,
    };
    let names: Vec<&str> = weak.iter().map(|(_, name, _)| *name).collect();
    let (base, what) = (severity::off_host(severity, edge.scope), Cow::Owned(names.join(", ")));
    let (good, of) = (tls.handshakes.saturating_sub(at_most), tls.handshakes);
    linked(edge, Said { bad: at_least, good, of, ..plain(base, what) })
}

fn weak_values(
    seen: &Seen,
    strength: fn(&str) -> Strength,
) -> impl Iterator<Item = (Strength, &str, u64)> {
    let judged = seen.counts.iter().map(move |(name, n)| (strength(name), name.as_str(), *n));
    judged.filter(|(strength, ..)| *strength != Strength::Sound)
}

fn one_way(edge: &Edge, asked: Asked) -> Option<Said> {
    let tls = edge.tls.as_deref().filter(|_| asked.mutual)?;
    let shown = &tls.authentication;
    let what = match (shown.requested_not_given > 0, tls.mutual_basis) {
        (true, _) => "the server asks for a certificate, and the client has none",
        (false, Basis::Observed) => "the server does not ask for the client's certificate",
        (false, Basis::Inferred) => "inferred: the client sends no certificate",
    };
    said_of(Said {
        bad: shown.one_way.saturating_add(shown.requested_not_given),
        good: shown.mutual,
        of: tls.handshakes,
        ..plain(severity::off_host(Severity::Low, edge.scope), what.into())
    })
}

/// What the certificates say that were seen.
fn certificates(
    edge: &Edge,
    is_bad: impl Fn(&SeenCertificate) -> bool,
    judge: impl Fn(&Certificate) -> (Severity, &'static str),
) -> Option<Said> {
    let tls = edge.tls.as_deref()?;
    let (bad, good): (Vec<_>, Vec<_>) = tls.server_certificates().partition(|seen| is_bad(seen));
    let subjects = |all: &[&SeenCertificate]| {
        all.iter().map(|seen| seen.certificate.subject.clone()).collect()
    };
    let clean = |tls: &EdgeTls| Said {
        good: tls.certificates,
        of: tls.handshakes,
        subjects: subjects(&good),
        ..plain(Severity::Info, Cow::Borrowed(""))
    };
    let judged = bad.iter().map(|seen| (judge(&seen.certificate), *seen));
    let Some(((severity, word), worst)) = judged.min_by_key(|((severity, _), _)| *severity) else {
        return said_of(clean(tls));
    };
    let Certificate { subject, not_after, .. } = &worst.certificate;
    said_of(Said {
        bad: tls.certificates,
        good: 0,
        severity,
        base: severity,
        what: Cow::Owned(format!("{subject}, {word}, ends {not_after}")),
        subjects: subjects(&bad),
        ..clean(tls)
    })
}

/// Whether less than 14 days or a fifth of its life are left, whatever is shorter.
fn is_expiring(certificate: &Certificate, now: Timestamp) -> bool {
    let life = certificate.not_before.duration_until(certificate.not_after);
    let left = now.duration_until(certificate.not_after);
    left <= (life / LIFE).clamp(SignedDuration::ZERO, EXPIRING)
}

/// Other people's certificates end as they please, until they have.
fn expiring(certificate: &Certificate, scope: Scope, now: Timestamp) -> (Severity, &'static str) {
    if certificate.not_after <= now {
        return (severity::off_host(Severity::Medium, scope), "expired");
    }
    let severity = match scope {
        Scope::Outside => Severity::Info,
        _ => severity::off_host(Severity::Low, scope),
    };
    (severity, "expires soon")
}

fn said_of(said: Said) -> Option<Said> {
    (said.bad > 0 || said.of > 0).then_some(said)
}
