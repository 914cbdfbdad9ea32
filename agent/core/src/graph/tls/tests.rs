//! Tests of what handshakes add up to.

use super::*;
use crate::protocol::tls::ClientCertificate;
use alloc::format;
use alloc::vec;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn handshake(version: &str, cipher: &str) -> Tls {
    Tls {
        version: Some(version.into()),
        cipher: Some(cipher.into()),
        answered: true,
        protected: true,
        ..Tls::default()
    }
}

fn certificate(subject: &str, not_before: i64, not_after: i64) -> Certificate {
    Certificate {
        subject: subject.into(),
        issuer: "CN=ca".into(),
        names: vec!["db.example".into()],
        not_before: at(not_before),
        not_after: at(not_after),
        key: "EC P-256".into(),
        self_signed: false,
    }
}

fn folded(all: &[(Tls, i64)]) -> EdgeTls {
    let mut tls = EdgeTls::default();
    all.iter().for_each(|(one, second)| tls.fold(one, at(*second)));
    tls
}

#[test]
fn the_weakest_names_the_edge_and_all_are_counted() {
    let tls = folded(&[
        (handshake("TLS1.3", "TLS_AES_128_GCM_SHA256"), 1),
        (handshake("TLS1.0", "TLS_RSA_WITH_RC4_128_SHA"), 2),
        (handshake("TLS1.3", "TLS_AES_128_GCM_SHA256"), 3),
    ]);
    assert_eq!(tls.version.as_deref(), Some("TLS1.0"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS_RSA_WITH_RC4_128_SHA"));
    assert_eq!((tls.handshakes, tls.versions.counts["TLS1.3"]), (3, 2));
}

#[test]
fn what_nobody_answered_was_negotiated_by_nobody() {
    let offered =
        Tls { answered: false, sni: Some("a.example".into()), ..handshake("TLS1.0", "x") };
    let tls = folded(&[(offered, 1)]);
    assert_eq!((tls.handshakes, tls.unanswered, tls.version), (0, 1, None));
    assert_eq!(tls.sni.as_deref(), Some("a.example"));
}

#[test]
fn one_handshake_does_not_speak_for_all() {
    let check = |all: &[(Mutual, Basis)], expect: (Mutual, Basis)| {
        let all: Vec<(Tls, i64)> = all
            .iter()
            .map(|(mutual, mutual_basis)| {
                (
                    Tls {
                        mutual: *mutual,
                        mutual_basis: *mutual_basis,
                        ..handshake("TLS1.3", "x")
                    },
                    1,
                )
            })
            .collect();
        let tls = folded(&all);
        assert_eq!((tls.mutual, tls.mutual_basis), expect);
    };
    use Basis::{Inferred, Observed};
    use Mutual::{Mutual as Both, OneWay, RequestedNotGiven, Unknown};
    check(&[(Unknown, Observed)], (Unknown, Inferred));
    check(&[(Both, Observed), (Unknown, Inferred)], (Both, Observed));
    check(&[(Both, Observed), (Both, Inferred)], (Both, Inferred));
    check(&[(Both, Inferred), (OneWay, Observed)], (OneWay, Observed));
    check(&[(Both, Observed), (RequestedNotGiven, Inferred)], (RequestedNotGiven, Inferred));
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_old_one() {
    let with = |certificate| Tls { certificate: Some(certificate), ..handshake("TLS1.2", "x") };
    let old = with(certificate("CN=db", 0, 100));
    let new = with(certificate("CN=db", 90, 500));
    let other = with(certificate("CN=web", 0, 200));
    let tls = folded(&[(old, 10), (new, 95), (other, 20)]);
    let ends: Vec<Timestamp> =
        tls.server_certificates().map(|seen| seen.certificate.not_after).collect();
    assert_eq!((ends, tls.certificates), (vec![at(200), at(500)], 3));
}

#[test]
fn what_finds_no_room_is_counted() {
    let mut tls = EdgeTls::default();
    for n in 0..23 {
        let certificate = certificate(&format!("CN={n}"), 0, 100 + n);
        let sni = Some(format!("{n}.example"));
        let one = Tls { sni, certificate: Some(certificate), ..handshake("TLS1.2", "x") };
        tls.fold(&one, at(n));
    }
    assert_eq!((tls.snis.counts.len(), tls.snis.more), (MOST_SEEN, 7));
    assert_eq!(tls.server_certificates().count(), MOST_CERTIFICATES);
    assert_eq!(tls.certificates_dropped, 15);
    let long = Tls { sni: Some("x".repeat(70_000)), ..handshake("TLS1.2", "x") };
    let before = tls.clone();
    tls.fold(&long, at(1));
    assert_eq!(tls.snis, before.snis, "what is longer than a name is none");
}

fn any_tls() -> impl Strategy<Value = (Tls, i64)> {
    let version = prop::sample::select(vec!["TLS1.0", "TLS1.2", "TLS1.3", "other"]);
    let mutual =
        prop::sample::select(vec![Mutual::Mutual, Mutual::OneWay, Mutual::RequestedNotGiven]);
    let not_after = prop::option::of(100..103_i64);
    (version, mutual, not_after, any::<bool>(), 0..5_i64).prop_map(
        |(version, mutual, not_after, answered, second)| {
            let certificate = not_after.map(|not_after| certificate("CN=db", 0, not_after));
            let client_certificate = ClientCertificate::Invisible;
            let sni = Some(version.to_lowercase());
            let tls = handshake(version, "TLS_AES_128_GCM_SHA256");
            (Tls { sni, mutual, certificate, answered, client_certificate, ..tls }, second)
        },
    )
}

proptest! {
    #[test]
    fn another_order_gives_the_same(
        (all, shuffled) in prop::collection::vec(any_tls(), 0..12)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        prop_assert_eq!(folded(&all), folded(&shuffled));
    }
}
