//! The route that packets take out of one network namespace (rtnetlink(7)).

use std::net::IpAddr;

use crate::discover::netlink::{Netlink, NetlinkError, Request, attributes, u8_at, u32_at};

/// Where packets to an address go next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// `RTN_…`: see [`Route::is_local`].
    kind: u8,
    /// The device by which they leave.
    pub(super) device: Option<u32>,
    /// The next router; none where the address is on the link itself.
    pub(super) gateway: Option<IpAddr>,
    /// Whether something is put around or in front of them that this does not read.
    pub(super) is_encapsulated: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) from: Option<IpAddr>,
    pub(super) to: IpAddr,
    /// The device by which they came; none for those that begin here.
    pub(super) arrived: Option<u32>,
}

/// `struct rtmsg`.
const HEADER: usize = 12;

// === impl Route ===

impl Route {
    /// Whether they have arrived (`RTN_LOCAL`, `RTN_ANYCAST`).
    pub(super) const fn is_local(&self) -> bool {
        matches!(self.kind, libc::RTN_LOCAL | libc::RTN_ANYCAST)
    }

    /// Whether they go on at all.
    pub(super) const fn is_passable(&self) -> bool {
        matches!(self.kind, libc::RTN_UNICAST | libc::RTN_BROADCAST | libc::RTN_MULTICAST)
    }

    fn parse(body: &[u8]) -> Result<Self, NetlinkError> {
        let mut route = Self { kind: u8_at(body, 7)?, ..Self::default() };
        attributes(body, HEADER, |kind, value| {
            match kind {
                libc::RTA_OIF => route.device = Some(u32_at(value, 0)?),
                libc::RTA_GATEWAY => route.gateway = address(value),
                // An IPv4 route by an IPv6 router: the family stands in front.
                libc::RTA_VIA => route.gateway = value.get(2..).and_then(address),
                libc::RTA_ENCAP_TYPE => {
                    let bytes = value.first_chunk().copied().unwrap_or_default();
                    route.is_encapsulated = u16::from_ne_bytes(bytes) != 0;
                }
                libc::RTA_ENCAP => route.is_encapsulated = true,
                _ => {}
            }
            Ok(())
        })?;
        Ok(route)
    }
}

// === impl Question ===

impl Question {
    fn request(&self) -> Request {
        let (family, to) = octets(self.to);
        let bits = |bytes: &[u8]| bytes.len() as u8 * 8;
        let from = self.from.map(octets).filter(|(other, _)| *other == family);
        let from_bits = from.as_ref().map_or(0, |(_, bytes)| bits(bytes));
        let mut header = vec![family as u8, bits(&to), from_bits, 0];
        header.resize(HEADER, 0);
        let mut request = Request::one(libc::RTM_GETROUTE, &header).with(libc::RTA_DST, &to);
        if let Some((_, bytes)) = from {
            request = request.with(libc::RTA_SRC, &bytes);
        }
        match self.arrived {
            Some(device) => request.with(libc::RTA_IIF, &device.to_ne_bytes()),
            None => request,
        }
    }
}

/// Asks the kernel, which looks it up as for a packet without a mark.
pub(super) fn route(netlink: &Netlink, question: &Question) -> Result<Route, NetlinkError> {
    let mut found = Route::default();
    netlink.ask(&question.request(), 1, |kind, body| {
        if kind == libc::RTM_NEWROUTE {
            found = Route::parse(body)?;
        }
        Ok(())
    })?;
    Ok(found)
}

fn octets(ip: IpAddr) -> (libc::c_int, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
    }
}

/// The address of these bytes; none where they are of neither family.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::netlink::bytes::attribute;

    fn answer(kind: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let header = vec![2, 32, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0];
        [header, attributes.concat()].concat()
    }

    #[test]
    fn routes_are_read() {
        let check = |kind: u8, attributes: &[Vec<u8>], expect: Route| {
            assert_eq!(Route::parse(&answer(kind, attributes)).unwrap(), expect);
        };
        let oif = || attribute(libc::RTA_OIF, &7_u32.to_ne_bytes());
        let direct = Route { kind: libc::RTN_UNICAST, device: Some(7), ..Route::default() };
        check(1, &[attribute(libc::RTA_DST, &[10, 0, 0, 2]), oif()], direct);
        let gateway = Some("10.0.0.254".parse().unwrap());
        let by_router = Route { gateway, ..direct };
        check(1, &[attribute(libc::RTA_GATEWAY, &[10, 0, 0, 254]), oif()], by_router);
        let via = [&10_u16.to_ne_bytes()[..], &[0xfe, 0x80], &[0; 13], &[9]].concat();
        let gateway = Some("fe80::9".parse().unwrap());
        check(1, &[attribute(libc::RTA_VIA, &via), oif()], Route { gateway, ..direct });
        let encapsulated = Route { is_encapsulated: true, ..direct };
        check(1, &[oif(), attribute(libc::RTA_ENCAP_TYPE, &[6, 0])], encapsulated);
        check(1, &[oif(), attribute(libc::RTA_ENCAP_TYPE, &[0, 0])], direct);
        let local = Route { kind: libc::RTN_LOCAL, device: Some(7), ..Route::default() };
        check(2, &[oif()], local);
        assert!(local.is_local() && !local.is_passable());
        assert!(direct.is_passable() && !direct.is_local());
        assert!(![6, 7, 8].iter().any(|kind| Route { kind: *kind, ..direct }.is_passable()));
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let whole = answer(1, &[attribute(libc::RTA_OIF, &7_u32.to_ne_bytes())]);
        for end in (0..whole.len()).filter(|end| *end != HEADER) {
            assert!(Route::parse(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_way_to_oneself_is_local() {
        let netlink = Netlink::open(libc::NETLINK_ROUTE).unwrap();
        let to = "127.0.0.1".parse().unwrap();
        let route = route(&netlink, &Question { from: Some(to), to, arrived: None }).unwrap();
        assert!(route.is_local(), "{route:?}");
    }

    #[test]
    fn a_source_of_another_family_is_left_out() {
        let to = "10.0.0.2".parse().unwrap();
        let with = |from: Option<&str>| {
            Question { from: from.map(|from| from.parse().unwrap()), to, arrived: None }.request()
        };
        assert_eq!(with(Some("fd00::1")), with(None));
        assert_ne!(with(Some("10.0.0.1")), with(None));
    }
}
