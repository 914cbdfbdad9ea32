//! Policies and states as the kernel writes them, and what they do together.

use super::*;
use crate::discover::netlink::bytes::attribute;

const HERE: &str = "10.1.0.1";
const THERE: &str = "10.2.0.2";

/// A policy's or a state's selector.
fn selector(from: &str, to: &str, protocol: u8, port: u16) -> Vec<u8> {
    let net = |text: &str| -> (IpAddr, u8) {
        let (ip, bits) = text.split_once('/').unwrap();
        (ip.parse().unwrap(), bits.parse().unwrap())
    };
    let ((from, from_bits), (to, to_bits)) = (net(from), net(to));
    let mut body = [bytes(to), bytes(from)].concat();
    body.extend(port.to_be_bytes());
    body.extend(if port == 0 { [0; 2] } else { [0xff; 2] });
    body.extend([0; 4]);
    body.extend(family_of(to).to_ne_bytes());
    body.extend([to_bits, from_bits, protocol]);
    body.resize(56, 0);
    body
}

fn policy(selector: &[u8], priority: u32, dir: u8, action: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = selector.to_vec();
    body.resize(152, 0);
    body.extend(priority.to_ne_bytes());
    body.extend([0; 4]);
    body.extend([dir, action]);
    body.resize(POLICY, 0);
    [body, attributes.concat()].concat()
}

fn template(protocol: u8, to: &str, request: u32, mode: u8, is_optional: bool) -> Vec<u8> {
    let to: IpAddr = to.parse().unwrap();
    let mut body = bytes(to).to_vec();
    body.extend([0; 4]);
    body.push(protocol);
    body.resize(24, 0);
    body.extend(family_of(to).to_ne_bytes());
    body.resize(44, 0);
    body.extend(request.to_ne_bytes());
    body.extend([mode, 0, is_optional.into()]);
    body.resize(TEMPLATE, 0);
    body
}

fn esp(to: &str, request: u32, mode: u8) -> Vec<u8> {
    attribute(TEMPLATES, &template(ESP, to, request, mode, false))
}

/// A state with this algorithm and a key that must not be looked at.
fn state(to: &str, request: u32, mode: u8, kind: u16, algorithm: &str) -> Vec<u8> {
    let to: IpAddr = to.parse().unwrap();
    let mut body = vec![0; 56];
    body.extend(bytes(to));
    body.extend([0, 0, 1, 0, ESP]);
    body.resize(208, 0);
    body.extend(request.to_ne_bytes());
    body.extend(family_of(to).to_ne_bytes());
    body.push(mode);
    body.resize(STATE, 0);
    let mut value = algorithm.as_bytes().to_vec();
    value.resize(NAME, 0);
    value.extend(128_u32.to_ne_bytes());
    value.extend([0xee; 16]);
    if !algorithm.is_empty() {
        body.extend(attribute(kind, &value));
    }
    body
}

fn packets() -> Packets {
    let (from, to) = (Some(HERE.parse().unwrap()), THERE.parse().unwrap());
    Packets { from, to, is_forwarded: false, if_id: 0 }
}

fn treated(policies: &[Vec<u8>], states: &[Vec<u8>], packets: &Packets) -> Treatment {
    let policies: Vec<Policy> =
        policies.iter().filter_map(|body| Policy::parse(body).unwrap()).collect();
    treat(&policies, packets, || states.iter().map(|body| State::parse(body)).collect())
}

fn encrypted(cipher: &str) -> Treatment {
    Treatment::Encrypted(cipher.to_owned())
}

fn unclear(why: &str) -> Treatment {
    Treatment::Unclear(why.to_owned())
}

const GCM: &str = "rfc4106(gcm(aes))";

#[test]
fn esp_with_a_cipher_encrypts() {
    let nets = selector("10.1.0.0/16", "10.2.0.0/16", 0, 0);
    let tunnel = policy(&nets, 7, OUT, 0, &[esp("192.0.2.9", 42, 1)]);
    let check = |states: &[Vec<u8>], expect: Treatment| {
        assert_eq!(treated(core::slice::from_ref(&tunnel), states, &packets()), expect);
    };
    check(&[state("192.0.2.9", 42, 1, ALG_AEAD, GCM)], encrypted(GCM));
    check(&[state("192.0.2.9", 42, 1, ALG_CRYPT, "cbc(aes)")], encrypted("cbc(aes)"));
    let no_state = unclear("there is a policy of IPsec and no state for it");
    check(&[], no_state.clone());
    check(&[state("192.0.2.8", 42, 1, ALG_AEAD, GCM)], no_state.clone());
    check(&[state("192.0.2.9", 43, 1, ALG_AEAD, GCM)], no_state.clone());
    check(&[state("192.0.2.9", 42, 0, ALG_AEAD, GCM)], no_state.clone());
    // One that is being negotiated.
    check(&[state("192.0.2.9", 42, 1, ALG_AEAD, "")], no_state);
}

#[test]
fn what_hides_nothing_is_not_encryption() {
    let host = selector("10.1.0.1/32", "10.2.0.2/32", 0, 0);
    let transport = policy(&host, 7, OUT, 0, &[esp("0.0.0.0", 0, 0)]);
    let check = |kind: u16, algorithm: &str, expect: Treatment| {
        let good = state(THERE, 1, 0, ALG_AEAD, GCM);
        let states = [good, state(THERE, 2, 0, kind, algorithm)];
        let policies = core::slice::from_ref(&transport);
        assert_eq!(treated(policies, &states, &packets()), expect, "{algorithm}");
    };
    let hollow = |name: &str| unclear(&format!("IPsec hides nothing: {name}"));
    check(ALG_AEAD, "rfc7539esp(chacha20,poly1305)", encrypted(GCM));
    check(ALG_CRYPT, "ecb(cipher_null)", hollow("ecb(cipher_null)"));
    check(ALG_CRYPT, "cbc(des)", hollow("cbc(des)"));
    check(ALG_CRYPT, "cbc(des3_ede)", encrypted(GCM));
    check(ALG_AEAD, "rfc4543(gcm(aes))", hollow("rfc4543(gcm(aes))"));
    check(ALG_AUTH, "hmac(sha256)", hollow("cipher_null"));
}

#[test]
fn what_does_not_insist_does_not_count() {
    let host = selector("10.1.0.1/32", "10.2.0.2/32", 0, 0);
    let states = [state(THERE, 0, 0, ALG_AEAD, GCM)];
    let check = |action, templates: &[Vec<u8>], expect: Treatment| {
        let attributes = match templates {
            [] => vec![],
            some => vec![attribute(TEMPLATES, &some.concat())],
        };
        let policies = [policy(&host, 7, OUT, action, &attributes)];
        assert_eq!(treated(&policies, &states, &packets()), expect);
    };
    let vague = unclear("the policy of IPsec does not insist on encryption");
    let (ah, comp) = (libc::IPPROTO_AH as u8, libc::IPPROTO_COMP as u8);
    let of = |protocol, is_optional| template(protocol, "0.0.0.0", 0, 0, is_optional);
    check(0, &[], Treatment::Untouched);
    check(BLOCK, &[], unclear("a policy of IPsec refuses them"));
    check(0, &[of(ah, false)], vague.clone());
    check(0, &[of(ESP, true)], vague);
    check(0, &[of(comp, true), of(ESP, false), of(ah, false)], encrypted(GCM));
}

#[test]
fn the_first_that_covers_all_decides() {
    let states = [state(THERE, 0, 0, ALG_AEAD, GCM)];
    let sealed =
        |selector: &[u8], priority| policy(selector, priority, OUT, 0, &[esp("0.0.0.0", 0, 0)]);
    let bare = |selector: &[u8], priority| policy(selector, priority, OUT, 0, &[]);
    let check = |policies: &[Vec<u8>], expect: Treatment| {
        assert_eq!(treated(policies, &states, &packets()), expect);
    };
    let all = selector("0.0.0.0/0", "0.0.0.0/0", 0, 0);
    let part = unclear("a policy of IPsec is about some of them");
    check(&[], Treatment::Untouched);
    check(&[sealed(&all, 9)], encrypted(GCM));
    check(&[sealed(&all, 9), bare(&all, 8)], Treatment::Untouched);
    check(&[sealed(&all, 8), bare(&all, 9)], encrypted(GCM));
    let twice = unclear("two policies of IPsec have the same priority");
    check(&[sealed(&all, 9), bare(&all, 9)], twice);
    for (protocol, port) in [(6, 0), (0, 443), (17, 53)] {
        let narrow = selector("0.0.0.0/0", "0.0.0.0/0", protocol, port);
        check(&[sealed(&all, 9), bare(&narrow, 8)], part.clone());
        check(&[sealed(&all, 8), bare(&narrow, 9)], encrypted(GCM));
        check(&[sealed(&narrow, 8)], part.clone());
    }
    let icmp = selector("0.0.0.0/0", "0.0.0.0/0", 1, 0);
    check(&[sealed(&all, 9), bare(&icmp, 8)], encrypted(GCM));
    for (from, to) in [("10.9.0.0/16", "10.2.0.0/16"), ("10.1.0.0/16", "10.3.0.0/16")] {
        check(&[sealed(&selector(from, to, 0, 0), 9)], Treatment::Untouched);
    }
    check(&[sealed(&selector("::/0", "::/0", 0, 0), 9)], Treatment::Untouched);
    // Of packets that come in, and of what passes through.
    for dir in [0, 2] {
        check(&[policy(&all, 9, dir, 0, &[esp("0.0.0.0", 0, 0)])], Treatment::Untouched);
    }
    let marked = |value: u32| attribute(MARK, &[value.to_ne_bytes(), [0xff; 4]].concat());
    check(&[policy(&all, 9, OUT, 0, &[esp("0.0.0.0", 0, 0), marked(7)])], part.clone());
    check(&[policy(&all, 9, OUT, 0, &[esp("0.0.0.0", 0, 0), marked(0)])], encrypted(GCM));
    let sub = attribute(POLICY_TYPE, &[1, 0, 0, 0]);
    check(&[policy(&all, 9, OUT, 0, &[esp("0.0.0.0", 0, 0), sub])], part);
}

#[test]
fn a_source_that_may_be_translated_is_not_relied_on() {
    let states = [state(THERE, 0, 0, ALG_AEAD, GCM)];
    let check = |from: &str, packets: Packets, expect: Treatment| {
        let net = selector(from, "10.2.0.0/16", 0, 0);
        let policies = [policy(&net, 9, OUT, 0, &[esp("0.0.0.0", 0, 0)])];
        assert_eq!(treated(&policies, &states, &packets), expect, "{from} {packets:?}");
    };
    let forwarded = Packets { is_forwarded: true, ..packets() };
    let nowhere = Packets { from: None, ..packets() };
    let part = unclear("a policy of IPsec is about some of them");
    for packets in [forwarded, nowhere] {
        check("0.0.0.0/0", packets, encrypted(GCM));
        check("10.1.0.0/16", packets, part.clone());
        check("10.9.0.0/16", packets, part.clone());
    }
}

#[test]
fn an_interface_has_policies_of_its_own() {
    let all = selector("0.0.0.0/0", "0.0.0.0/0", 0, 0);
    let own = |id: u32| attribute(IF_ID, &id.to_ne_bytes());
    let policies = [policy(&all, 9, OUT, 0, &[esp("0.0.0.0", 0, 0), own(42)])];
    let states = [[state(THERE, 0, 0, ALG_AEAD, GCM), own(42)].concat()];
    let by = |if_id| Packets { if_id, ..packets() };
    assert_eq!(treated(&policies, &states, &by(42)), encrypted(GCM));
    assert_eq!(treated(&policies, &states, &by(43)), Treatment::Untouched);
    assert_eq!(treated(&policies, &states, &by(0)), Treatment::Untouched);
}

#[test]
fn networks_hold_addresses() {
    let check = |net: &str, ip: &str, expect: bool| {
        let (address, bits) = net.split_once('/').unwrap();
        let network =
            Network { address: bytes(address.parse().unwrap()), bits: bits.parse().unwrap() };
        assert_eq!(network.contains(ip.parse().unwrap()), expect, "{net} {ip}");
    };
    check("10.1.0.0/16", "10.1.255.255", true);
    check("10.1.0.0/16", "10.2.0.0", false);
    check("10.1.2.3/32", "10.1.2.3", true);
    check("10.1.2.3/32", "10.1.2.2", false);
    check("0.0.0.0/0", "255.255.255.255", true);
    check("fd00::/8", "fdff::1", true);
    check("fd00::1/128", "fd00::2", false);
    check("fd00::1/255", "fd00::2", false);
}

#[test]
fn what_is_cut_is_an_error() {
    let all = selector("0.0.0.0/0", "0.0.0.0/0", 0, 0);
    let whole = policy(&all, 9, OUT, 0, &[esp("0.0.0.0", 0, 0)]);
    for end in (0..whole.len()).filter(|end| *end != POLICY) {
        assert!(Policy::parse(&whole[..end]).is_err(), "{end}");
    }
    let whole = state(THERE, 0, 0, ALG_AEAD, GCM);
    for end in (0..whole.len()).filter(|end| *end != STATE) {
        assert!(State::parse(&whole[..end]).is_err(), "{end}");
    }
    let short = state(THERE, 0, 0, ALG_AEAD, GCM);
    let body = [&short[..STATE], &attribute(ALG_AEAD, &[b'a'; NAME - 1])].concat();
    assert!(State::parse(&body).is_err());
}
