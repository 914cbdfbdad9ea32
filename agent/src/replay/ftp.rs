//! Data connections of FTP: what they carry has no form, but the control connection says where they
//! will be.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use plainsight_core::protocol::{assess::data_ports, conversation::Side};
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
        let place = |connects, listens, port| (connects, SocketAddr::new(listens, port));
        let active = data_ports(Side::Client, client).map(|port| place(to, from, port));
        let passive = data_ports(Side::Server, server).map(|port| place(from, to, port));
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
