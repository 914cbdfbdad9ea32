//! Real handshakes of both ends in memory, and what is made of their bytes.

extern crate std;

use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec;
use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::*;

/// Whether the server asks for a certificate, and whether the client has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Asks {
    Not,
    InVain,
    AndGets(&'static SignatureAlgorithm),
}

/// Both ends' settings.
pub(in crate::protocol) struct Ends {
    pub(in crate::protocol) client: Arc<ClientConfig>,
    pub(in crate::protocol) server: Arc<ServerConfig>,
}

pub(in crate::protocol) const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
pub(in crate::protocol) const P256: &SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
const P384: &SignatureAlgorithm = &rcgen::PKCS_ECDSA_P384_SHA384;
const ED25519: &SignatureAlgorithm = &rcgen::PKCS_ED25519;

/// Name of the server.
pub(in crate::protocol) const NAME: &str = "db.example.org";

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

// === impl Ca ===

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Root, of all");
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), der }
    }

    fn issue(
        &self,
        name: &str,
        algorithm: &'static SignatureAlgorithm,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }
}

// === impl Ends ===

impl Ends {
    pub(in crate::protocol) fn new(version: &'static SupportedProtocolVersion, asks: Asks) -> Self {
        Self::with_groups(version, asks, &[], &[])
    }

    /// With these groups of each end, or all there are.
    fn with_groups(
        version: &'static SupportedProtocolVersion,
        asks: Asks,
        client: &[&'static dyn SupportedKxGroup],
        server: &[&'static dyn SupportedKxGroup],
    ) -> Self {
        let ca = Ca::new();
        let client = ClientConfig::builder_with_provider(provider(client))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(ca.roots());
        let mut client = match asks {
            Asks::AndGets(algorithm) => {
                let (chain, key) = ca.issue("app.example.org", algorithm);
                client.with_client_auth_cert(chain, key).unwrap()
            }
            Asks::Not | Asks::InVain => client.with_no_client_auth(),
        };
        client.alpn_protocols = vec![b"postgresql".to_vec(), b"h2".to_vec()];

        let server = ServerConfig::builder_with_provider(provider(server))
            .with_protocol_versions(&[version])
            .unwrap();
        let server = if asks == Asks::Not {
            server.with_no_client_auth()
        } else {
            let roots = Arc::new(ca.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider(&[]));
            server.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        };
        let (chain, key) = ca.issue(NAME, P256);
        let mut server = server.with_single_cert(chain, key).unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        Self { client: Arc::new(client), server: Arc::new(server) }
    }

    /// As QUIC needs them.
    pub(in crate::protocol) fn for_quic() -> Self {
        let mut ends = Self::new(TLS13, Asks::Not);
        Arc::make_mut(&mut ends.client).alpn_protocols = vec![b"h3".to_vec()];
        Arc::make_mut(&mut ends.server).alpn_protocols = vec![b"h3".to_vec()];
        ends
    }

    /// What each end sends: the handshake, and a few bytes each.
    pub(in crate::protocol) fn talk(&self) -> (Vec<u8>, Vec<u8>) {
        let name = ServerName::try_from(NAME).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        client.writer().write_all(b"SELECT 1 FROM a").unwrap();
        server.writer().write_all(b"one row").unwrap();
        loop {
            let (from_client, from_server) = (sent.len(), answered.len());
            while client.wants_write() {
                client.write_tls(&mut sent).unwrap();
            }
            while server.wants_write() {
                server.write_tls(&mut answered).unwrap();
            }
            if (from_client, from_server) == (sent.len(), answered.len()) {
                break;
            }
            let (mut to_server, mut to_client) = (&sent[from_client..], &answered[from_server..]);
            while !to_server.is_empty() {
                server.read_tls(&mut to_server).unwrap();
                server.process_new_packets().unwrap();
            }
            while !to_client.is_empty() {
                client.read_tls(&mut to_client).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        let mut heard = [0; 7];
        client.reader().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"one row");
        (sent, answered)
    }
}

fn provider(groups: &[&'static dyn SupportedKxGroup]) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    Arc::new(provider)
}

/// Each extension with its length, and all of them with theirs.
fn extensions(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let each = extensions.iter().map(|(kind, data)| {
        [&kind.to_be_bytes(), &(data.len() as u16).to_be_bytes(), *data].concat()
    });
    let all: Vec<u8> = each.flatten().collect();
    [&(all.len() as u16).to_be_bytes(), &all[..]].concat()
}

pub(in crate::protocol) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (body.len() as u32).to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1], &(payload.len() as u16).to_be_bytes()[..], payload].concat()
}

/// A client hello in its record.
fn client_hello(version: u16, list: &[(u16, &[u8])]) -> Vec<u8> {
    let start = [&version.to_be_bytes()[..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]];
    record(22, &message(1, &[&start.concat()[..], &extensions(list)].concat()))
}

/// A server hello in its record, with a session of four bytes.
fn server_hello(version: u16, suite: u16, list: &[(u16, &[u8])]) -> Vec<u8> {
    let start =
        [&version.to_be_bytes()[..], &[9; 32], &[4, 1, 2, 3, 4], &suite.to_be_bytes(), &[0]];
    record(22, &message(2, &[&start.concat()[..], &extensions(list)].concat()))
}

fn check(version: &'static SupportedProtocolVersion, asks: Asks, expect: (Mutual, Basis)) {
    let (client, server) = Ends::new(version, asks).talk();
    let tls = read(&client, &server).unwrap();
    assert_eq!((tls.mutual, tls.mutual_basis), expect, "{version:?} {asks:?}");
    assert_eq!(tls.sni.as_deref(), Some(NAME));
    assert_eq!(tls.alpn_offered, ["postgresql", "h2"]);
    assert_eq!(tls.resumed, Some(false));
    assert_eq!(tls.group.as_deref(), Some("x25519"));
    assert!(tls.answered && tls.protected && !tls.post_quantum && !tls.ech);
}

#[test]
fn who_proved_who_they_are_is_read_up_to_tls_1_2() {
    let check = |asks, expect| check(TLS12, asks, (expect, Basis::Observed));
    check(Asks::Not, Mutual::OneWay);
    check(Asks::InVain, Mutual::RequestedNotGiven);
    check(Asks::AndGets(P256), Mutual::Mutual);
    check(Asks::AndGets(ED25519), Mutual::Mutual);
}

#[test]
fn who_proved_who_they_are_is_inferred_in_tls_1_3() {
    let check = |asks, expect| check(TLS13, asks, (expect, Basis::Inferred));
    check(Asks::Not, Mutual::OneWay);
    check(Asks::InVain, Mutual::RequestedNotGiven);
    for algorithm in [P256, P384, ED25519] {
        check(Asks::AndGets(algorithm), Mutual::Mutual);
    }
}

#[test]
fn certificates_are_read_where_they_are_in_the_clear() {
    let (client, server) = Ends::new(TLS12, Asks::AndGets(P384)).talk();
    let tls = read(&client, &server).unwrap();
    assert_eq!(tls.version.as_deref(), Some("TLS1.2"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"));
    assert_eq!(tls.alpn.as_deref(), Some("h2"));
    assert_eq!(tls.client_certificate, ClientCertificate::Presented);
    let (certificate, identity) = (tls.certificate.unwrap(), tls.client_identity.unwrap());
    assert_eq!(certificate.subject, "CN=db.example.org");
    assert_eq!(certificate.issuer, "CN=Root\\, of all");
    assert_eq!(certificate.names, [NAME]);
    assert_eq!(certificate.not_before, "1975-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(certificate.not_after, "4096-01-01T00:00:00Z".parse().unwrap());
    assert_eq!((certificate.key.as_str(), certificate.self_signed), ("EC P-256", false));
    assert_eq!(
        (identity.subject.as_str(), identity.key.as_str()),
        ("CN=app.example.org", "EC P-384")
    );
}

#[test]
fn certificates_are_sealed_in_tls_1_3() {
    let (client, server) = Ends::new(TLS13, Asks::AndGets(P256)).talk();
    let tls = read(&client, &server).unwrap();
    assert_eq!(tls.version.as_deref(), Some("TLS1.3"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    assert_eq!(tls.client_certificate, ClientCertificate::Invisible);
    assert_eq!((tls.alpn, tls.certificate, tls.client_identity), (None, None, None));
}

#[test]
fn a_resumed_session_says_nothing_of_certificates() {
    for version in [TLS12, TLS13] {
        for asks in [Asks::Not, Asks::InVain, Asks::AndGets(P256)] {
            let ends = Ends::new(version, asks);
            ends.talk();
            let (client, server) = ends.talk();
            let tls = read(&client, &server).unwrap();
            assert_eq!(tls.resumed, Some(true), "{version:?} {asks:?}");
            assert_eq!(tls.mutual, Mutual::Unknown, "{version:?} {asks:?}");
            assert!(tls.answered && tls.protected);
        }
    }
}

#[test]
fn a_second_hello_changes_nothing_but_the_group() {
    let (first, second) = (ring::kx_group::X25519, ring::kx_group::SECP384R1);
    for (asks, mutual) in [(Asks::Not, Mutual::OneWay), (Asks::AndGets(P256), Mutual::Mutual)] {
        let (client, server) = Ends::with_groups(TLS13, asks, &[first, second], &[second]).talk();
        let tls = read(&client, &server).unwrap();
        assert_eq!(tls.group.as_deref(), Some("secp384r1"));
        assert_eq!(tls.sni.as_deref(), Some(NAME));
        assert_eq!((tls.resumed, tls.mutual), (Some(false), mutual));
        let retry = records(&server).next().unwrap();
        let retried = read(&client, &server[..5 + retry.length]).unwrap();
        assert_eq!((retried.version.as_deref(), retried.resumed), (Some("TLS1.3"), None));
        assert!(!retried.protected || retried.mutual == Mutual::Unknown);
    }
}

#[test]
fn a_hello_may_be_cut_into_records_anywhere() {
    for version in [TLS12, TLS13] {
        let (client, server) = Ends::new(version, Asks::AndGets(P256)).talk();
        let expect = read(&client, &server);
        let recut = |bytes: &[u8], at: usize| {
            let first = records(bytes).next().unwrap();
            let (one, two) = first.payload.split_at(at);
            [&record(22, one)[..], &record(22, two), &bytes[5 + first.length..]].concat()
        };
        for at in 1..records(&client).next().unwrap().length {
            assert_eq!(read(&recut(&client, at), &server), expect, "{version:?} {at}");
        }
        for at in 1..records(&server).next().unwrap().length {
            assert_eq!(read(&client, &recut(&server, at)), expect, "{version:?} {at}");
        }
    }
}

#[test]
fn a_hello_may_come_in_records_of_a_few_bytes() {
    let (client, server) = Ends::new(TLS12, Asks::Not).talk();
    let expect = read(&client, &server);
    let first = records(&client).next().unwrap();
    let tiny: Vec<u8> = first.payload.chunks(2).flat_map(|piece| record(22, piece)).collect();
    assert_eq!(read(&[&tiny[..], &client[5 + first.length..]].concat(), &server), expect);
}

/// Whatever was not seen, nothing is claimed that all of it would take back.
#[test]
fn what_is_cut_claims_no_more_than_the_whole() {
    for version in [TLS12, TLS13] {
        for asks in [Asks::Not, Asks::InVain, Asks::AndGets(P256)] {
            let (client, server) = Ends::new(version, asks).talk();
            let whole = read(&client, &server).unwrap();
            let agrees = |cut: Option<Tls>| {
                let Some(cut) = cut else { return };
                assert!(cut.mutual == Mutual::Unknown || cut.mutual == whole.mutual, "{cut:?}");
                assert!(cut.sni.is_none() || cut.sni == whole.sni);
                assert!(cut.certificate.is_none() || cut.certificate == whole.certificate);
                assert!(!cut.answered || cut.version.is_none() || cut.version == whole.version);
            };
            for at in 0..client.len() {
                agrees(read(&client[..at], &server));
            }
            for at in 0..server.len() {
                agrees(read(&client, &server[..at]));
            }
        }
    }
}

#[test]
fn one_direction_is_better_than_none() {
    for version in [TLS12, TLS13] {
        let (client, server) = Ends::new(version, Asks::Not).talk();
        let asked = read(&client, &[]).unwrap();
        assert_eq!((asked.sni.as_deref(), asked.version), (Some(NAME), None), "{version:?}");
        assert!(asked.answered && asked.protected, "{version:?}");
        let answer = read(&[], &server).unwrap();
        assert!(answer.cipher.is_some() && answer.protected && answer.sni.is_none());
    }
}

#[test]
fn a_hello_alone_is_not_answered() {
    let (client, _) = Ends::new(TLS13, Asks::Not).talk();
    let hello = &client[..5 + records(&client).next().unwrap().length];
    let answers: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[21, 3, 3, 0, 2, 2, 70],
        b"-ERR unknown command",
    ];
    for answer in answers {
        let tls = read(hello, answer).unwrap();
        assert!(!tls.answered && !tls.protected, "{answer:x?}");
        assert_eq!((tls.version.as_deref(), tls.cipher), (Some("TLS1.3"), None));
        assert_eq!((tls.mutual, tls.resumed), (Mutual::Unknown, None));
        assert_eq!(tls.client_certificate, ClientCertificate::Unknown);
    }
}

#[test]
fn an_alert_protects_nothing() {
    let (client, server) = Ends::new(TLS12, Asks::Not).talk();
    let cut = |bytes: &[u8], kind| -> Vec<u8> {
        let before = records(bytes).take_while(|record| record.kind != kind);
        bytes[..before.map(|record| 5 + record.length).sum()].to_vec()
    };
    let alert = [21, 3, 3, 0, 2, 2, 40];
    let hellos = cut(&server, Kind::ChangeCipherSpec);
    let tls = read(&cut(&client, Kind::ApplicationData), &[&hellos[..], &alert].concat()).unwrap();
    assert!(tls.answered && !tls.protected, "one Finished, met by an alert");
    assert!(read(&client, &hellos).unwrap().protected, "data");
    let both = read(&cut(&client, Kind::ApplicationData), &cut(&server, Kind::ApplicationData));
    assert!(both.unwrap().protected, "Finished of both");
}

#[test]
fn versions_have_their_names() {
    let check = |hello: Vec<u8>, expect: Option<&str>| {
        assert_eq!(read(&[], &hello).unwrap().version.as_deref(), expect);
        let offered = client_hello(0x0303, &[]);
        assert_eq!(read(&offered, &hello).unwrap().version.as_deref(), expect);
    };
    check(server_hello(0x0300, 5, &[]), Some("SSLv3"));
    check(server_hello(0x0301, 5, &[]), Some("TLS1.0"));
    check(server_hello(0x0302, 5, &[]), Some("TLS1.1"));
    check(server_hello(0x0303, 5, &[]), Some("TLS1.2"));
    check(server_hello(0x0303, 0x1301, &[(43, &[3, 4])]), Some("TLS1.3"));
    check(server_hello(0x0303, 0x1301, &[(43, &[0x7f, 28])]), Some("TLS1.3"));
    check(server_hello(0x0999, 0x1301, &[]), None);
    // Up to draft 21: no session, no compression.
    let body = [&[0x7f, 18][..], &[9; 32], &[0x13, 1], &extensions(&[(40, &[0, 29, 0, 0])])];
    let tls = read(&[], &record(22, &message(2, &body.concat()))).unwrap();
    assert_eq!(tls.version.as_deref(), Some("TLS1.3"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS_AES_128_GCM_SHA256"));
    assert_eq!(tls.group.as_deref(), Some("x25519"));
}

#[test]
fn what_was_offered_is_the_highest_version() {
    let check = |hello: Vec<u8>, expect: &str| {
        assert_eq!(read(&hello, &[]).unwrap().version.as_deref(), Some(expect));
    };
    check(client_hello(0x0300, &[]), "SSLv3");
    check(client_hello(0x0303, &[]), "TLS1.2");
    check(client_hello(0x0303, &[(43, &[6, 0x3a, 0x3a, 3, 3, 3, 4])]), "TLS1.3");
    check(client_hello(0x0303, &[(43, &[2, 3, 2])]), "TLS1.1");
}

#[test]
fn grease_is_left_out() {
    let names = [&[0, 10, 2][..], &[0x4a, 0x4a], &[2], b"h2", &[3], b"foo"].concat();
    let hello = client_hello(0x0303, &[(0x8a8a, &[0]), (16, &names), (0xfe0d, &[0])]);
    let tls = read(&hello, &[]).unwrap();
    assert_eq!(tls.alpn_offered, ["h2", "foo"]);
    assert!(tls.ech);
}

#[test]
fn hybrid_groups_are_marked() {
    let check = |group: [u8; 2], name: &str, is_hybrid| {
        let share: &[(u16, &[u8])] = &[(43, &[3, 4]), (51, &group)];
        let tls = read(&[], &server_hello(0x0303, 0x1302, share)).unwrap();
        assert_eq!((tls.group.as_deref(), tls.post_quantum), (Some(name), is_hybrid));
    };
    check([0x11, 0xec], "X25519MLKEM768", true);
    check([0x63, 0x99], "X25519Kyber768Draft00", true);
    check([0, 29], "x25519", false);
}

#[test]
fn a_prime_without_a_name_has_its_length() {
    let prime = [&[0, 128, 0x80][..], &[1; 127], &[0, 1, 2]].concat();
    let hello = server_hello(0x0301, 0x0033, &[]);
    let tls = read(&[], &[hello, record(22, &message(12, &prime))].concat()).unwrap();
    assert_eq!(tls.group.as_deref(), Some("DH 1024"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS_DHE_RSA_WITH_AES_128_CBC_SHA"));
}

#[test]
fn a_client_is_asked_before_the_server_is_done() {
    let check = |server: &[u8], client: &[u8], expect| {
        let hello = client_hello(0x0301, &[]);
        let server = [server_hello(0x0301, 0x002f, &[]), record(22, server)].concat();
        let client = [&hello[..], client].concat();
        assert_eq!(read(&client, &server).unwrap().client_certificate, expect);
    };
    let (request, done) = (message(13, &[0, 0, 0]), message(14, &[]));
    let both = [&request[..], &done].concat();
    check(&request, &[], ClientCertificate::Requested);
    check(&done, &[], ClientCertificate::NotRequested);
    check(&both, &[], ClientCertificate::Requested);
    check(&both, &record(22, &message(11, &[0, 0, 0])), ClientCertificate::RequestedEmpty);
    check(&both, &record(21, &[1, 41]), ClientCertificate::RequestedEmpty);
    check(&both, &record(22, &message(11, &[0, 4, 0, 0, 3])), ClientCertificate::Presented);
    check(&message(11, &[0, 0, 0]), &[], ClientCertificate::Unknown);
}

/// A certificate without the proof that comes with it proves nothing.
#[test]
fn a_certificate_is_not_a_proof() {
    let (client, server) = Ends::new(TLS12, Asks::AndGets(P256)).talk();
    let flight = Flight::read(&client);
    let clear = flight.messages().filter(|sent| sent.kind != flight::kind::CERTIFICATE_VERIFY);
    let clear: Vec<u8> = clear.flat_map(|sent| message(sent.kind, sent.body)).collect();
    let tls = read(&record(22, &clear), &server).unwrap();
    assert_eq!(tls.client_certificate, ClientCertificate::Presented);
    assert_eq!(tls.mutual, Mutual::Unknown);
}

#[test]
fn the_hello_of_sslv2_is_read() {
    let hello = |version: [u8; 2]| {
        let lengths = [0, 6, 0, 0, 0, 16];
        [&[0x80, 31, 1][..], &version, &lengths, &[0, 0, 5, 1, 0, 0x80], &[7; 16]].concat()
    };
    let tls = read(&hello([3, 1]), &[]).unwrap();
    assert_eq!((tls.version.as_deref(), tls.answered), (Some("TLS1.0"), false));
    let tls = read(&hello([3, 3]), &server_hello(0x0302, 5, &[])).unwrap();
    assert_eq!((tls.version.as_deref(), tls.answered), (Some("TLS1.1"), true));
    let answer = [&[0x80, 30, 4, 0, 1, 0, 2][..], &[0, 0, 0, 3, 0, 16], &[1, 0, 0x80], &[7; 16]];
    let tls = read(&hello([0, 2]), &answer.concat()).unwrap();
    assert_eq!((tls.version.as_deref(), tls.answered), (Some("SSLv2"), true));
    assert_eq!(read(&hello([9, 9]), &[]), None);
    let mut longer = hello([3, 1]);
    longer[1] += 1;
    assert_eq!(read(&longer, &[]), None, "lengths do not add up");
}

#[test]
fn what_is_no_handshake_is_none() {
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n", &[23, 3, 3, 0, 2, 1, 2], &[22, 3, 3, 0, 1, 1]] {
        assert_eq!(read(bytes, &[]), None, "{bytes:x?}");
        assert_eq!(read(&[], bytes), None, "{bytes:x?}");
    }
}

#[test]
fn meshes_are_recognised() {
    let check = |tls: Tls, expect| assert_eq!(tls.mesh(), expect, "{tls:?}");
    let sni = |name: &str| Tls { sni: Some(name.into()), ..Tls::default() };
    let offers = |name: &str| Tls { alpn_offered: vec![name.into()], ..Tls::default() };
    check(sni("web.shop.serviceaccount.identity.linkerd.cluster.local"), Some("linkerd"));
    check(offers("transport.l5d.io/v1"), Some("linkerd"));
    check(sni("outbound_.80_._.api.shop.svc.cluster.local"), Some("istio"));
    check(sni("outbound_.80_.v2_.api.shop.svc.cluster.local"), Some("istio"));
    check(offers("istio"), Some("istio"));
    check(offers("istio-peer-exchange"), Some("istio"));
    check(sni("outbound_.example.org"), None);
    check(sni("serviceaccount.identity.example.org"), None);
    check(offers("h2"), None);
    check(Tls::default(), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        client in prop::collection::vec(any::<u8>(), 0..400),
        server in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        read(&client, &server);
        read(&record(22, &client), &record(22, &server));
        read(&record(22, &message(1, &client)), &record(22, &message(2, &server)));
        read(&[], &record(22, &message(11, &server)));
    }
}

#[test]
fn changed_bytes_are_read() {
    let (client, server) = Ends::new(TLS12, Asks::AndGets(P256)).talk();
    let mut runner = proptest::test_runner::TestRunner::default();
    let changes = prop::collection::vec((0..client.len().min(server.len()), any::<u8>()), 1..20);
    let result = runner.run(&changes, |changes| {
        let (mut client, mut server) = (client.clone(), server.clone());
        for (at, byte) in changes {
            client[at] = byte;
            server[at] ^= byte;
        }
        read(&client, &server);
        Ok(())
    });
    result.unwrap();
}
