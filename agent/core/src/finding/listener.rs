//! What makes a server's listener the same after a restart, a rollout or a change of its address.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::fnv::Fnv;
use crate::graph::Edge;
use crate::identity::{self, Workload};
use crate::protocol::Transport;

/// A server, its port, and what carries the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Listener {
    server: u64,
    /// 0 where it is different each time.
    pub(super) port: u16,
    pub(super) transport: Transport,
}

// === impl Listener ===

impl Listener {
    pub(super) fn of(edge: &Edge) -> Self {
        // FTP says in its control connection where each file is fetched from.
        let port = if edge.protocol == "ftp-data" { 0 } else { edge.server_port };
        Self { server: who(&edge.server), port, transport: edge.transport }
    }

    /// `f-` and 12 hex digits.
    pub(super) fn id(&self, kind: Kind) -> String {
        let hash = Fnv::START
            .text(kind.name())
            .bytes(&self.server.to_be_bytes())
            .bytes(&self.port.to_be_bytes())
            .text(self.transport.name());
        format!("f-{:012x}", hash.value() >> 16)
    }

    /// The same for the same client of the same listener.
    pub(super) fn with(&self, client: &Workload) -> u64 {
        let hash = Fnv::START.bytes(&self.server.to_be_bytes()).bytes(&self.port.to_be_bytes());
        hash.text(self.transport.name()).bytes(&who(client).to_be_bytes()).value()
    }
}

/// Who a workload is, whatever instance of it. What runs on any host of a cluster is the same on
/// all of them.
pub(super) fn who(workload: &Workload) -> u64 {
    let Workload { name, kind, namespace, service, host, cluster, .. } = workload;
    let hash = Fnv::START.optional(cluster.as_deref()).optional(namespace.as_deref());
    if let Some(service) = service {
        return hash.text("service").text(service).value();
    }
    let host = match kind {
        identity::Kind::Pod | identity::Kind::Address => None,
        _ => host.as_deref(),
    };
    hash.text(kind.name()).optional(host).text(&stable(name, *kind)).value()
}

/// The name without what is different in each instance.
fn stable(name: &str, kind: identity::Kind) -> Cow<'_, str> {
    match kind {
        identity::Kind::Unit => unit(name),
        identity::Kind::Pod => Cow::Borrowed(pod(name)),
        _ => Cow::Borrowed(name),
    }
}

/// A template without its instance (`getty@tty1.service`), and a transient unit without its number
/// (`run-r0123….scope`).
fn unit(name: &str) -> Cow<'_, str> {
    let Some((stem, suffix)) = name.rsplit_once('.') else { return Cow::Borrowed(name) };
    if let Some((template, _)) = stem.split_once('@') {
        return Cow::Owned(format!("{template}@.{suffix}"));
    }
    let number = stem.strip_prefix("run-").map(|rest| rest.trim_start_matches(['r', 'p', 'u']));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(is_hex_or_dash);
    match number.filter(|number| is_number(number)) {
        Some(_) => Cow::Owned(format!("run-.{suffix}")),
        None => Cow::Borrowed(name),
    }
}

/// `web-7c9f8d6b54-x2x4z` of a Deployment, `log-x2x4z` of a DaemonSet or Job, `db-0` of a
/// StatefulSet. A uid has dashes too and is left alone.
fn pod(name: &str) -> &str {
    let Some((stem, last)) = name.rsplit_once('-') else { return name };
    if last.len() == 12 && last.bytes().all(is_hex_or_dash) {
        return name;
    }
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
        return stem;
    }
    if last.len() != 5 || !last.bytes().all(is_random) {
        return name;
    }
    match stem.rsplit_once('-') {
        Some((stem, hash)) if matches!(hash.len(), 6..=10) && hash.bytes().all(is_random) => stem,
        _ => stem,
    }
}

const fn is_hex_or_dash(b: u8) -> bool {
    b.is_ascii_hexdigit() || b == b'-'
}

/// A letter or digit of those that Kubernetes makes suffixes of: no vowels, and neither 0, 1 nor 3.
const fn is_random(b: u8) -> bool {
    matches!(b, b'2' | b'4'..=b'9' | b'b'..=b'd' | b'f'..=b'h' | b'j'..=b'n' | b'p'..=b't' | b'v'..=b'x' | b'z')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::tests::{edge, workload};

    #[test]
    fn instances_of_one_thing_are_one() {
        let check = |name: &str, kind, expect: &str| assert_eq!(stable(name, kind), expect);
        use identity::Kind::{Container, Pod, Process, Unit};
        check("postgresql@15-main.service", Unit, "postgresql@.service");
        check("run-r0f3a9c.scope", Unit, "run-.scope");
        check("run-u17.service", Unit, "run-.service");
        check("run-parts.service", Unit, "run-parts.service");
        check("nginx.service", Unit, "nginx.service");
        check("web-7c9f8d6b54-x2x4z", Pod, "web");
        check("log-x2x4z", Pod, "log");
        check("db-0", Pod, "db");
        check("web-frontend", Pod, "web-frontend");
        check("ledger", Pod, "ledger");
        check("0a1b2c3d-1111-2222-3333-444455556666", Pod, "0a1b2c3d-1111-2222-3333-444455556666");
        check("nginx@1", Process, "nginx@1");
        check("0123456789ab", Container, "0123456789ab");
        check("", Pod, "");
        check("-", Pod, "-");
        check(".", Unit, ".");
    }

    #[test]
    fn an_id_depends_on_kind_server_and_port_alone() {
        let one = edge("curl", "nginx.service", 8080);
        let id = |edge: &Edge| Listener::of(edge).id(Kind::PlaintextHop);
        assert!(id(&one).len() == 14 && id(&one).starts_with("f-"));
        let mut moved = edge("wget", "nginx.service", 8080);
        moved.server_address = "192.0.2.77".parse().unwrap();
        moved.server.owner = Some("web".into());
        moved.server.confidence = crate::identity::Confidence::Low;
        assert_eq!(id(&one), id(&moved));
        let mut other = one.clone();
        other.transport = Transport::Udp;
        let others =
            [edge("curl", "nginx.service", 8081), edge("curl", "caddy.service", 8080), other];
        for other in &others {
            assert_ne!(id(&one), id(other));
        }
        assert_ne!(id(&one), Listener::of(&one).id(Kind::WeakTls));
    }

    #[test]
    fn a_pod_may_move_and_a_process_may_not() {
        let at = |name: &str, kind, host: &str| {
            who(&Workload { kind, host: Some(host.into()), ..workload(name) })
        };
        use identity::Kind::{Pod, Unit};
        assert_eq!(at("web-7c9f8d6b54-x2x4z", Pod, "a"), at("web-65d4f7b8c9-bbzzz", Pod, "b"));
        assert_ne!(at("nginx.service", Unit, "a"), at("nginx.service", Unit, "b"));
        let service = |name: &str| Workload { service: Some("pay".into()), ..workload(name) };
        assert_eq!(who(&service("one")), who(&service("two")));
    }

    #[test]
    fn a_port_that_changes_is_none() {
        let mut one = edge("ftp", "vsftpd.service", 40_001);
        one.protocol = "ftp-data".into();
        let mut two = one.clone();
        two.server_port = 40_002;
        assert_eq!(Listener::of(&one), Listener::of(&two));
    }
}
