//! Links that encrypt: WireGuard's devices, and IPsec's states and policies
//! (include/uapi/linux/{wireguard,xfrm}.h).

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use super::netlink::{Netlink, Request, index, link_header};

/// A key of WireGuard.
pub(super) type Key = [u8; 32];

/// Both keys of the two ends: those of the worked example of RFC 7748, section 6.1.
pub(super) const KEYS: [(Key, Key); 2] = [
    (
        [
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2,
            0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5,
            0x1d, 0xb9, 0x2c, 0x2a,
        ],
        [
            0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e,
            0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e,
            0xaa, 0x9b, 0x4e, 0x6a,
        ],
    ),
    (
        [
            0x5d, 0xab, 0x08, 0x7e, 0x62, 0x4a, 0x8a, 0x4b, 0x79, 0xe1, 0x7f, 0x8b, 0x83, 0x80,
            0x0e, 0xe6, 0x6f, 0x3b, 0xb1, 0x29, 0x26, 0x18, 0xb6, 0xfd, 0x1c, 0x2f, 0x8b, 0x27,
            0xff, 0x88, 0xe0, 0xeb,
        ],
        [
            0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4,
            0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78, 0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14,
            0x6f, 0x88, 0x2b, 0x4f,
        ],
    ),
];

/// One end of a tunnel.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) private: &'a Key,
    pub(super) peer: &'a Key,
    pub(super) port: u16,
    pub(super) peer_at: SocketAddrV4,
}

/// How IPsec is to protect packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// By ESP with AES-GCM, and not without.
    Required,
    /// By ESP where there is a state, of which there is none.
    IfPossible,
}

/// `WG_CMD_SET_DEVICE`, and `WGDEVICE_A_…`, `WGPEER_A_…`, `WGALLOWEDIP_A_…`.
const SET_DEVICE: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_PRIVATE_KEY: u16 = 3;
const DEVICE_PORT: u16 = 6;
const DEVICE_PEERS: u16 = 8;
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_ENDPOINT: u16 = 4;
const PEER_ALLOWED: u16 = 9;
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_BITS: u16 = 3;
const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// `XFRM_MSG_NEWSA`, `XFRM_MSG_NEWPOLICY`; `XFRMA_TMPL`, `XFRMA_ALG_AEAD`.
const NEW_STATE: u16 = 0x10;
const NEW_POLICY: u16 = 0x13;
const TEMPLATE: u16 = 5;
const AEAD: u16 = 18;

/// `XFRM_POLICY_IN` and `XFRM_POLICY_OUT`.
const IN: u8 = 0;
const OUT: u8 = 1;

const ESP: u8 = libc::IPPROTO_ESP as u8;

/// Makes an end, which is not up yet.
pub(super) fn add_wireguard(end: &End<'_>) -> io::Result<()> {
    let mut link =
        Request::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &link_header(0, 0));
    link.text(libc::IFLA_IFNAME, end.name);
    link.nested(libc::IFLA_LINKINFO, |link| link.text(1, "wireguard"));
    Netlink::open()?.ask(link)?;
    let mut netlink = Netlink::open_generic()?;
    let family = netlink.family("wireguard")?;
    let mut device = Request::new(family, 0, &[SET_DEVICE, 1, 0, 0]);
    device.attribute(DEVICE_INDEX, &index(end.name)?.to_ne_bytes());
    device.attribute(DEVICE_PRIVATE_KEY, end.private);
    device.attribute(DEVICE_PORT, &end.port.to_ne_bytes());
    device.nested(DEVICE_PEERS | NESTED, |device| {
        device.nested(NESTED, |peer| {
            peer.attribute(PEER_PUBLIC_KEY, end.peer);
            peer.attribute(PEER_ENDPOINT, &socket_address(end.peer_at));
            peer.nested(PEER_ALLOWED | NESTED, |allowed| {
                allowed.nested(NESTED, |all| {
                    all.attribute(ALLOWED_FAMILY, &(libc::AF_INET as u16).to_ne_bytes());
                    all.attribute(ALLOWED_ADDRESS, &[0; 4]);
                    all.attribute(ALLOWED_BITS, &[0]);
                });
            });
        });
    });
    netlink.ask(device)
}

/// `struct sockaddr_in`.
fn socket_address(address: SocketAddrV4) -> Vec<u8> {
    let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(address.ip().octets());
    bytes.resize(16, 0);
    bytes
}

/// Protects what goes from here to there and back, as this end sees it.
pub(super) fn protect(here: Ipv4Addr, there: Ipv4Addr, protection: Protection) -> io::Result<()> {
    let mut netlink = Netlink::open_xfrm()?;
    if protection == Protection::Required {
        netlink.ask(state(here, there))?;
        netlink.ask(state(there, here))?;
    }
    netlink.ask(policy(here, there, OUT, protection))?;
    netlink.ask(policy(there, here, IN, protection))
}

/// `struct xfrm_usersa_info`, and the cipher with its key.
fn state(from: Ipv4Addr, to: Ipv4Addr) -> Request {
    let mut body = vec![0; 40];
    body.extend((libc::AF_INET as u16).to_ne_bytes());
    body.resize(56, 0);
    body.extend(address(to));
    // The index is the same for a direction at both ends.
    body.extend([0, 0, 1, to.octets()[3], ESP, 0, 0, 0]);
    body.extend(address(from));
    body.extend(lifetime());
    body.resize(212, 0);
    body.extend((libc::AF_INET as u16).to_ne_bytes());
    body.extend([0, 32]);
    body.resize(224, 0);
    let mut request = Request::new(NEW_STATE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body);
    let mut cipher = b"rfc4106(gcm(aes))".to_vec();
    cipher.resize(64, 0);
    cipher.extend(160_u32.to_ne_bytes());
    cipher.extend(128_u32.to_ne_bytes());
    cipher.extend([0x5a; 20]);
    request.attribute(AEAD, &cipher);
    request
}

/// `struct xfrm_userpolicy_info`, and what it asks for (`struct xfrm_user_tmpl`).
fn policy(from: Ipv4Addr, to: Ipv4Addr, direction: u8, protection: Protection) -> Request {
    let mut body = address(to);
    body.extend(address(from));
    body.resize(40, 0);
    body.extend((libc::AF_INET as u16).to_ne_bytes());
    body.extend([32, 32]);
    body.resize(56, 0);
    body.extend(lifetime());
    body.resize(160, 0);
    body.push(direction);
    body.resize(168, 0);
    let mut request = Request::new(NEW_POLICY, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body);
    let mut template = vec![0; 20];
    template.push(ESP);
    template.resize(24, 0);
    template.extend((libc::AF_INET as u16).to_ne_bytes());
    template.resize(50, 0);
    template.push((protection == Protection::IfPossible).into());
    template.resize(52, 0);
    // Any algorithm will do.
    template.extend([0xff; 12]);
    request.attribute(TEMPLATE, &template);
    request
}

/// `struct xfrm_lifetime_cfg`: for ever.
fn lifetime() -> Vec<u8> {
    let mut bytes = vec![0xff; 32];
    bytes.resize(64, 0);
    bytes
}

/// `xfrm_address_t`.
fn address(ip: Ipv4Addr) -> Vec<u8> {
    let mut bytes = ip.octets().to_vec();
    bytes.resize(16, 0);
    bytes
}
