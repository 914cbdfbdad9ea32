//! Which ends of a connection the agent watches. An end that is watched alone cannot lean on the
//! other's word.

use plainsight_tests::harness::{Edge, Place, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Both,
    Client,
    Server,
}

// === impl Watched ===

impl Watched {
    pub(crate) const ALL: [Self; 3] = [Self::Both, Self::Client, Self::Server];

    /// How many ends those are.
    pub(crate) fn ends(self) -> u64 {
        if self == Self::Both { 2 } else { 1 }
    }

    /// Where client and server go, whatever their network namespaces.
    pub(crate) fn places(self, stage: &Stage) -> [Place<'_>; 2] {
        [Self::Server, Self::Client].map(|other| match self == other {
            true => Place::default(),
            false => stage.place(),
        })
    }
}

/// The one edge of a client and a server of these names. Who is not watched has no name.
pub(crate) fn edge<'a>(edges: &'a [Edge], client: &str, server: &str) -> Result<&'a Edge, String> {
    let found = all(edges, client, server);
    let [edge] = found[..] else {
        let shown: String = found.iter().map(|edge| format!("{}\n", edge.0)).collect();
        return Err(format!("not one edge of {client} and {server}:\n{shown}"));
    };
    Ok(edge)
}

/// All edges of either.
pub(crate) fn all<'a>(edges: &'a [Edge], client: &str, server: &str) -> Vec<&'a Edge> {
    edges.iter().filter(|edge| edge.client() == client || edge.server() == server).collect()
}
