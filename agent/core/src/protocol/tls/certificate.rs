//! What a certificate says (RFC 5280), read with a kept X.509 crate.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;

use jiff::Timestamp;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{Any, ObjectIdentifier, Uint};
use x509_cert::der::{Decode as _, Tag, TagNumber, Tagged as _};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use super::Certificate;

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Keys whose algorithm says everything.
const KEYS: &[(ObjectIdentifier, &str)] = &[
    (ObjectIdentifier::new_unwrap("1.3.101.112"), "Ed25519"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"), "ML-DSA-44"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"), "ML-DSA-65"),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"), "ML-DSA-87"),
];

const CURVES: &[(ObjectIdentifier, &str)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1"), "P-192"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.33"), "P-224"),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), "P-256"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1"),
    (ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.7"), "brainpoolP256r1"),
    (ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.11"), "brainpoolP384r1"),
    (ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.13"), "brainpoolP512r1"),
    (ObjectIdentifier::new_unwrap("1.2.156.10197.1.301"), "SM2"),
];

/// Reads one certificate in DER. Some that are in use break a rule of RFC 5280 here or there, so
/// only what is needed has to be well-formed.
pub(super) fn read(der: &[u8]) -> Option<Certificate> {
    let certificate = CertificateInner::<Raw>::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    let validity = content.validity();
    let extensions = content.extensions().map(Vec::as_slice).unwrap_or_default();
    let names = extensions.iter().find(|extension| extension.extn_id == SUBJECT_ALT_NAME);
    let names = names.map(|extension| alternative_names(extension.extn_value.as_bytes()));
    Some(Certificate {
        subject: content.subject().to_string(),
        issuer: content.issuer().to_string(),
        names: names.unwrap_or_default(),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
        key: key(content.subject_public_key_info()),
        self_signed: content.subject() == content.issuer(),
    })
}

fn time(time: Time) -> Option<Timestamp> {
    Timestamp::from_second(time.to_unix_duration().as_secs().try_into().ok()?).ok()
}

/// Names of a subjectAltName extension (RFC 5280, section 4.2.1.6): those of hosts, addresses,
/// people and services. A name of another kind is left out.
fn alternative_names(der: &[u8]) -> Vec<String> {
    let names = Vec::<Any>::from_der(der).unwrap_or_default();
    names.iter().filter_map(alternative_name).collect()
}

fn alternative_name(name: &Any) -> Option<String> {
    const RFC822_NAME: TagNumber = TagNumber(1);
    const DNS_NAME: TagNumber = TagNumber(2);
    const URI: TagNumber = TagNumber(6);
    const IP_ADDRESS: TagNumber = TagNumber(7);
    let Tag::ContextSpecific { number, .. } = name.tag() else { return None };
    match number {
        RFC822_NAME | DNS_NAME | URI => Some(String::from_utf8_lossy(name.value()).into_owned()),
        IP_ADDRESS => address(name.value()).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A key in words: its algorithm, and its size or curve.
fn key(info: &SubjectPublicKeyInfoOwned) -> String {
    let algorithm = info.algorithm.oid;
    let parameters = info.algorithm.parameters.as_ref();
    match algorithm {
        RSA | RSA_PSS => sized("RSA", Vec::<Uint>::from_der(info.subject_public_key.raw_bytes())),
        DSA => sized("DSA", parameters.map_or(Ok(Vec::new()), Any::decode_as)),
        EC => match parameters.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok()) {
            Some(curve) => format!("EC {}", named(CURVES, curve)),
            None => "EC".into(),
        },
        _ => named(KEYS, algorithm),
    }
}

/// The size of a key is that of its first number: of the modulus, or of the prime.
fn sized(algorithm: &str, numbers: Result<Vec<Uint>, x509_cert::der::Error>) -> String {
    let numbers = numbers.unwrap_or_default();
    match numbers.first().map(|number| bits(number.as_bytes())) {
        Some(bits) => format!("{algorithm} {bits}"),
        None => algorithm.into(),
    }
}

/// How many bits a big-endian number has.
pub(super) fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let first = number.get(zeros).map_or(0, |byte| byte.leading_zeros());
    (8 * (number.len() - zeros)).saturating_sub(first as usize)
}

/// By its name, or else by its number.
fn named(names: &[(ObjectIdentifier, &str)], oid: ObjectIdentifier) -> String {
    let known = names.iter().find(|(known, _)| *known == oid);
    known.map_or_else(|| oid.to_string(), |(_, name)| (*name).into())
}
