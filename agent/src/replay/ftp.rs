//! Data connections of FTP: what they carry has no form, but the control connection says where they
//! will be (RFC 959, section 4.1.2; RFC 2428).

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use plainsight_ebpf::wire::{protocol::Protocol, stage::Stage};

use super::stream::{Carrier, Stream};

/// Where data connections were said to be.
#[derive(Default)]
pub(super) struct Announced {
    /// Who connects, and where the other one listens.
    places: BTreeSet<(IpAddr, SocketAddr)>,
}

/// Places that are remembered of a capture.
const MAX_PLACES: usize = 1 << 12;

// === impl Announced ===

impl Announced {
    /// Takes what both ends of a control connection said. Addresses in it are those from before any
    /// translation, so the ports count, at the addresses of the packets.
    pub(super) fn take(&mut self, stream: &Stream, client: &[u8], server: &[u8]) {
        if stream.assessment.as_ref().is_none_or(|found| found.protocol != Protocol::Ftp) {
            return;
        }
        let (from, to) = (stream.client.ip(), stream.server.ip());
        let active = lines(client).filter_map(active).map(|port| (to, SocketAddr::new(from, port)));
        let passive =
            lines(server).filter_map(passive).map(|port| (from, SocketAddr::new(to, port)));
        for place in active.chain(passive) {
            if self.places.len() < MAX_PLACES {
                self.places.insert(place);
            }
        }
    }

    /// Names the streams that were announced and that are nothing else.
    pub(super) fn name(&self, streams: &mut [Stream]) {
        for stream in streams.iter_mut().filter(|stream| stream.carrier == Carrier::Tcp) {
            let is_announced = self.places.contains(&(stream.client.ip(), stream.server));
            if let Some(found) = &mut stream.assessment
                && is_announced
                && found.stage == Stage::Unknown
            {
                found.protocol = Protocol::FtpData;
                found.stage = Stage::Plaintext;
                found.evidence = Cow::Borrowed("announced on an FTP control connection");
            }
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()).map(str::trim)
}

/// `PORT h1,h2,h3,h4,p1,p2` or `EPRT |1|address|port|`.
fn active(line: &str) -> Option<u16> {
    let (verb, rest) = line.split_once(' ')?;
    if verb.eq_ignore_ascii_case("PORT") {
        return port(rest);
    }
    verb.eq_ignore_ascii_case("EPRT").then(|| extended(rest))?
}

/// `227 … (h1,h2,h3,h4,p1,p2)` or `229 … (|||port|)`, whose brackets not all servers write.
fn passive(line: &str) -> Option<u16> {
    if let Some(text) = line.strip_prefix("227 ") {
        return port(text.trim_start_matches(|c: char| !c.is_ascii_digit()));
    }
    extended(line.strip_prefix("229 ")?.split_once('(')?.1)
}

/// Six numbers, of which the last two are a port.
fn port(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(text.len());
    let numbers: Vec<u8> = text.get(..end)?.split(',').map_while(|n| n.parse().ok()).collect();
    let [_, _, _, _, high, low] = numbers[..] else { return None };
    Some(u16::from_be_bytes([high, low]))
}

/// The third field between separators, of which the first character is one.
fn extended(text: &str) -> Option<u16> {
    let separator = text.chars().next()?;
    text.split(separator).nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_may_listen() {
        let check = |line: &str, expect| assert_eq!(active(line), expect, "{line}");
        check("PORT 192,0,2,1,195,80", Some(50_000));
        check("port 192,0,2,1,0,20", Some(20));
        check("EPRT |1|192.0.2.1|50000|", Some(50_000));
        check("EPRT |2|2001:db8::1|50000|", Some(50_000));
        check("PORT 192,0,2,1,256,80", None);
        check("PORT 1,2", None);
        check("EPRT |1|192.0.2.1|70000|", None);
        check("RETR PORT 192,0,2,1,195,80", None);
        check("EPRT ", None);
    }

    #[test]
    fn the_server_may_listen() {
        let check = |line: &str, expect| assert_eq!(passive(line), expect, "{line}");
        check("227 Entering Passive Mode (192,0,2,2,195,80).", Some(50_000));
        check("227 Entering Passive Mode 192,0,2,2,195,80", Some(50_000));
        check("229 Entering Extended Passive Mode (|||50000|)", Some(50_000));
        check("229 Entering Extended Passive Mode", None);
        check("227 =", None);
        check("220 (192,0,2,2,195,80)", None);
    }
}
