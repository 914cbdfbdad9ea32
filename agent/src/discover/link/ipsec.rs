//! What IPsec does to packets that leave one network namespace: its policies, and the states that
//! carry them out (ip-xfrm(8), include/uapi/linux/xfrm.h).
//!
//! A policy alone is a wish. It counts where it covers all that goes from one address to another,
//! nothing stands before it, it asks for ESP without leave to do without, and the states that do it
//! have a cipher that hides something.

use std::net::IpAddr;

use crate::discover::netlink::{
    Netlink, NetlinkError, Request, array, attributes, text, u8_at, u16_at, u32_at,
};

/// A policy for what leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    selector: Selector,
    /// The least goes first.
    priority: u32,
    blocks: bool,
    /// Whether it is about packets with a mark, or of a kind of its own.
    is_special: bool,
    if_id: u32,
    templates: Vec<Template>,
}

/// What a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Selector {
    family: u16,
    from: Network,
    to: Network,
    /// Whether it is about some ports, or one device, alone.
    is_partial: bool,
    /// 0 for every one.
    protocol: u8,
}

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: Address,
    bits: u8,
}

/// The 16 bytes that hold one; of IPv4 the first four.
type Address = [u8; 16];

/// What a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Template {
    protocol: u8,
    to: Address,
    family: u16,
    request: u32,
    mode: u8,
    /// Whether packets go without it where there is no state.
    is_optional: bool,
}

/// A state: how packets to one address are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    to: Address,
    family: u16,
    request: u32,
    mode: u8,
    if_id: u32,
    /// Its cipher; none for one that is being negotiated.
    cipher: Option<String>,
}

/// Packets in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packets {
    pub(super) from: Option<IpAddr>,
    pub(super) to: IpAddr,
    /// Whether they only pass through, so that their source may be translated.
    pub(super) is_forwarded: bool,
    /// Of the XFRM interface by which they leave; else 0.
    pub(super) if_id: u32,
}

/// What IPsec does to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Nothing.
    Untouched,
    /// They are encrypted, by this cipher.
    Encrypted(String),
    /// It cannot be told, for this reason.
    Unclear(String),
}

/// How well a policy fits packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    All,
    Some,
    None,
}

/// `XFRM_MSG_…`.
const GET_STATE: u16 = 0x12;
const NEW_STATE: u16 = 0x10;
const GET_POLICY: u16 = 0x15;
const NEW_POLICY: u16 = 0x13;

/// `XFRMA_…`.
const ALG_AUTH: u16 = 1;
const ALG_CRYPT: u16 = 2;
const TEMPLATES: u16 = 5;
const POLICY_TYPE: u16 = 16;
const ALG_AEAD: u16 = 18;
const ALG_AUTH_TRUNC: u16 = 20;
const MARK: u16 = 21;
const PROTO: u16 = 25;
const IF_ID: u16 = 31;

/// `XFRM_POLICY_OUT`, `XFRM_POLICY_BLOCK`.
const OUT: u8 = 1;
const BLOCK: u8 = 1;

const ESP: u8 = libc::IPPROTO_ESP as u8;
const TRANSPORTS: [u8; 3] = [0, libc::IPPROTO_TCP as u8, libc::IPPROTO_UDP as u8];

/// `XFRM_MODE_TUNNEL`, `XFRM_MODE_BEET`: the outer address is the template's.
const TUNNELS: [u8; 2] = [1, 4];

/// `struct xfrm_userpolicy_info`, `xfrm_usersa_info`, `xfrm_user_tmpl`.
const POLICY: usize = 168;
const STATE: usize = 224;
const TEMPLATE: usize = 64;

/// How long an algorithm's name can be; its key follows.
const NAME: usize = 64;

/// Policies and states of a namespace that are read.
const MOST: usize = 16_384;

/// Ciphers that hide nothing, or nothing for long: of no cipher, of proof alone (RFC 4543), of 56
/// bits.
const HOLLOW: [&str; 3] = ["cipher_null", "rfc4543", "cbc(des)"];

// === impl Policy ===

impl Policy {
    /// None for one that is not about what leaves.
    fn parse(body: &[u8]) -> Result<Option<Self>, NetlinkError> {
        if body.len() < POLICY {
            return Err(NetlinkError::Truncated);
        }
        let mut policy = Self {
            selector: Selector::parse(body)?,
            priority: u32_at(body, 152)?,
            blocks: u8_at(body, 161)? == BLOCK,
            is_special: false,
            if_id: 0,
            templates: Vec::new(),
        };
        attributes(body, POLICY, |kind, value| {
            match kind {
                TEMPLATES => {
                    for bytes in value.chunks(TEMPLATE) {
                        policy.templates.push(Template::parse(bytes)?);
                    }
                }
                // Packets without a mark have 0.
                MARK => policy.is_special |= u32_at(value, 0)? != 0,
                POLICY_TYPE => policy.is_special |= u8_at(value, 0)? != 0,
                IF_ID => policy.if_id = u32_at(value, 0)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((u8_at(body, 160)? == OUT).then_some(policy))
    }

    fn fits(&self, packets: &Packets) -> Fit {
        let Selector { family, from, to, is_partial, protocol } = &self.selector;
        let is_other = self.if_id != packets.if_id || !TRANSPORTS.contains(protocol);
        // One of no family is about both.
        let is_family = [family_of(packets.to), 0].contains(family);
        if is_other || !is_family || !to.contains(packets.to) {
            return Fit::None;
        }
        let is_from = packets.from.map(|source| from.contains(source));
        let is_any = from.bits == 0;
        match is_from {
            Some(false) if !packets.is_forwarded => Fit::None,
            _ if *is_partial || *protocol != 0 || self.is_special => Fit::Some,
            Some(true) if !packets.is_forwarded => Fit::All,
            _ if is_any => Fit::All,
            _ => Fit::Some,
        }
    }

    fn treat(&self, packets: &Packets, states: &[State]) -> Treatment {
        let unclear = |why: &str| Treatment::Unclear(why.to_owned());
        if self.blocks {
            return unclear("a policy of IPsec refuses them");
        }
        if self.templates.is_empty() {
            return Treatment::Untouched;
        }
        let is_esp = |template: &&Template| template.protocol == ESP && !template.is_optional;
        let Some(template) = self.templates.iter().find(is_esp) else {
            return unclear("the policy of IPsec does not insist on encryption");
        };
        let ciphers = states.iter().filter(|state| self.is_done_by(template, state, packets));
        let ciphers: Vec<&str> = ciphers.filter_map(|state| state.cipher.as_deref()).collect();
        let is_hollow = |cipher: &&&str| HOLLOW.iter().any(|hollow| cipher.contains(hollow));
        match (ciphers.iter().find(is_hollow), ciphers.first()) {
            (Some(hollow), _) => Treatment::Unclear(format!("IPsec hides nothing: {hollow}")),
            (None, Some(cipher)) => Treatment::Encrypted((*cipher).to_owned()),
            (None, None) => unclear("there is a policy of IPsec and no state for it"),
        }
    }

    fn is_done_by(&self, template: &Template, state: &State, packets: &Packets) -> bool {
        let is_tunnel = TUNNELS.contains(&template.mode);
        let is_there = match is_tunnel {
            true => (state.to, state.family) == (template.to, template.family),
            false => state.is_to(packets.to),
        };
        let is_asked_for = template.request == 0 || template.request == state.request;
        is_there && is_asked_for && template.mode == state.mode && self.if_id == state.if_id
    }
}

// === impl Selector ===

impl Selector {
    fn parse(body: &[u8]) -> Result<Self, NetlinkError> {
        let network = |at, bits| {
            Ok::<_, NetlinkError>(Network { address: array(body, at)?, bits: u8_at(body, bits)? })
        };
        let masks = [u16_at(body, 34)?, u16_at(body, 38)?];
        Ok(Self {
            family: u16_at(body, 40)?,
            to: network(0, 42)?,
            from: network(16, 43)?,
            is_partial: masks != [0, 0] || u32_at(body, 48)? != 0,
            protocol: u8_at(body, 44)?,
        })
    }
}

// === impl Network ===

impl Network {
    /// Whether it holds an address of its own family.
    fn contains(&self, ip: IpAddr) -> bool {
        let (own, other) = (u128::from_be_bytes(self.address), u128::from_be_bytes(bytes(ip)));
        let unused = 128_u32.saturating_sub(self.bits.into());
        (own ^ other).checked_shr(unused).unwrap_or(0) == 0
    }
}

// === impl Template ===

impl Template {
    fn parse(bytes: &[u8]) -> Result<Self, NetlinkError> {
        Ok(Self {
            to: array(bytes, 0)?,
            protocol: u8_at(bytes, 20)?,
            family: u16_at(bytes, 24)?,
            request: u32_at(bytes, 44)?,
            mode: u8_at(bytes, 48)?,
            is_optional: u8_at(bytes, 50)? != 0,
        })
    }
}

// === impl State ===

impl State {
    fn parse(body: &[u8]) -> Result<Self, NetlinkError> {
        let mut state = Self {
            to: array(body, 56)?,
            request: u32_at(body, 208)?,
            family: u16_at(body, 212)?,
            mode: u8_at(body, 214)?,
            if_id: 0,
            cipher: None,
        };
        let mut is_ready = false;
        attributes(body, STATE, |kind, value| {
            match kind {
                // Behind the name stands the key, which is not looked at.
                ALG_CRYPT | ALG_AEAD => {
                    state.cipher = Some(text(value.get(..NAME).ok_or(NetlinkError::Truncated)?));
                }
                ALG_AUTH | ALG_AUTH_TRUNC => is_ready = true,
                IF_ID => state.if_id = u32_at(value, 0)?,
                _ => {}
            }
            Ok(())
        })?;
        if is_ready && state.cipher.is_none() {
            state.cipher = Some("cipher_null".to_owned());
        }
        Ok(state)
    }

    fn is_to(&self, ip: IpAddr) -> bool {
        self.family == family_of(ip) && self.to == bytes(ip)
    }
}

/// What these policies do to packets. States are asked for only where a policy needs one.
pub(super) fn treat(
    policies: &[Policy],
    packets: &Packets,
    states: impl FnOnce() -> Result<Vec<State>, NetlinkError>,
) -> Treatment {
    let fitting =
        |wanted: Fit| policies.iter().filter(move |policy| policy.fits(packets) == wanted);
    let first = fitting(Fit::All).map(|policy| policy.priority).min();
    let is_before = |policy: &&Policy| first.is_none_or(|first| policy.priority <= first);
    if fitting(Fit::Some).any(|policy| is_before(&policy)) {
        return Treatment::Unclear("a policy of IPsec is about some of them".to_owned());
    }
    let mut all = fitting(Fit::All).filter(|policy| Some(policy.priority) == first);
    let Some(policy) = all.next() else { return Treatment::Untouched };
    if all.next().is_some() {
        return Treatment::Unclear("two policies of IPsec have the same priority".to_owned());
    }
    if policy.templates.is_empty() {
        return policy.treat(packets, &[]);
    }
    match states() {
        Ok(states) => policy.treat(packets, &states),
        Err(error) => Treatment::Unclear(format!("the states of IPsec are not told: {error}")),
    }
}

/// Every policy for what leaves the conversation's namespace.
pub(super) fn policies(netlink: &Netlink) -> Result<Vec<Policy>, NetlinkError> {
    let mut found = Vec::new();
    netlink.ask(&Request::all(GET_POLICY, &[]), MOST, |kind, body| {
        if kind == NEW_POLICY {
            found.extend(Policy::parse(body)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Every state of ESP there.
pub(super) fn states(netlink: &Netlink) -> Result<Vec<State>, NetlinkError> {
    let mut found = Vec::new();
    let request = Request::all(GET_STATE, &[]).with(PROTO, &[ESP]);
    netlink.ask(&request, MOST, |kind, body| {
        // Before Linux 3.15 the filter is not known.
        if kind == NEW_STATE && u8_at(body, 76)? == ESP {
            found.push(State::parse(body)?);
        }
        Ok(())
    })?;
    Ok(found)
}

fn family_of(ip: IpAddr) -> u16 {
    match ip {
        IpAddr::V4(_) => libc::AF_INET as u16,
        IpAddr::V6(_) => libc::AF_INET6 as u16,
    }
}

fn bytes(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = Address::default();
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests;
