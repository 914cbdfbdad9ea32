//! Plain text that is meant to be so: counted in one line, never an alert.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::graph::{Edge, Scope};
use crate::identity::{Kind, Workload};

/// Where clouds hand out a machine's metadata: a link-local address of its own, or one that the
/// provider routes to itself.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What asks others for their metrics, by the beginning of its name.
const SCRAPERS: [&str; 8] = [
    "prometheus",
    "vmagent",
    "victoria-metric",
    "grafana-agent",
    "alloy",
    "otelcol",
    "telegraf",
    "metricbeat",
];

/// Why nobody wonders that this is in the clear; none where somebody should.
pub fn expected(edge: &Edge) -> Option<&'static str> {
    let is_near = edge.scope < Scope::Outside;
    match &*edge.protocol {
        "dns" => Some("dns"),
        "ntp" => Some("ntp"),
        "dhcp" => Some("dhcp"),
        "mdns" | "llmnr" | "ssdp" | "netbios-ns" | "netbios-dgm" | "stun" => Some("discovery"),
        "http" if METADATA.contains(&edge.server_address) => Some("metadata"),
        "http" if is_near && is_named(&edge.client, &["kubelet"]) => Some("probe"),
        "http" if is_near && is_scrape(edge) => Some("scrape"),
        _ if edge.scope == Scope::Loopback => Some("loopback"),
        _ => None,
    }
}

fn is_scrape(edge: &Edge) -> bool {
    // The kernel cuts names of processes at 15 bytes.
    let is_exporter = is_named(&edge.server, &["prometheus-node"])
        || edge.server.kind != Kind::Address && edge.server.name.contains("exporter");
    is_exporter || is_named(&edge.client, &SCRAPERS)
}

/// Whether it has a name, and that begins so.
fn is_named(workload: &Workload, beginnings: &[&str]) -> bool {
    let is_name = workload.kind != Kind::Address;
    is_name && beginnings.iter().any(|beginning| workload.name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::tests::edge;

    #[test]
    fn expected_plaintext_is_told_from_the_rest() {
        let check = |client: &str, server: &str, protocol: &'static str, scope, expect| {
            let mut edge = edge(client, server, 4321);
            (edge.protocol, edge.scope) = (protocol.into(), scope);
            assert_eq!(expected(&edge), expect, "{client} → {server} {protocol} {scope:?}");
        };
        let (near, far) = (Scope::Cluster, Scope::Outside);
        check("app", "198.51.100.1", "dns", far, Some("dns"));
        check("chronyd", "198.51.100.1", "ntp", far, Some("ntp"));
        check("dhclient", "10.0.0.1", "dhcp", near, Some("dhcp"));
        check("avahi", "224.0.0.251", "mdns", near, Some("discovery"));
        check("app", "169.254.169.254", "http", near, Some("metadata"));
        check("app", "169.254.169.254", "redis", near, None);
        check("kubelet.service", "10.0.0.7", "http", near, Some("probe"));
        check("prometheus.service", "10.0.0.7", "http", near, Some("scrape"));
        check("prometheus.service", "198.51.100.1", "http", far, None);
        check("curl", "node_exporter.service", "http", near, Some("scrape"));
        check("curl", "prometheus-node", "http", near, Some("scrape"));
        check("curl", "prometheus.service", "http", near, None);
        check("prometheus.service", "10.0.0.7", "redis", near, None);
        check("app", "redis.service", "redis", Scope::Loopback, Some("loopback"));
        check("app", "redis.service", "redis", Scope::Host, None);
        check("app", "10.0.0.9", "http", near, None);
    }
}
