//! What an edge has to say of a hop.

use plainsight_tests::harness::Edge;
use serde_json::Value;

/// What is spoken, how it is protected, and who was asked for what.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    protocol: &'static str,
    security: &'static str,
    state: &'static str,
    upgrade: &'static str,
    tls: Option<Tls>,
    credentials: Option<(&'static str, bool)>,
}

/// What its handshakes say.
#[derive(Clone, Copy, Debug)]
struct Tls {
    version: &'static str,
    mutual: &'static str,
    basis: &'static str,
}

// === impl Expect ===

impl Expect {
    /// In the clear, and that is that.
    pub(crate) fn plaintext(protocol: &'static str) -> Self {
        let (security, state, upgrade) = ("none", "plaintext", "none");
        Self { protocol, security, state, upgrade, tls: None, credentials: None }
    }

    /// TLS from the first byte.
    pub(crate) fn tls(protocol: &'static str, version: &'static str, mutual: &'static str) -> Self {
        let mut expect = Self::plaintext(protocol);
        (expect.security, expect.state) = ("tls", "encrypted");
        // In TLS 1.3 certificates are sealed; before, they are read.
        let basis = if version == "TLS1.3" { "inferred" } else { "observed" };
        expect.tls = Some(Tls { version, mutual, basis });
        expect
    }

    /// TLS after a start in the clear.
    pub(crate) fn upgraded(
        protocol: &'static str,
        version: &'static str,
        mutual: &'static str,
    ) -> Self {
        Self { state: "upgraded", upgrade: "taken", ..Self::tls(protocol, version, mutual) }
    }

    /// Another protection than TLS.
    pub(crate) fn sealed(
        protocol: &'static str,
        security: &'static str,
        state: &'static str,
    ) -> Self {
        Self { security, state, ..Self::plaintext(protocol) }
    }

    /// In the clear, though it need not have been.
    pub(crate) fn upgrade(self, upgrade: &'static str) -> Self {
        Self { upgrade, ..self }
    }

    /// A secret that others can read.
    pub(crate) fn readable(self, mechanism: &'static str) -> Self {
        Self { credentials: Some((mechanism, true)), ..self }
    }

    /// A proof of a secret, which others can see.
    pub(crate) fn proof(self, mechanism: &'static str) -> Self {
        Self { credentials: Some((mechanism, false)), ..self }
    }

    /// What the edge says differently, of so many connections.
    pub(crate) fn check(&self, edge: &Edge, connections: u64) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let found = ["protocol", "security", "state", "upgrade"].map(|key| text(&edge.0[key]));
        let tls = ["version", "mutual", "mutual_basis"].map(|key| text(&edge.0["tls"][key]));
        let wanted = [self.protocol, self.security, self.state, self.upgrade];
        let sealed = self.tls.map_or(["-"; 3], |tls| [tls.version, tls.mutual, tls.basis]);
        let is_right = found == wanted && tls == sealed && self.credentials(edge, connections);
        if is_right {
            return Ok(());
        }
        let credentials = &edge.0["credentials"];
        Err(format!(
            "wanted {wanted:?} {sealed:?} {:?}, found {found:?} {tls:?} {credentials}",
            self.credentials
        ))
    }

    /// That it calls no secret readable that is not.
    pub(crate) fn check_secret(&self, edge: &Edge) -> Result<(), String> {
        let is_readable = self.credentials.is_some_and(|(_, readable)| readable);
        let found = &edge.0["credentials"];
        match is_readable || found["readable"] != Value::Bool(true) {
            true => Ok(()),
            false => Err(format!("no secret is readable, found {found}")),
        }
    }

    /// Whether it says of credentials what it must: of each connection that it counts.
    fn credentials(&self, edge: &Edge, connections: u64) -> bool {
        let found = &edge.0["credentials"];
        let Some((mechanism, readable)) = self.credentials else {
            return found.is_null();
        };
        found["mechanism"] == mechanism
            && found["readable"] == Value::Bool(readable)
            && found["connections"].as_u64().is_some_and(|seen| (1..=connections).contains(&seen))
    }
}
