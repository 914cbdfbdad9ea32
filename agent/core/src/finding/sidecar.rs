//! Legs of sidecars: an application in the clear to its own proxy, which encrypts on its behalf.
//!
//! Such a leg stays on the loopback interface, and the hop that matters is the proxy's. It is one
//! finding of low severity, because whoever is in the same network namespace reads it.

use alloc::collections::BTreeSet;

use super::listener::who;
use super::rules::{is_clear, is_sealed};
use crate::graph::{Edge, Scope};
use crate::identity::{Kind, Workload};
use crate::protocol::tls::Mutual;

/// Proxies that stand beside applications, by the beginning of their names.
const PROXIES: [&str; 10] = [
    "envoy",
    "istio-proxy",
    "pilot-agent",
    "linkerd2-proxy",
    "consul",
    "stunnel",
    "ghostunnel",
    "haproxy",
    "nginx",
    "traefik",
];

/// Who encrypts on behalf of others.
pub(super) struct Proxies {
    /// They do for what they send out.
    outward: BTreeSet<u64>,
    /// They do for what they take in.
    inward: BTreeSet<u64>,
}

// === impl Proxies ===

impl Proxies {
    pub(super) fn among(edges: &[&Edge]) -> Self {
        let mut proxies = Self { outward: BTreeSet::new(), inward: BTreeSet::new() };
        let sealed = edges.iter().filter(|edge| is_sealed(edge) && edge.scope > Scope::Loopback);
        for edge in sealed {
            if proves_itself(edge) || is_proxy(&edge.client) {
                proxies.outward.insert(who(&edge.client));
            }
            if proves_itself(edge) || is_proxy(&edge.server) {
                proxies.inward.insert(who(&edge.server));
            }
        }
        proxies
    }

    /// Whether this hop is a leg of one of them.
    pub(super) fn have_leg(&self, edge: &Edge) -> bool {
        edge.scope == Scope::Loopback
            && is_clear(edge)
            && (self.outward.contains(&who(&edge.server))
                || self.inward.contains(&who(&edge.client)))
    }
}

/// Both ends did, or the handshake is a mesh's: those always do.
fn proves_itself(edge: &Edge) -> bool {
    edge.tls.as_deref().is_some_and(|tls| {
        let is_istio = |alpn: &str| alpn == "istio" || alpn.starts_with("istio-");
        let is_linkerd = |sni: &str| sni.ends_with(".linkerd.cluster.local");
        tls.mutual == Mutual::Mutual
            || tls.alpns.counts.keys().any(|alpn| is_istio(alpn))
            || tls.snis.counts.keys().any(|sni| is_linkerd(sni))
    })
}

/// A pod's containers share its loopback interface, but a pod is no proxy for having a name.
fn is_proxy(workload: &Workload) -> bool {
    !matches!(workload.kind, Kind::Address | Kind::Pod | Kind::Group)
        && PROXIES.iter().any(|name| workload.name.starts_with(name))
}
