//! Which server on this host answers where a client on this host asked.

use std::collections::{BTreeMap, btree_map::Entry};

use plainsight_core::flow::{self, Endpoint, Reporter};
use plainsight_ebpf::abi::{Address, edge::EdgeKey};

/// Most places that are remembered; beyond them a server is shown by its address.
const CAPACITY: usize = 131_072;

/// What a client asked for: itself, the address, the port and the transport.
type Asked = (Endpoint, Address, u16, u8);

/// Learnt from the server halves that the kernel paired.
#[derive(Debug, Default)]
pub(super) struct Servers(BTreeMap<Asked, Answer>);

/// Who answers at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// This end, on this port of its own.
    One(Endpoint, u16),
    /// Several ends: which of them a connection reached is not known from here.
    Several,
}

// === impl Servers ===

impl Servers {
    /// Takes in an edge's key, if it is of a paired server half.
    pub(super) fn learn(&mut self, key: &EdgeKey) {
        if Reporter::from_code(key.role) != Reporter::Server {
            return;
        }
        let Some(client) = flow::peer(key) else { return };
        let asked = (client, key.remote, key.asked_port, key.transport);
        let answer = Answer::One(flow::own(key), key.port);
        let has_room = self.0.len() < CAPACITY;
        match self.0.entry(asked) {
            Entry::Occupied(known) if *known.get() != answer => *known.into_mut() = Answer::Several,
            Entry::Vacant(place) if has_room => _ = place.insert(answer),
            Entry::Occupied(_) | Entry::Vacant(_) => {}
        }
    }

    /// The server behind a client half's key, and the port it listens on.
    pub(super) fn get(&self, key: &EdgeKey) -> Option<(Endpoint, u16)> {
        match self.0.get(&(flow::own(key), key.remote, key.port, key.transport))? {
            Answer::One(endpoint, port) => Some((*endpoint, *port)),
            Answer::Several => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use plainsight_ebpf::abi::edge::Role;

    use super::*;

    fn server(cgroup: u64) -> EdgeKey {
        EdgeKey {
            cgroup,
            netns: 1,
            peer_cgroup: 7,
            peer_netns: 1,
            name: 3,
            peer_name: 4,
            remote: [0, 0, 0, 9],
            port: 8080,
            asked_port: 80,
            role: Role::Server as u8,
            transport: 6,
            ..EdgeKey::default()
        }
    }

    fn client() -> EdgeKey {
        EdgeKey {
            cgroup: 7,
            name: 4,
            peer_cgroup: 0,
            peer_netns: 0,
            peer_name: 0,
            port: 80,
            asked_port: 0,
            role: Role::Client as u8,
            ..server(0)
        }
    }

    #[test]
    fn a_paired_server_is_found_by_what_the_client_asked() {
        let mut servers = Servers::default();
        servers.learn(&server(5));
        servers.learn(&server(5));
        let (endpoint, port) = servers.get(&client()).unwrap();
        assert_eq!((endpoint.cgroup, port), (5, 8080));
    }

    #[test]
    fn two_servers_at_one_place_are_none() {
        let mut servers = Servers::default();
        servers.learn(&server(5));
        servers.learn(&server(6));
        assert_eq!(servers.get(&client()), None);
    }

    #[test]
    fn unpaired_halves_and_clients_say_nothing() {
        let mut servers = Servers::default();
        servers.learn(&EdgeKey { peer_cgroup: 0, ..server(5) });
        servers.learn(&client());
        assert_eq!(servers.get(&client()), None);
    }
}
