//! The devices of one network namespace, and what of their kinds can be told (rtnetlink(7)).

use std::{borrow::Cow, collections::BTreeMap};

use plainsight_core::flow::link::{Judged, Link};

use crate::discover::netlink::{Netlink, NetlinkError, Request, attributes, text, u16_at, u32_at};

/// A device, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    /// As its driver calls it; none for one that stands for hardware.
    pub(super) kind: Option<String>,
    /// `ARPHRD_…`.
    hardware: u16,
    /// The device below it, or at the other end.
    pub(super) lower: Option<u32>,
    /// The namespace that is in, by this namespace's number for it; none for this one.
    pub(super) lower_netns: Option<i32>,
    /// The device that it is a port of.
    pub(super) master: Option<u32>,
    /// Whether a program takes what comes in.
    pub(super) has_xdp: bool,
    /// Of an XFRM interface, which policies are its own; else 0.
    pub(super) if_id: u32,
}

/// Devices by their index.
pub(super) type Devices = BTreeMap<u32, Device>;

/// What can be told of a device by its kind alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It puts packets on a wire as they are.
    Plain,
    /// It encrypts all it carries.
    Wireguard,
    /// It leads to itself.
    Loopback,
    /// A pair, of which the other end is elsewhere.
    Pair,
    /// It hands packets on to one device below it.
    Layer,
    /// It hands packets on to some of its ports.
    Switch,
    /// Packets leave it as the policies of IPsec say, and not without.
    Xfrm,
    /// It cannot be told, for this reason.
    Unclear(String),
}

/// `struct ifinfomsg`.
const HEADER: usize = 16;

/// Devices of a namespace that are read.
const MOST: usize = 16_384;

/// `IFLA_INFO_KIND`, `IFLA_INFO_DATA`, `IFLA_XDP_ATTACHED` (include/uapi/linux/if_link.h).
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const XDP_ATTACHED: u16 = 2;

/// `IFLA_XFRM_IF_ID`, likewise.
const XFRM_IF_ID: u16 = 2;

// === impl Device ===

impl Device {
    fn parse(body: &[u8]) -> Result<(u32, Self), NetlinkError> {
        let index = u32_at(body, 4)?;
        let mut device = Self { hardware: u16_at(body, 2)?, ..Self::default() };
        attributes(body, HEADER, |kind, value| {
            match kind {
                libc::IFLA_IFNAME => device.name = text(value),
                libc::IFLA_LINK => device.lower = Some(u32_at(value, 0)?),
                libc::IFLA_LINK_NETNSID => {
                    device.lower_netns = Some(u32_at(value, 0)?.cast_signed());
                }
                libc::IFLA_MASTER => device.master = Some(u32_at(value, 0)?),
                libc::IFLA_LINKINFO => device.describe(value)?,
                libc::IFLA_XDP => attributes(value, 0, |kind, value| {
                    device.has_xdp |= kind == XDP_ATTACHED && value.first() != Some(&0);
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((index, device))
    }

    fn describe(&mut self, info: &[u8]) -> Result<(), NetlinkError> {
        let mut data = None;
        attributes(info, 0, |kind, value| {
            match kind {
                INFO_KIND => self.kind = Some(text(value)),
                INFO_DATA => data = Some(value),
                _ => {}
            }
            Ok(())
        })?;
        if let (Some("xfrm"), Some(data)) = (self.kind.as_deref(), data) {
            attributes(data, 0, |kind, value| {
                if kind == XFRM_IF_ID {
                    self.if_id = u32_at(value, 0)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn nature(&self) -> Nature {
        match self.kind.as_deref() {
            _ if self.hardware == libc::ARPHRD_LOOPBACK => Nature::Loopback,
            None if self.hardware == libc::ARPHRD_ETHER => Nature::Plain,
            None => Nature::Unclear(format!("hardware of type {}", self.hardware)),
            Some("wireguard") => Nature::Wireguard,
            Some("veth") => Nature::Pair,
            Some("xfrm") => Nature::Xfrm,
            Some("vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap") => Nature::Layer,
            Some("bond" | "team" | "bridge") => Nature::Switch,
            Some("netkit") => Nature::Unclear("netkit, whose BPF program decides".to_owned()),
            Some("tun") => Nature::Unclear("tun, which hands packets to a program".to_owned()),
            Some(
                "vxlan" | "geneve" | "gre" | "gretap" | "ip6gre" | "ip6gretap" | "ipip" | "sit"
                | "ip6tnl" | "vti" | "vti6" | "gtp" | "amt" | "bareudp" | "erspan",
            ) => {
                let kind = self.kind.as_deref().unwrap_or_default();
                Nature::Unclear(format!("{kind}, a tunnel whose own way is not followed"))
            }
            Some(kind) => Nature::Unclear(format!("{kind}, of which nothing is known")),
        }
    }

    /// The name, with its kind where it has one.
    pub(super) fn title(&self) -> String {
        match &self.kind {
            Some(kind) => format!("{} ({kind})", self.name),
            None => self.name.clone(),
        }
    }
}

/// Every device of the conversation's namespace.
pub(super) fn devices(netlink: &Netlink) -> Result<Devices, NetlinkError> {
    let mut found = Devices::new();
    let request = Request::all(libc::RTM_GETLINK, &[0; HEADER]);
    netlink.ask(&request, MOST, |kind, body| {
        if kind == libc::RTM_NEWLINK {
            found.extend([Device::parse(body)?]);
        }
        Ok(())
    })?;
    Ok(found)
}

/// What is known of packets that leave by this device, from its kind and those below it; none
/// where the way goes on, or policies decide.
pub(super) fn judge(devices: &Devices, index: u32) -> Option<Judged> {
    let device = devices.get(&index)?;
    let unclear = |why: String| Some(Judged::unknown(format!("leaves by {}: {why}", device.name)));
    match device.nature() {
        Nature::Plain => {
            let evidence = format!("leaves by {}, which does not encrypt", device.title());
            Some(Judged::observed(Link::None, evidence))
        }
        Nature::Wireguard => {
            Some(Judged::observed(Link::Wireguard, format!("leaves by {}", device.title())))
        }
        Nature::Unclear(why) => unclear(why),
        Nature::Layer | Nature::Switch => match below(devices, index) {
            Ok(()) => {
                let evidence = format!("leaves by {}, which does not encrypt", device.title());
                Some(Judged::observed(Link::None, evidence))
            }
            Err(why) => unclear(why.into_owned()),
        },
        Nature::Loopback | Nature::Pair | Nature::Xfrm => None,
    }
}

/// Whether all that lies below a device is plain, or what is not.
fn below(devices: &Devices, index: u32) -> Result<(), Cow<'static, str>> {
    let mut waiting = vec![index];
    // Each step goes down, and the kernel allows no more than eight levels.
    for _ in 0..MOST {
        let Some(index) = waiting.pop() else { return Ok(()) };
        let device = devices.get(&index).ok_or("a device below it is not known")?;
        match device.nature() {
            Nature::Plain => {}
            Nature::Layer if device.lower_netns.is_some() => {
                return Err("the device below it is in another network namespace".into());
            }
            Nature::Layer => waiting.push(device.lower.ok_or("nothing is below it")?),
            Nature::Switch => {
                let ports = devices.iter().filter(|(_, port)| port.master == Some(index));
                waiting.extend(ports.map(|(index, _)| *index));
            }
            Nature::Wireguard
            | Nature::Loopback
            | Nature::Pair
            | Nature::Xfrm
            | Nature::Unclear(_) => {
                return Err(format!("below it is {}", device.title()).into());
            }
        }
    }
    Err("too many devices are below it".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::netlink::bytes::attribute;

    fn message(hardware: u16, index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; 2];
        body.extend(hardware.to_ne_bytes());
        body.extend(index.to_ne_bytes());
        body.extend([0; 8]);
        [body, attributes.concat()].concat()
    }

    fn info(kind: &str, data: &[u8]) -> Vec<u8> {
        let kind = attribute(INFO_KIND, &[kind.as_bytes(), &[0]].concat());
        attribute(libc::IFLA_LINKINFO, &[kind, attribute(INFO_DATA, data)].concat())
    }

    fn device(name: &str, kind: Option<&str>) -> Device {
        let kind = kind.map(str::to_owned);
        Device { name: name.into(), kind, hardware: libc::ARPHRD_ETHER, ..Device::default() }
    }

    #[test]
    fn devices_are_read() {
        let check = |body: &[u8], expect: (u32, Device)| {
            assert_eq!(Device::parse(body).unwrap(), expect);
        };
        let name = |name: &str| attribute(libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
        let number = |kind, n: u32| attribute(kind, &n.to_ne_bytes());
        check(&message(1, 2, &[name("eth0")]), (2, device("eth0", None)));
        let veth = [
            name("veth0"),
            number(libc::IFLA_LINK, 9),
            number(libc::IFLA_LINK_NETNSID, 3),
            number(libc::IFLA_MASTER, 5),
            info("veth", &[]),
            attribute(libc::IFLA_XDP, &attribute(XDP_ATTACHED, &[1])),
        ];
        let expect = Device {
            lower: Some(9),
            lower_netns: Some(3),
            master: Some(5),
            has_xdp: true,
            ..device("veth0", Some("veth"))
        };
        check(&message(1, 4, &veth), (4, expect));
        let data = attribute(XFRM_IF_ID, &42_u32.to_ne_bytes());
        let xfrm = Device { if_id: 42, ..device("ipsec0", Some("xfrm")) };
        check(&message(1, 7, &[name("ipsec0"), info("xfrm", &data)]), (7, xfrm));
        // The same attribute of another kind means something else.
        let vlan = message(1, 7, &[name("v"), info("vlan", &data)]);
        check(&vlan, (7, device("v", Some("vlan"))));
        let idle = attribute(libc::IFLA_XDP, &attribute(XDP_ATTACHED, &[0]));
        check(&message(1, 2, &[name("eth0"), idle]), (2, device("eth0", None)));
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let whole = message(1, 4, &[info("veth", &[1, 2, 3, 4])]);
        for end in (0..whole.len()).filter(|end| *end != HEADER) {
            assert!(Device::parse(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn kinds_are_judged() {
        let check = |kind: Option<&str>, hardware: u16, expect: (Option<Link>, &str)| {
            let device = Device { hardware, ..device("dev0", kind) };
            let judged = judge(&Devices::from([(2, device)]), 2);
            let evidence = judged.as_ref().map_or("", |judged| &*judged.evidence);
            assert_eq!((judged.as_ref().map(|judged| judged.link), evidence), expect, "{kind:?}");
        };
        let ether = libc::ARPHRD_ETHER;
        let plain = "leaves by dev0, which does not encrypt";
        check(None, ether, (Some(Link::None), plain));
        let none = libc::ARPHRD_NONE;
        check(Some("wireguard"), none, (Some(Link::Wireguard), "leaves by dev0 (wireguard)"));
        check(None, libc::ARPHRD_LOOPBACK, (None, ""));
        check(Some("veth"), ether, (None, ""));
        check(Some("xfrm"), none, (None, ""));
        let unclear = |kind: Option<&str>, hardware, why: &str| {
            check(kind, hardware, (Some(Link::Unknown), &format!("leaves by dev0: {why}")));
        };
        unclear(Some("tun"), none, "tun, which hands packets to a program");
        unclear(Some("netkit"), ether, "netkit, whose BPF program decides");
        unclear(Some("vxlan"), ether, "vxlan, a tunnel whose own way is not followed");
        unclear(Some("macsec"), ether, "macsec, of which nothing is known");
        unclear(None, 32, "hardware of type 32");
        unclear(Some("vlan"), ether, "nothing is below it");
    }

    #[test]
    fn what_lies_below_counts() {
        let check = |others: &[(u32, Device)], expect: Link| {
            let mut devices = Devices::from_iter(others.iter().cloned());
            devices.insert(10, Device { lower: Some(9), ..device("eth0.7", Some("vlan")) });
            assert_eq!(judge(&devices, 10).unwrap().link, expect, "{others:?}");
        };
        let port = |name: &str, kind, master| Device { master, ..device(name, kind) };
        check(&[(9, device("eth0", None))], Link::None);
        check(&[(9, device("wg0", Some("wireguard")))], Link::Unknown);
        check(&[], Link::Unknown);
        let bond = (9, device("bond0", Some("bond")));
        check(&[bond.clone(), (1, port("eth0", None, Some(9)))], Link::None);
        let secured = (2, port("macsec0", Some("macsec"), Some(9)));
        check(&[bond.clone(), (1, port("eth0", None, Some(9))), secured], Link::Unknown);
        // One that is below itself is no reason to look for ever.
        check(&[(9, Device { lower: Some(9), ..device("loop", Some("vlan")) })], Link::Unknown);
        let elsewhere = Device { lower_netns: Some(1), ..device("mv0", Some("macvlan")) };
        check(&[(9, elsewhere)], Link::Unknown);
    }
}
