//! Tests of rules and states: what edges say, and what becomes of it over time.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use jiff::Timestamp;
use plainsight_ebpf::wire::secret::Secret;
use proptest::prelude::*;

use super::register::{Acceptance, MOST_CLIENTS};
use super::*;
use crate::graph::tls::EdgeTls;
use crate::graph::{Credentials, Edge, FailuresByKind, Link};
use crate::identity::{self, MatchedBy};
use crate::protocol::tls::{Basis, Certificate, Mutual, Tls};
use crate::protocol::{Security, State as Protection, Upgrade};
use crate::record::Verdict;

/// When all of these tests begin.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A unit, a process or an address, by its name.
pub(super) fn workload(name: &str) -> Workload {
    let kind = if name.parse::<core::net::IpAddr>().is_ok() {
        identity::Kind::Address
    } else if name.ends_with(".service") {
        identity::Kind::Unit
    } else {
        identity::Kind::Process
    };
    Workload {
        name: name.into(),
        kind,
        namespace: None,
        container: None,
        service: None,
        host: (kind != identity::Kind::Address).then(|| "host-a".into()),
        cluster: None,
        owner: None,
        matched_by: MatchedBy::Cgroup,
        confidence: Confidence::High,
    }
}

/// 23 HTTP connections in the clear to a private network, all over, within the first ten seconds.
pub(super) fn edge(client: &str, server: &str, port: u16) -> Edge {
    Edge {
        id: format!("{client}>{server}:{port}"),
        client: workload(client),
        server: workload(server),
        server_address: server.parse().unwrap_or("10.0.0.9".parse().unwrap()),
        server_port: port,
        reached: vec![],
        reached_more: 0,
        transport: Transport::Tcp,
        protocol: "http".into(),
        protocol_version: Some("1".into()),
        application: None,
        connections: 23,
        open: 0,
        failures: 0,
        failures_by_kind: FailuresByKind::default(),
        bytes_sent: 1009,
        bytes_received: 10_007,
        datagrams_sent: 0,
        datagrams_received: 0,
        rtt_seconds: None,
        first_seen: at(1),
        last_seen: at(10),
        reporters: vec![],
        joined_late: false,
        complete: true,
        security: Security::None,
        state: Protection::Plaintext,
        upgrade: Upgrade::None,
        link: Link::Unknown,
        link_basis: None,
        link_evidence: "".into(),
        scope: Scope::Cluster,
        tls: None,
        credentials: None,
        evidence: Evidence { what: "HTTP/1 request line".into(), connections: 23, of: 23 },
        confidence: Confidence::High,
        verdict: Verdict::without_policy(),
    }
}

/// The same ends, encrypted, later.
fn sealed(clear: &Edge, connections: u64, second: i64) -> Edge {
    Edge {
        id: format!("{} sealed", clear.id),
        connections,
        security: Security::Tls,
        state: Protection::Encrypted,
        first_seen: at(second),
        last_seen: at(second),
        credentials: None,
        upgrade: Upgrade::None,
        ..clear.clone()
    }
}

fn with_tls(mut edge: Edge, handshakes: &[Tls], second: i64) -> Edge {
    let mut tls = edge.tls.take().unwrap_or_default();
    handshakes.iter().for_each(|one| tls.fold(one, at(second)));
    Edge {
        security: Security::Tls,
        state: Protection::Encrypted,
        last_seen: at(second),
        tls: Some(tls),
        ..edge
    }
}

fn handshake(version: &str, cipher: &str) -> Tls {
    let (version, cipher) = (Some(version.into()), Some(cipher.into()));
    Tls { version, cipher, answered: true, protected: true, ..Tls::default() }
}

fn certified(subject: &str, not_after: i64, self_signed: bool) -> Tls {
    let certificate = Certificate {
        subject: subject.into(),
        issuer: "CN=ca".into(),
        names: vec![],
        not_before: at(not_after - 365 * DAY),
        not_after: at(not_after),
        key: "RSA 2048".into(),
        self_signed,
    };
    Tls { certificate: Some(certificate), ..handshake("TLS1.2", SOUND) }
}

const SOUND: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
const WATCHED: Coverage = Coverage { since: Timestamp::UNIX_EPOCH, lost: 0 };

fn findings() -> Findings {
    Findings::new(Asked { mutual: true }, 1009, at(0))
}

/// Kinds and severities that one map gives, in order.
fn found(edges: &[Edge]) -> Vec<(Kind, Severity)> {
    let mut findings = findings();
    findings.update(edges, at(20), &WATCHED);
    let mut all: Vec<_> =
        findings.report().findings.iter().map(|found| (found.kind, found.severity)).collect();
    all.sort();
    all
}

#[test]
fn payload_in_the_clear_is_as_bad_as_it_goes_far() {
    let check = |scope, link, expect| {
        let edge = Edge { scope, link, ..edge("curl", "api", 8080) };
        assert_eq!(found(&[edge]), [(Kind::PlaintextHop, expect)], "{scope:?} {link:?}");
    };
    check(Scope::Loopback, Link::Unknown, Severity::Info);
    check(Scope::Host, Link::Unknown, Severity::Low);
    check(Scope::Cluster, Link::Unknown, Severity::Medium);
    check(Scope::Outside, Link::None, Severity::High);
    check(Scope::Outside, Link::Wireguard, Severity::Medium);
    check(Scope::Cluster, Link::Declared, Severity::Low);
}

/// The same hop over this link.
fn over(edge: &Edge, link: Link) -> Edge {
    Edge { link, link_evidence: "by wg0".into(), ..edge.clone() }
}

#[test]
fn an_encrypted_link_takes_one_step_and_says_so() {
    let credentials = Credentials::new(Secret::RedisAuth, 5);
    let secret = Edge { credentials, scope: Scope::Outside, ..edge("app", "10.0.0.9", 6379) };
    let weak = with_tls(edge("app", "10.0.0.9", 9000), &[handshake("TLS1.0", SOUND)], 5);
    let leg = Edge { scope: Scope::Loopback, ..edge("app", "envoy", 15_001) };
    let check = |edge: &Edge, link: Link, expect: &[(Kind, Severity, &str)]| {
        let mut findings = findings();
        findings.update(&[over(edge, link)], at(20), &WATCHED);
        let report = findings.report();
        let mut all: Vec<_> = report.findings.iter().collect();
        all.sort_by_key(|found| found.kind);
        assert!(all.iter().all(|found| found.link == link), "{link:?}");
        let found: Vec<_> =
            all.iter().map(|found| (found.kind, found.severity, &*found.evidence.what)).collect();
        assert_eq!(found, expect, "{link:?}");
    };
    use Kind::{CredentialsInClear, PlaintextHop, WeakTls};
    use Severity::{High, Info, Low, Medium};
    let read = "Redis AUTH: the secret is readable";
    for link in [Link::None, Link::Unknown] {
        let line = "HTTP/1 request line";
        check(&secret, link, &[(CredentialsInClear, High, read), (PlaintextHop, High, line)]);
        check(&weak, link, &[(WeakTls, Medium, "TLS1.0")]);
    }
    check(
        &secret,
        Link::Wireguard,
        &[
            (CredentialsInClear, Medium, &format!("{read}; over WireGuard: by wg0")),
            (PlaintextHop, Medium, "HTTP/1 request line; over WireGuard: by wg0"),
        ],
    );
    check(&weak, Link::Ipsec, &[(WeakTls, Low, "TLS1.0; over IPsec: by wg0")]);
    let declared = "TLS1.0; over an encrypted link: by wg0";
    check(&weak, Link::Declared, &[(WeakTls, Low, declared)]);
    check(&leg, Link::Wireguard, &[(PlaintextHop, Info, "HTTP/1 request line")]);
}

/// What a link is may be known only after the hop: see `Entry::ease`.
#[test]
fn a_link_that_is_told_later_counts_from_then_on() {
    let near = edge("curl", "api", 8080);
    let far = Edge { scope: Scope::Outside, ..edge("wget", "api", 8080) };
    let mut findings = findings();
    let mut check = |edges: &[Edge], second: i64, expect: (Severity, State)| {
        findings.update(edges, at(second), &WATCHED);
        let report = findings.report();
        let found = &report.findings[0];
        assert_eq!((report.findings.len(), found.severity, found.state), (1, expect.0, expect.1));
        findings = Findings::restore(findings.kept(), Asked { mutual: true }, 1009);
    };
    let (wireguard, none) = (Link::Wireguard, Link::None);
    check(core::slice::from_ref(&near), 20, (Severity::Medium, State::New));
    check(&[over(&near, wireguard)], 21, (Severity::Low, State::New));
    check(&[over(&near, wireguard), far.clone()], 22, (Severity::High, State::Worse));
    // One of the two is not there, so what is known of it still holds.
    check(&[over(&near, wireguard)], 23, (Severity::High, State::Worse));
    check(&[near.clone(), over(&far, wireguard)], 24, (Severity::Medium, State::Worse));
    check(&[over(&near, wireguard), over(&far, wireguard)], 25, (Severity::Medium, State::Worse));
    // Not for its link it is less: what was worse is not undone by that.
    let closer = Edge { scope: Scope::Cluster, ..far.clone() };
    check(
        &[over(&near, wireguard), over(&closer, wireguard)],
        26,
        (Severity::Medium, State::Worse),
    );
    let more = Edge { connections: 29, ..over(&far, none) };
    let evidence = Evidence { connections: 29, of: 29, ..more.evidence.clone() };
    let more = Edge { evidence, ..more };
    check(&[over(&near, wireguard), more], 27, (Severity::High, State::Worse));
}

#[test]
fn what_is_not_known_to_be_in_the_clear_is_no_finding() {
    let clear = edge("curl", "api", 8080);
    let check = |edge: Edge| assert_eq!(found(&[edge]), []);
    let (security, state) = (Security::Unknown, Protection::Unknown);
    check(Edge { protocol: "unknown".into(), security, state, ..clear.clone() });
    check(Edge { protocol: "unknown".into(), ..clear.clone() });
    check(Edge { security: Security::Tls, state: Protection::HandshakeOnly, ..clear.clone() });
    check(Edge { protocol: "kerberos".into(), state: Protection::Partial, ..clear.clone() });
    check(Edge { bytes_sent: 0, bytes_received: 0, ..clear.clone() });
    // Its connections have gone to another edge, and left bytes behind.
    let evidence = Evidence { connections: 0, ..clear.evidence.clone() };
    check(Edge { evidence, ..clear.clone() });
    check(sealed(&clear, 7, 5));
    check(Edge { server: identity::folded(), ..clear });
}

#[test]
fn what_may_still_upgrade_is_waited_for() {
    let smtp = Edge { protocol: "smtp".into(), ..edge("mail", "mx", 25) };
    let check = |edge: Edge, is_found: bool| {
        let kinds: Vec<Kind> = found(&[edge]).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds.contains(&Kind::PlaintextHop), is_found);
    };
    let undecided = Edge { connections: 1, open: 1, last_seen: at(3), ..smtp.clone() };
    check(undecided.clone(), false);
    check(Edge { connections: 2, ..undecided.clone() }, true);
    check(Edge { last_seen: at(11), ..undecided.clone() }, true);
    check(Edge { upgrade: Upgrade::OfferedNotTaken, ..undecided.clone() }, true);
    check(Edge { protocol: "http".into(), ..undecided }, true);
}

#[test]
fn a_refusal_is_a_finding_of_its_own() {
    let refused = Edge {
        protocol: "postgresql".into(),
        upgrade: Upgrade::Refused,
        ..edge("reports", "10.0.0.9", 5432)
    };
    let expect = [(Kind::UpgradeRefused, Severity::Medium), (Kind::PlaintextHop, Severity::Medium)];
    assert_eq!(found(&[refused]), expect);
}

#[test]
fn credentials_are_as_bad_as_they_can_be_read() {
    let check = |secret, scope, expect: &[(Kind, Severity)]| {
        let credentials = Credentials::new(secret, 5);
        let edge = Edge { credentials, scope, ..edge("app", "10.0.0.9", 6379) };
        let all = found(&[edge]);
        let found: Vec<_> = all.iter().filter(|(kind, _)| *kind != Kind::PlaintextHop).collect();
        assert_eq!(found, expect.iter().collect::<Vec<_>>(), "{secret:?} {scope:?}");
    };
    use Kind::{AuthInClear, CredentialsInClear};
    check(Secret::RedisAuth, Scope::Cluster, &[(CredentialsInClear, Severity::High)]);
    check(Secret::RedisAuth, Scope::Outside, &[(CredentialsInClear, Severity::High)]);
    check(Secret::RedisAuth, Scope::Host, &[(CredentialsInClear, Severity::Medium)]);
    check(Secret::RedisAuth, Scope::Loopback, &[(CredentialsInClear, Severity::Info)]);
    check(Secret::PostgresqlScram, Scope::Cluster, &[(AuthInClear, Severity::Low)]);
    check(Secret::SaslGssapi, Scope::Outside, &[(AuthInClear, Severity::Low)]);
    check(Secret::MysqlSha2, Scope::Loopback, &[(AuthInClear, Severity::Info)]);
    check(Secret::None, Scope::Cluster, &[]);
}

#[test]
fn a_secret_before_the_upgrade_counts() {
    let clear = Edge { protocol: "imap".into(), ..edge("app", "10.0.0.9", 143) };
    let mut upgraded = sealed(&clear, 23, 5);
    upgraded.state = Protection::Upgraded;
    upgraded.credentials = Credentials::new(Secret::ImapLogin, 3);
    assert_eq!(found(&[upgraded]), [(Kind::CredentialsInClear, Severity::High)]);
}

#[test]
fn tls_is_as_weak_as_its_weakest_handshake() {
    let check = |handshakes: &[Tls], expect: Option<(Severity, u64, u64)>| {
        let edge = with_tls(edge("app", "10.0.0.9", 9000), handshakes, 5);
        let mut findings = findings();
        findings.update(&[edge], at(20), &WATCHED);
        let report = findings.report();
        let weak = report.findings.iter().find(|found| found.kind == Kind::WeakTls);
        assert_eq!(weak.map(|found| (found.severity, found.connections, found.of)), expect);
    };
    let sound = handshake("TLS1.3", "TLS_AES_128_GCM_SHA256");
    check(core::slice::from_ref(&sound), None);
    check(&[handshake("TLS1.0", SOUND), sound.clone()], Some((Severity::Medium, 1, 2)));
    let rc4 = handshake("TLS1.2", "TLS_RSA_WITH_RC4_128_SHA");
    check(&[rc4.clone(), rc4], Some((Severity::Medium, 2, 2)));
    check(&[handshake("TLS1.2", "TLS_RSA_WITH_NULL_SHA")], Some((Severity::High, 1, 1)));
    let static_rsa = handshake("TLS1.2", "TLS_RSA_WITH_AES_128_GCM_SHA256");
    check(&[static_rsa], Some((Severity::Low, 1, 1)));
    check(&[handshake("TLS1.2", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA")], None);
    let group = Some("ffdhe1024".into());
    check(&[Tls { group, ..sound.clone() }], Some((Severity::Medium, 1, 1)));
    check(&[Tls { answered: false, ..handshake("TLS1.0", "x") }], None);
}

#[test]
fn one_way_is_a_finding_only_where_somebody_asks() {
    let one_way =
        Tls { mutual: Mutual::OneWay, mutual_basis: Basis::Observed, ..handshake("TLS1.2", SOUND) };
    let edges = [with_tls(edge("app", "10.0.0.9", 9000), &[one_way], 5)];
    assert_eq!(found(&edges), [(Kind::OneWayTls, Severity::Low)]);
    let mut findings = Findings::new(Asked::default(), 1009, at(0));
    findings.update(&edges, at(20), &WATCHED);
    assert_eq!(findings.report().findings, []);
}

#[test]
fn certificates_are_told_in_time() {
    let check = |not_after: i64, scope, expect: Option<Severity>| {
        let certified = certified("CN=db", not_after, false);
        let edge = with_tls(Edge { scope, ..edge("app", "10.0.0.9", 443) }, &[certified], 5);
        let all = found(&[edge]);
        let found: Vec<Severity> = all.iter().map(|(_, severity)| *severity).collect();
        assert_eq!(found, expect.into_iter().collect::<Vec<_>>(), "{not_after}");
    };
    check(15 * DAY, Scope::Cluster, None);
    check(13 * DAY, Scope::Cluster, Some(Severity::Low));
    check(13 * DAY, Scope::Outside, Some(Severity::Info));
    check(0, Scope::Cluster, Some(Severity::Medium));
    check(-5, Scope::Outside, Some(Severity::Medium));
    check(-5, Scope::Loopback, Some(Severity::Info));
}

#[test]
fn a_short_life_has_a_short_end() {
    let check = |life: i64, left: i64, is_found: bool| {
        let mut tls = certified("CN=mesh", 20 + left, false);
        if let Some(certificate) = &mut tls.certificate {
            certificate.not_before = at(20 + left - life);
        }
        let edge = with_tls(edge("app", "10.0.0.9", 443), &[tls], 5);
        assert_eq!(!found(&[edge]).is_empty(), is_found, "{life} {left}");
    };
    check(DAY, 5 * HOUR, false);
    check(DAY, 4 * HOUR, true);
    check(90 * DAY, 15 * DAY, false);
    check(90 * DAY, 13 * DAY, true);
    // It cannot be: valid until before it began. It is a finding once it has ended.
    check(-DAY, HOUR, false);
    check(-DAY, -HOUR, true);
}

#[test]
fn who_signs_for_itself_is_low() {
    let edge = with_tls(edge("app", "10.0.0.9", 443), &[certified("CN=x", 99 * DAY, true)], 5);
    assert_eq!(found(&[edge]), [(Kind::CertificateSelfSigned, Severity::Low)]);
}

#[test]
fn a_sidecars_leg_is_one_finding_of_low_severity() {
    let leg = Edge { scope: Scope::Loopback, ..edge("app", "envoy", 15001) };
    let outward = sealed(&edge("envoy", "10.0.0.9", 8443), 23, 5);
    assert_eq!(found(&[leg.clone(), outward.clone()]), [(Kind::PlaintextHop, Severity::Low)]);
    // Without what it encrypts it is a local server like any other.
    assert_eq!(found(&[leg]), [(Kind::PlaintextHop, Severity::Info)]);
    // Somebody who encrypts something himself is no proxy for it.
    let other = Edge { scope: Scope::Loopback, ..edge("app", "backend", 8080) };
    let fetches = sealed(&edge("backend", "10.0.0.9", 8443), 23, 5);
    assert_eq!(found(&[other.clone(), fetches]), [(Kind::PlaintextHop, Severity::Info)]);
    // But who proves itself there is.
    let mutual = Tls {
        mutual: Mutual::Mutual,
        mutual_basis: Basis::Observed,
        ..handshake("TLS1.3", "TLS_AES_128_GCM_SHA256")
    };
    let proves = with_tls(edge("backend", "10.0.0.9", 8443), &[mutual], 5);
    assert_eq!(found(&[other, proves]), [(Kind::PlaintextHop, Severity::Low)]);
}

#[test]
fn meshes_are_known_by_their_handshakes() {
    let check = |tls: Tls| {
        let inward = with_tls(edge("10.0.0.7", "sidecar", 15006), &[tls], 5);
        let leg = Edge { scope: Scope::Loopback, ..edge("sidecar", "app", 8080) };
        assert_eq!(found(&[inward, leg]), [(Kind::PlaintextHop, Severity::Low)]);
    };
    let plain = handshake("TLS1.3", "TLS_AES_128_GCM_SHA256");
    check(Tls { alpn: Some("istio-peer-exchange".into()), ..plain.clone() });
    let sni = "default.shop.serviceaccount.identity.linkerd.cluster.local";
    check(Tls { sni: Some(sni.into()), ..plain });
}

#[test]
fn an_idle_host_has_nothing_above_info() {
    let local = |client: &str, server: &str, port| Edge {
        scope: Scope::Loopback,
        ..edge(client, server, port)
    };
    let udp = |edge: Edge, protocol: &'static str| Edge {
        transport: Transport::Udp,
        protocol: protocol.into(),
        connections: 0,
        datagrams_sent: 7,
        datagrams_received: 7,
        ..edge
    };
    let edges = [
        udp(edge("unbound.service", "198.51.100.1", 53), "dns"),
        udp(local("getent", "unbound.service", 53), "dns"),
        udp(edge("chrony.service", "198.51.100.2", 123), "ntp"),
        udp(edge("dhclient", "10.0.0.1", 67), "dhcp"),
        local("prometheus.service", "prometheus-node-exporter.service", 9100),
        Edge {
            scope: Scope::Host,
            ..edge("prometheus.service", "prometheus-node-exporter.service", 9100)
        },
        edge("cloud-init.service", "169.254.169.254", 80),
        local("app", "redis.service", 6379),
        sealed(&edge("apt", "198.51.100.9", 443), 3, 5),
    ];
    for (kind, severity) in found(&edges) {
        assert_eq!(severity, Severity::Info, "{kind:?}");
    }
    let mut findings = findings();
    findings.update(&edges, at(20), &WATCHED);
    let report = findings.report();
    assert_eq!(report.counts.values().sum::<u64>(), 0);
    assert_eq!((report.expected_plaintext.hops, report.not_proven.amount.hops), (8, 0));
}

#[test]
fn one_listener_is_one_finding_with_its_clients_inside() {
    let mut edges: Vec<Edge> = (0..5).map(|n| edge(&format!("c{n}"), "db", 5432)).collect();
    edges.push(sealed(&edge("c9", "db", 5432), 7, 5));
    edges.push(edge("c0", "db", 5433));
    let mut findings = findings();
    findings.update(&edges, at(20), &WATCHED);
    let report = findings.report();
    assert_eq!(report.findings.len(), 2, "one for each port");
    let one = report.findings.iter().find(|found| found.server_port == 5432).unwrap();
    assert_eq!((one.clients.len(), one.connections, one.of), (5, 115, 122));
    assert_eq!((one.first_seen, one.last_seen, one.state), (at(1), at(10), State::New));
}

/// What happens to one client of one server, and how the finding of that kind stands after it.
struct Story {
    findings: Findings,
    edges: Vec<Edge>,
    coverage: Coverage,
    second: i64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many connections in the clear.
    Clear(u64),
    /// So many encrypted connections.
    Sealed(u64),
    /// An encrypted connection by somebody else.
    SealedByOther,
    /// So many seconds pass.
    Pass(i64),
    /// The agent is killed, and started again after so many seconds.
    Restart(i64),
    /// Something was lost.
    Lose,
    /// The hop leaves the private network.
    Outside,
    /// Idle edges leave the map.
    Retire,
    /// Somebody answers for it, for so many seconds.
    Accept(i64),
}

impl Story {
    fn new() -> Self {
        let coverage = Coverage { since: at(0), lost: 0 };
        Self { findings: findings(), edges: vec![], coverage, second: 100 }
    }

    fn tell(&mut self, step: Step) {
        self.second += 1;
        match step {
            Step::Clear(n) => self.count("job", false, n),
            Step::Sealed(n) => self.count("job", true, n),
            Step::SealedByOther => self.count("other", true, 1),
            Step::Pass(seconds) => self.second += seconds,
            Step::Restart(seconds) => self.restart(seconds),
            Step::Lose => self.coverage.lost += 1,
            Step::Outside => self.edges.iter_mut().for_each(|edge| edge.scope = Scope::Outside),
            Step::Retire => self.edges.clear(),
            Step::Accept(seconds) => {
                let id = self.findings.report().findings[0].id.clone();
                let (until, severity) = (at(self.second + seconds), Severity::Medium);
                let reason = String::from("known");
                assert!(self.findings.accept(&id, Acceptance { until, severity, reason }));
            }
        }
        self.findings.update(&self.edges, at(self.second), &self.coverage);
    }

    fn restart(&mut self, seconds: i64) {
        let text = serde_json::to_string(&self.findings.kept()).unwrap();
        let kept = serde_json::from_str(&text).unwrap();
        self.findings = Findings::restore(kept, Asked { mutual: true }, 1009);
        self.edges.clear();
        self.second += seconds;
        self.coverage = Coverage { since: at(self.second), lost: 0 };
    }

    fn count(&mut self, client: &str, is_sealed: bool, connections: u64) {
        let clear = edge(client, "db.service", 5432);
        let new = if is_sealed { sealed(&clear, 0, self.second) } else { clear };
        let now = at(self.second);
        if !self.edges.iter().any(|edge| edge.id == new.id) {
            let evidence = Evidence { connections: 0, of: 0, ..new.evidence.clone() };
            self.edges.push(Edge { connections: 0, evidence, first_seen: now, ..new.clone() });
        }
        let edge = self.edges.iter_mut().find(|edge| edge.id == new.id).unwrap();
        edge.connections += connections;
        (edge.evidence.connections, edge.evidence.of) = (edge.connections, edge.connections);
        edge.last_seen = now;
    }

    fn state(&self, kind: Kind) -> Option<State> {
        let report = self.findings.report();
        report.findings.iter().find(|found| found.kind == kind).map(|found| found.state)
    }
}

#[test]
fn states_follow_what_happens() {
    use Step::{Accept, Clear, Lose, Outside, Pass, Restart, Retire, Sealed, SealedByOther};
    let check = |steps: &[Step], expect: State| {
        let mut story = Story::new();
        steps.iter().for_each(|step| story.tell(*step));
        assert_eq!(story.state(Kind::PlaintextHop), Some(expect), "{steps:?}");
    };
    check(&[Clear(3)], State::New);
    check(&[Clear(3), Pass(DAY - 10), Clear(1)], State::New);
    check(&[Clear(3), Pass(DAY), Clear(1)], State::Open);
    check(&[Clear(3), Pass(DAY)], State::Quiet);
    check(&[Clear(3), Retire, Pass(DAY)], State::Quiet);
    // A monthly job.
    check(&[Clear(3), Pass(30 * DAY)], State::Quiet);
    check(&[Clear(3), Pass(30 * DAY), Clear(1)], State::Open);
    check(&[Clear(3), Pass(30 * DAY), Clear(1), Pass(29 * DAY), Sealed(5)], State::Quiet);
    check(&[Clear(3), Pass(30 * DAY), SealedByOther], State::Quiet);
    // What was seen to be better.
    check(&[Clear(3), Sealed(1)], State::Fixed);
    check(&[Sealed(5), Clear(3)], State::New);
    check(&[Clear(3), Sealed(1), Pass(30 * DAY - 10)], State::Fixed);
    check(&[Clear(3), Sealed(1), Clear(1)], State::Worse);
    check(&[Clear(3), Sealed(1), Clear(1), Pass(DAY), Clear(1)], State::Open);
    // A killed agent, and what was lost: only what comes after it counts.
    check(&[Clear(3), Restart(HOUR)], State::New);
    check(&[Clear(3), Restart(2 * DAY)], State::Quiet);
    check(&[Clear(3), Sealed(0), Restart(HOUR)], State::New);
    check(&[Clear(3), Restart(HOUR), Sealed(1)], State::New);
    check(&[Clear(3), Restart(HOUR), Sealed(1), Pass(DAY)], State::Fixed);
    check(&[Clear(3), Restart(HOUR), Sealed(1), Restart(HOUR), Pass(DAY)], State::Quiet);
    check(&[Clear(3), Sealed(1), Restart(HOUR)], State::Fixed);
    check(&[Clear(3), Lose, Pass(1)], State::New);
    check(&[Clear(3), Lose, Sealed(1)], State::New);
    check(&[Clear(3), Lose, Sealed(1), Pass(DAY)], State::Fixed);
    check(&[Clear(3), Lose, Clear(1), Sealed(1), Pass(60)], State::Fixed);
    check(&[Clear(3), Restart(HOUR), Pass(1), Clear(1)], State::New);
    // Worse than before.
    check(&[Clear(3), Pass(2 * DAY), Outside, Clear(1)], State::Worse);
    check(&[Clear(3), Pass(2 * DAY), Outside, Clear(1), Pass(DAY), Clear(1)], State::Open);
    // Answered for, until it is worse or the day has come.
    check(&[Clear(3), Accept(DAY), Clear(1)], State::Accepted);
    check(&[Clear(3), Accept(HOUR), Pass(HOUR)], State::New);
    check(&[Clear(3), Accept(DAY), Outside, Clear(1)], State::Worse);
}

#[test]
fn a_downgrade_is_told_from_doing_both() {
    use Step::{Clear, Pass, Restart, Sealed};
    let check = |steps: &[Step], is_found: bool| {
        let mut story = Story::new();
        steps.iter().for_each(|step| story.tell(*step));
        assert_eq!(story.state(Kind::Downgrade).is_some(), is_found, "{steps:?}");
    };
    check(&[Sealed(5), Clear(1)], true);
    check(&[Sealed(5), Pass(DAY), Clear(1)], true);
    check(&[Sealed(5), Restart(HOUR), Clear(1)], true);
    check(&[Sealed(5), Clear(1), Sealed(5), Clear(1)], true);
    check(&[Clear(1), Sealed(5)], false);
    check(&[Clear(1), Sealed(5), Clear(1)], false);
    check(&[Clear(1), Sealed(5), Restart(HOUR), Clear(1)], false);
    check(&[Clear(1)], false);
}

#[test]
fn a_downgrade_goes_on_until_it_is_over() {
    let mut story = Story::new();
    for step in [Step::Sealed(5), Step::Clear(1), Step::Pass(DAY), Step::Clear(1)] {
        story.tell(step);
    }
    assert_eq!(story.state(Kind::Downgrade), Some(State::Open));
    story.tell(Step::Pass(2 * DAY));
    story.tell(Step::Sealed(1));
    assert_eq!(story.state(Kind::Downgrade), Some(State::Fixed));
}

#[test]
fn an_open_connection_in_the_clear_is_never_quiet() {
    let mut findings = findings();
    let held = Edge { open: 1, ..edge("app", "db", 5432) };
    for day in 0..3 {
        findings.update(&[held.clone(), sealed(&held, 7, 15)], at(20 + day * DAY), &WATCHED);
    }
    assert_eq!(findings.report().findings[0].state, State::Open);
}

#[test]
fn handshakes_are_a_sample_so_one_that_is_sound_does_not_fix() {
    let mut findings = findings();
    let weak = || handshake("TLS1.0", SOUND);
    let sound = || handshake("TLS1.3", SOUND);
    let mut now = with_tls(edge("app", "10.0.0.9", 9000), &[weak(), sound()], 5);
    let mut look = |edge: &Edge, second| {
        findings.update(core::slice::from_ref(edge), at(second), &WATCHED);
        findings.report().findings[0].state
    };
    assert_eq!(look(&now, 20), State::New);
    now = with_tls(now, &vec![sound(); 5], 30);
    assert_eq!(look(&now, 40), State::New, "one of two was weak: six are needed");
    now = with_tls(now, &[sound()], 50);
    assert_eq!(look(&now, 60), State::Fixed);
}

#[test]
fn a_renewed_certificate_fixes_what_it_is_about_and_nothing_else() {
    let mut findings = findings();
    let old = certified("CN=a", 5 * DAY, false);
    let mut edge = with_tls(edge("app", "10.0.0.9", 443), &[old], 5);
    findings.update(&[edge.clone()], at(20), &WATCHED);
    let state = |findings: &Findings| findings.report().findings[0].state;
    edge = with_tls(edge, &[certified("CN=b", 300 * DAY, false)], 30);
    findings.update(&[edge.clone()], at(40), &WATCHED);
    assert_eq!(state(&findings), State::New);
    edge = with_tls(edge, &[certified("CN=a", 370 * DAY, false)], 50);
    findings.update(&[edge], at(60), &WATCHED);
    assert_eq!(state(&findings), State::Fixed);
}

#[test]
fn where_not_all_clients_are_kept_nothing_is_fixed() {
    let mut findings = findings();
    let count = MOST_CLIENTS + 3;
    let clear: Vec<Edge> = (0..count).map(|n| edge(&format!("c{n}"), "db", 5432)).collect();
    findings.update(&clear, at(20), &WATCHED);
    let sealed: Vec<Edge> = clear.iter().map(|edge| sealed(edge, 7, 30)).collect();
    let all = [clear, sealed].concat();
    findings.update(&all, at(40), &WATCHED);
    let report = findings.report();
    let one = &report.findings[0];
    assert_eq!((one.clients.len(), one.clients_more, one.state), (MOST_CLIENTS, 3, State::New));
}

#[test]
fn where_a_client_has_too_many_hops_nothing_is_fixed() {
    let clear = edge("app", "db", 5432);
    let better = sealed(&clear, 7, 30);
    let others = Edge { server: identity::folded(), server_port: 0, ..edge("app", "x", 1) };
    let check = |more: &[Edge], expect| {
        let mut findings = findings();
        findings.update(core::slice::from_ref(&clear), at(20), &WATCHED);
        findings.update(&[&[clear.clone(), better.clone()], more].concat(), at(40), &WATCHED);
        assert_eq!(findings.report().findings[0].state, expect);
    };
    check(&[], State::Fixed);
    check(&[others], State::New);
    // Another end that is many, as clients outside are, is no reason.
    let outside = Workload { name: "internet".into(), ..identity::folded() };
    check(&[Edge { server: outside, ..sealed(&edge("app", "x", 1), 7, 30) }], State::Fixed);
}

#[test]
fn what_finds_no_room_is_counted_and_the_expected_takes_no_more_than_half() {
    let local = |n| Edge { scope: Scope::Loopback, ..edge("app", &format!("l{n}"), 80) };
    let remote = |n| edge("app", &format!("r{n}"), 80);
    let edges: Vec<Edge> = (0..13).map(local).chain((0..13).map(remote)).collect();
    let mut findings = Findings::new(Asked::default(), 14, at(0));
    for _ in 0..2 {
        findings.update(&edges, at(20), &WATCHED);
        let report = findings.report();
        assert_eq!(
            (report.findings.len() as u64 + report.refused, report.findings.len()),
            (26, 14)
        );
    }
}

#[test]
fn who_was_encrypted_longest_ago_is_forgotten_first() {
    let mut findings = Findings::new(Asked::default(), 2, at(0));
    let base = |n: i64| edge(&format!("c{n}"), "db", 5432);
    let all: Vec<Edge> = (0..13).map(|n| sealed(&base(n), 7, n)).collect();
    findings.update(&all, at(20), &WATCHED);
    assert_eq!(findings.report().forgotten, 4);
    let was_downgraded = |n| {
        let mut findings = findings.clone();
        let clear = Edge { first_seen: at(30), last_seen: at(30), ..base(n) };
        findings.update(&[clear], at(40), &WATCHED);
        findings.report().findings.iter().any(|found| found.kind == Kind::Downgrade)
    };
    let downgraded: Vec<i64> = (0..13).filter(|n| was_downgraded(*n)).collect();
    assert_eq!(downgraded, (4..13).collect::<Vec<_>>());
}

#[test]
fn the_not_proven_says_why() {
    let base = edge("app", "10.0.0.9", 9000);
    let check = |edge: Edge, expect: Option<Doubt>| assert_eq!(doubt(&edge), expect);
    let unknown = Edge {
        protocol: "unknown".into(),
        security: Security::Unknown,
        state: Protection::Unknown,
        ..base.clone()
    };
    check(base.clone(), None);
    check(sealed(&base, 7, 5), None);
    check(unknown.clone(), Some(Doubt::UnknownProtocol));
    check(Edge { joined_late: true, ..unknown.clone() }, Some(Doubt::JoinedLate));
    check(Edge { state: Protection::Partial, ..base.clone() }, Some(Doubt::SealedInside));
    let offered =
        Edge { security: Security::Tls, state: Protection::HandshakeOnly, ..base.clone() };
    check(offered.clone(), Some(Doubt::HandshakeOnly));
    check(Edge { client: identity::folded(), ..base.clone() }, Some(Doubt::Folded));
    check(Edge { bytes_sent: 0, bytes_received: 0, ..unknown.clone() }, None);
    let sum = not_proven(&[base, unknown, offered], 17);
    assert_eq!((sum.amount.hops, sum.of.hops, sum.lost), (2, 3, 17));
    assert!((sum.hops_share - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(not_proven(&[], 0).bytes_share, 0.0);
}

#[test]
fn names_are_those_of_the_json() {
    let name = |value: &dyn erased::Json| value.json();
    for kind in Kind::ALL {
        assert_eq!(name(&kind), format!("\"{}\"", kind.name()));
    }
    for state in State::ALL {
        assert_eq!(name(&state), format!("\"{}\"", state.name()));
    }
    for severity in Severity::ALL {
        assert_eq!(name(&severity), format!("\"{}\"", severity.name()));
        assert_eq!(Severity::from_name(severity.name()), Some(severity));
    }
}

mod erased {
    use alloc::string::String;

    pub(super) trait Json {
        fn json(&self) -> String;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}

fn any_edge() -> impl Strategy<Value = Edge> {
    let security = prop::sample::select(vec![Security::None, Security::Tls, Security::Unknown]);
    let protection = prop::sample::select(vec![
        Protection::Plaintext,
        Protection::Encrypted,
        Protection::HandshakeOnly,
        Protection::Partial,
        Protection::Unknown,
    ]);
    let scope = prop::sample::select(vec![Scope::Loopback, Scope::Cluster, Scope::Outside]);
    let ends = (0..3_u8, 0..3_u8, 0..2_u16);
    let numbers = (0..9_u64, 0..3_u64, 0..40_i64, 0..40_i64);
    let secret = prop::sample::select(Secret::ALL);
    (security, protection, scope, ends, numbers, secret, any::<bool>()).prop_map(
        |(security, state, scope, (client, server, port), (n, open, from, to), secret, weak)| {
            let clear = edge(&format!("c{client}"), &format!("s{server}"), 5000 + port);
            let edge = Edge {
                security,
                state,
                scope,
                connections: n,
                open: open.min(n),
                first_seen: at(from),
                last_seen: at(to),
                credentials: Credentials::new(secret, n),
                ..clear
            };
            let tls = weak.then(|| {
                let mut tls = EdgeTls::default();
                tls.fold(&handshake("TLS1.1", SOUND), at(from));
                tls.fold(&certified("CN=x", 3 * DAY, true), at(to));
                Box::new(tls)
            });
            Edge { tls, ..edge }
        },
    )
}

/// Maps one after another, each edge of which has an id of its own.
fn any_maps() -> impl Strategy<Value = Vec<Vec<Edge>>> {
    let maps = prop::collection::vec(prop::collection::vec(any_edge(), 0..8), 1..4);
    maps.prop_map(|mut maps| {
        for map in &mut maps {
            for (n, edge) in map.iter_mut().enumerate() {
                edge.id = format!("e-{n}");
            }
        }
        maps
    })
}

fn told(maps: &[Vec<Edge>]) -> Findings {
    let mut findings = findings();
    for (n, map) in maps.iter().enumerate() {
        findings.update(map, at(50 + n as i64 * 60), &WATCHED);
    }
    findings
}

fn bytes(findings: &Findings) -> String {
    format!(
        "{} {}",
        serde_json::to_string(&findings.report()).unwrap(),
        serde_json::to_string(&findings.kept()).unwrap()
    )
}

proptest! {
    #[test]
    fn another_order_gives_the_same_bytes(maps in any_maps()) {
        let mut reversed = maps.clone();
        reversed.iter_mut().for_each(|map| map.reverse());
        prop_assert_eq!(bytes(&told(&maps)), bytes(&told(&reversed)));
    }

    #[test]
    fn the_same_map_twice_is_the_same_as_once(maps in any_maps()) {
        let mut findings = told(&maps);
        let once = bytes(&findings);
        let (last, n) = (maps.last().unwrap(), maps.len() as i64 - 1);
        findings.update(last, at(50 + n * 60), &WATCHED);
        prop_assert_eq!(bytes(&findings), once);
    }

    /// However long nothing is seen, or nothing that is better.
    #[test]
    fn silence_never_fixes(maps in any_maps(), days in prop::collection::vec(1..40_i64, 1..5)) {
        let mut maps = maps;
        for edge in maps.iter_mut().flatten() {
            edge.tls = None;
            if edge.state == Protection::Encrypted {
                edge.state = Protection::HandshakeOnly;
            }
        }
        let mut findings = told(&maps);
        let mut second = 1000;
        for days in days {
            second += days * DAY;
            findings.update(&[], at(second), &WATCHED);
            prop_assert_eq!(findings.report().counts[&State::Fixed], 0);
        }
    }

    #[test]
    fn what_is_kept_is_what_comes_back(maps in any_maps()) {
        let findings = told(&maps);
        let text = serde_json::to_string(&findings.kept()).unwrap();
        let restored = Findings::restore(serde_json::from_str(&text).unwrap(), Asked::default(), 1009);
        prop_assert_eq!(serde_json::to_string(&restored.kept()).unwrap(), text);
    }

    #[test]
    fn no_time_is_too_far_away(first in any::<i32>(), last in any::<i32>(), now in any::<i32>()) {
        let edge = Edge {
            first_seen: at(i64::from(first)),
            last_seen: at(i64::from(last)),
            ..edge("a", "b", 1)
        };
        let mut findings = findings();
        findings.update(&[edge], at(i64::from(now)), &WATCHED);
        findings.update(&[], Timestamp::MAX, &Coverage { since: Timestamp::MIN, lost: u64::MAX });
        prop_assert!(findings.report().findings.len() <= 1);
    }
}

#[test]
fn ends_of_time_are_no_trouble() {
    let certificate = Certificate {
        not_before: Timestamp::MIN,
        not_after: Timestamp::MAX,
        ..certified("CN=x", 0, false).certificate.unwrap()
    };
    let tls = Tls { certificate: Some(certificate), ..handshake("TLS1.2", SOUND) };
    assert_eq!(found(&[with_tls(edge("a", "b", 1), &[tls], 5)]), []);
}
