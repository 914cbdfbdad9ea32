//! What the agent says, read as plain JSON: the tests do not share its types.

use serde_json::Value;

/// An edge of `/api/v1/edges`.
#[derive(Clone, Debug)]
pub struct Edge(pub Value);

/// A record of `observe -o json`.
#[derive(Clone, Debug)]
pub struct Record(pub Value);

// === impl Edge ===

impl Edge {
    /// The client's name.
    #[must_use]
    pub fn client(&self) -> &str {
        text(&self.0["client"]["name"])
    }

    /// The server's name.
    #[must_use]
    pub fn server(&self) -> &str {
        text(&self.0["server"]["name"])
    }

    /// A field that is text; empty where it is not.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        text(&self.0[key])
    }

    /// A field that is a number.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        number(&self.0, key)
    }

    /// Failures of one kind.
    ///
    /// # Panics
    ///
    /// If it has none of that name.
    #[must_use]
    pub fn failures(&self, kind: &str) -> u64 {
        number(&self.0["failures_by_kind"], kind)
    }

    /// Who saw it.
    #[must_use]
    pub fn reporters(&self) -> Vec<&str> {
        self.0["reporters"].as_array().into_iter().flatten().map(text).collect()
    }

    /// Connections, of those open, and bytes sent and received, as the client sees them.
    ///
    /// # Panics
    ///
    /// If one of them is missing.
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        ["connections", "open", "bytes_sent", "bytes_received"].map(|key| self.number(key))
    }

    /// Datagrams sent and received, and bytes, as the client sees them.
    ///
    /// # Panics
    ///
    /// If one of them is missing.
    #[must_use]
    pub fn datagrams(&self) -> [u64; 4] {
        ["datagrams_sent", "datagrams_received", "bytes_sent", "bytes_received"]
            .map(|key| self.number(key))
    }
}

// === impl Record ===

impl Record {
    /// Which end reports.
    #[must_use]
    pub fn reporter(&self) -> &str {
        self.detail_text("reporter")
    }

    /// How it ended.
    #[must_use]
    pub fn close(&self) -> &str {
        self.detail_text("close")
    }

    /// Bytes sent and received, as the client sees them.
    ///
    /// # Panics
    ///
    /// If one of them is missing.
    #[must_use]
    pub fn bytes(&self) -> [u64; 2] {
        ["bytes_sent", "bytes_received"].map(|key| number(&self.0["plainsight"], key))
    }

    /// Ports of client and server.
    ///
    /// # Panics
    ///
    /// If one of them is missing.
    #[must_use]
    pub fn ports(&self) -> [u64; 2] {
        ["source_port", "destination_port"].map(|key| number(&self.0["flow"]["l4"]["TCP"], key))
    }

    /// The server's name.
    #[must_use]
    pub fn server(&self) -> &str {
        text(&self.0["plainsight"]["server"]["name"])
    }

    /// A field of Plainsight's own part that is text; empty where it is not.
    #[must_use]
    pub fn detail_text(&self, key: &str) -> &str {
        text(&self.0["plainsight"][key])
    }
}

/// The one edge between these two.
///
/// # Errors
///
/// With all edges, if there is none or more than one.
pub fn one<'a>(edges: &'a [Edge], client: &str, server: &str) -> Result<&'a Edge, String> {
    let mut found = edges.iter().filter(|edge| edge.client() == client && edge.server() == server);
    match (found.next(), found.next()) {
        (Some(edge), None) => Ok(edge),
        _ => Err(format!("not one edge {client} → {server} in:\n{}", list(edges))),
    }
}

/// The same, if there are no other edges.
///
/// # Errors
///
/// As [`one`], and if there are others.
pub fn only<'a>(edges: &'a [Edge], client: &str, server: &str) -> Result<&'a Edge, String> {
    let edge = one(edges, client, server)?;
    if edges.len() == 1 { Ok(edge) } else { Err(format!("other edges in:\n{}", list(edges))) }
}

fn list(edges: &[Edge]) -> String {
    edges.iter().map(|edge| format!("{}\n", edge.0)).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {value}"))
}
