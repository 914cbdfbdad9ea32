//! Service meshes, told from what their handshakes say.

use alloc::string::String;

use super::{Certificate, Tls};

// === impl Tls ===

impl Tls {
    /// The mesh that protects this connection: `linkerd`, `istio`, or `spiffe` where a certificate
    /// names a workload and no mesh is known. Its peers are the mesh's proxies, and both prove who
    /// they are.
    pub fn mesh(&self) -> Option<&'static str> {
        let sni = self.sni.as_deref().unwrap_or_default();
        let mut protocols = self.alpn_offered.iter().chain(&self.alpn);
        if is_linkerd(sni) || protocols.clone().any(|name| name == "transport.l5d.io/v1") {
            return Some("linkerd");
        }
        if is_istio(sni) || protocols.any(|name| is_istio_protocol(name)) {
            return Some("istio");
        }
        let mut ids = self.certificate.iter().chain(&self.client_identity).filter_map(workload);
        let first = ids.next()?;
        let is_account = |id: &str| id.contains("/ns/") && id.contains("/sa/");
        Some(if is_account(first) { "istio" } else { "spiffe" })
    }
}

/// `ACCOUNT.NAMESPACE.serviceaccount.identity.CONTROL-PLANE.TRUST-DOMAIN`.
fn is_linkerd(sni: &str) -> bool {
    sni.split_once(".serviceaccount.identity.").is_some_and(|(account, _)| account.contains('.'))
}

/// `outbound_.PORT_.SUBSET_.HOST`.
fn is_istio(sni: &str) -> bool {
    let cluster = sni.strip_prefix("outbound_.").or_else(|| sni.strip_prefix("inbound_."));
    let port = cluster.and_then(|cluster| cluster.split_once("_."));
    port.is_some_and(|(port, _)| port.parse::<u16>().is_ok())
}

fn is_istio_protocol(name: &str) -> bool {
    name == "istio" || name.starts_with("istio-")
}

/// The workload's identity in a certificate (SPIFFE X.509-SVID, section 2).
fn workload(certificate: &Certificate) -> Option<&str> {
    let mut names = certificate.names.iter().map(String::as_str);
    names.find(|name| name.starts_with("spiffe://"))
}
