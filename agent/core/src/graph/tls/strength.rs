//! How strong what a handshake negotiated is, by its IANA names.

/// What somebody on the way can do against it, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Strength {
    /// Read or change it: it encrypts nothing, authenticates nobody, or has a key that can be tried
    /// out.
    Broken,
    /// Read parts of it, with effort: known attacks, and standards forbid it.
    Weak,
    /// Read what was recorded, once the server's long-term key is known.
    NoForwardSecrecy,
    /// Nothing that is known. What has no rule is here: a name that is not known is no evidence.
    Sound,
}

/// Shortest finite-field group that counts as sound (RFC 9325, section 4.3), in bits.
const FINITE_FIELD: u32 = 2048;

/// Shortest elliptic curve that does (the same), in bits.
const CURVE: u32 = 224;

/// Older than TLS 1.2 is weak (RFC 8996); SSL is broken (RFC 6176, RFC 7568).
pub fn version(name: &str) -> Strength {
    match order_of_version(name) {
        0 | 1 => Strength::Broken,
        2 | 3 => Strength::Weak,
        _ => Strength::Sound,
    }
}

/// Versions from the oldest; DTLS 1.0 is TLS 1.1, and DTLS 1.2 is TLS 1.2. One that is not known
/// comes last.
pub(super) fn order_of_version(name: &str) -> u8 {
    match name {
        "SSLv2" => 0,
        "SSLv3" => 1,
        "TLS1.0" => 2,
        "TLS1.1" | "DTLS1.0" => 3,
        "TLS1.2" | "DTLS1.2" => 4,
        "TLS1.3" | "DTLS1.3" => 5,
        _ => 6,
    }
}

/// A cipher suite by its name.
///
/// * Broken: no encryption (NULL, and the suites of RFC 9150 that only authenticate), no
///   authentication (anon), keys of 40 or 56 bits (EXPORT, DES).
/// * Weak: RC4 (RFC 7465), and RC2, IDEA and 3DES, whose blocks of 64 bits repeat within a day's
///   traffic.
/// * No forward secrecy: RSA key transport, static Diffie-Hellman, PSK alone (RFC 9325, section
///   4.1).
///
/// CBC is none of these: its attacks are on how it is implemented and on versions before 1.2, which
/// are weak for themselves, and whether the ends agreed on encrypt-then-MAC (RFC 7366) is not
/// a part of the name.
pub fn cipher(name: &str) -> Strength {
    let has = |word: &str| name.split('_').any(|part| part == word);
    let is_any = |words: &[&str]| words.iter().any(|word| has(word));
    let only_authenticates = matches!(name, "TLS_SHA256_SHA256" | "TLS_SHA384_SHA384");
    if is_any(&["NULL", "anon", "EXPORT", "EXPORT1024", "DES", "DES40"]) || only_authenticates {
        Strength::Broken
    } else if is_any(&["RC4", "RC2", "IDEA", "3DES"]) {
        Strength::Weak
    } else if exchanges_without_secrecy(name) {
        Strength::NoForwardSecrecy
    } else {
        Strength::Sound
    }
}

/// The name of the key exchange stands between `TLS_` and `_WITH_`; suites of TLS 1.3 have none.
fn exchanges_without_secrecy(name: &str) -> bool {
    let exchange = name.strip_prefix("TLS_").and_then(|rest| rest.split_once("_WITH_"));
    exchange.is_some_and(|(exchange, _)| {
        let first = exchange.split('_').next().unwrap_or_default();
        matches!(first, "RSA" | "DH" | "ECDH" | "PSK" | "KRB5")
    })
}

/// A group by its name: a finite field under 2048 bits (`ffdhe1024`, `DH 1024`) or a curve under
/// 224 (`secp192r1`, `sect163k1`) is weak.
pub fn group(name: &str) -> Strength {
    let lower = |prefix: &str| {
        let head = name.get(..prefix.len())?;
        let rest = name.get(prefix.len()..)?;
        head.eq_ignore_ascii_case(prefix).then_some(rest)
    };
    let field = ["ffdhe", "dhe", "dh"].iter().find_map(|prefix| lower(prefix));
    let curve = ["secp", "sect", "brainpoolP"].iter().find_map(|prefix| lower(prefix));
    let is_short = |rest: Option<&str>, least| rest.and_then(number).is_some_and(|n| n < least);
    // What is a finite field's is no curve's: their names begin otherwise.
    match is_short(field, FINITE_FIELD) || is_short(curve, CURVE) {
        true => Strength::Weak,
        false => Strength::Sound,
    }
}

/// The number that the text begins with, past what sets it off.
fn number(text: &str) -> Option<u32> {
    let text = text.trim_start_matches([' ', '-', '_']);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Strength::{Broken, NoForwardSecrecy, Sound, Weak};
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    #[test]
    fn versions_before_1_2_are_weak() {
        let check = |name: &str, expect| assert_eq!(version(name), expect, "{name}");
        check("SSLv2", Broken);
        check("SSLv3", Broken);
        check("TLS1.0", Weak);
        check("TLS1.1", Weak);
        check("DTLS1.0", Weak);
        check("TLS1.2", Sound);
        check("DTLS1.2", Sound);
        check("TLS1.3", Sound);
        check("TLS9.9", Sound);
    }

    #[test]
    fn suites_are_judged_by_their_names() {
        let check = |name: &str, expect| assert_eq!(cipher(name), expect, "{name}");
        check("TLS_NULL_WITH_NULL_NULL", Broken);
        check("TLS_ECDHE_RSA_WITH_NULL_SHA", Broken);
        check("TLS_SHA256_SHA256", Broken);
        check("TLS_DH_anon_WITH_AES_128_CBC_SHA", Broken);
        check("TLS_ECDH_anon_WITH_AES_256_CBC_SHA", Broken);
        check("TLS_RSA_EXPORT_WITH_RC4_40_MD5", Broken);
        check("TLS_RSA_EXPORT1024_WITH_RC4_56_SHA", Broken);
        check("TLS_RSA_WITH_DES_CBC_SHA", Broken);
        check("TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", Broken);
        check("TLS_RSA_WITH_RC4_128_SHA", Weak);
        check("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Weak);
        check("TLS_RSA_WITH_IDEA_CBC_SHA", Weak);
        check("TLS_RSA_WITH_AES_128_GCM_SHA256", NoForwardSecrecy);
        check("TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256", NoForwardSecrecy);
        check("TLS_PSK_WITH_AES_128_CCM_8", NoForwardSecrecy);
        check("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Sound);
        check("TLS_DHE_PSK_WITH_AES_128_GCM_SHA256", Sound);
        check("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Sound);
        check("TLS_AES_128_GCM_SHA256", Sound);
        check("0xfefe", Sound);
        check("", Sound);
    }

    #[test]
    fn short_groups_are_weak() {
        let check = |name: &str, expect| assert_eq!(group(name), expect, "{name}");
        check("DH 512", Weak);
        check("DH 1024", Weak);
        check("dhe-1024", Weak);
        check("ffdhe1536", Weak);
        check("ffdhe2048", Sound);
        check("DH 4096", Sound);
        check("secp192r1", Weak);
        check("sect163k1", Weak);
        check("secp160r1", Weak);
        check("secp256r1", Sound);
        check("brainpoolP256r1", Sound);
        check("x25519", Sound);
        check("X25519MLKEM768", Sound);
        check("größe", Sound);
        check("DH 99999999999999", Sound);
    }

    proptest! {
        #[test]
        fn any_text_has_a_strength(text in any::<String>()) {
            let _ = (version(&text), cipher(&text), group(&text));
        }
    }
}
