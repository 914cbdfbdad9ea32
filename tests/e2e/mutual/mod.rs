//! How well it is told whether both ends proved who they are: every stack that can be had, with
//! certificates of all kinds, against what is known of each connection.
//!
//! Unknown is an answer. A wrong one is not: a hop that is called mutual without a certificate is
//! a promise that nobody keeps.

mod case;
mod relay;
mod rustls;
mod services;
mod stack;
mod table;
mod traps;

use case::Case;
use plainsight_core::protocol::tls;
use plainsight_tests::harness::{Namespace, full, report};
use relay::{Recording, Relay};
use stack::{Stack, Tools};
use table::{Row, Tally};

use crate::servers::Authority;

/// Whether the server asks for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    No,
    Yes,
}

/// What client and server speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

/// Which client goes to which server.
const SMALL: &[(Stack, Stack)] =
    &[(Stack::OpenSsl, Stack::OpenSsl), (Stack::Rustls, Stack::Rustls), (Stack::Web, Stack::Web)];

const FULL: &[(Stack, Stack)] = &[
    (Stack::OpenSsl, Stack::OpenSsl),
    (Stack::Rustls, Stack::Rustls),
    (Stack::Web, Stack::Web),
    (Stack::GnuTls, Stack::GnuTls),
    (Stack::Go, Stack::Go),
    (Stack::Java, Stack::Java),
    (Stack::GnuTls, Stack::OpenSsl),
    (Stack::Go, Stack::OpenSsl),
    (Stack::Java, Stack::OpenSsl),
    (Stack::Rustls, Stack::OpenSsl),
    (Stack::Web, Stack::OpenSsl),
    (Stack::OpenSsl, Stack::GnuTls),
    (Stack::OpenSsl, Stack::Go),
    (Stack::OpenSsl, Stack::Java),
    (Stack::OpenSsl, Stack::Rustls),
    (Stack::OpenSsl, Stack::Web),
];

// === impl Version ===

impl Version {
    const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    pub(crate) const fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

#[test]
fn who_proved_themselves_is_told_rightly_or_not_at_all() {
    let namespace = Namespace::new();
    let tally = namespace.enter(|| measure(&namespace));
    for line in tally.table() {
        report("mutual TLS", "no wrong answer", line.trim_matches('|').replace('|', ","));
    }
    report("mutual TLS, all together", "0 called mutual", tally.summary());
    tally.write();
    let wrong = tally.wrong();
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tally.right() > tally.unknown(), "most of it is known");
}

fn measure(namespace: &Namespace) -> Tally {
    let authority = Authority::new();
    let tools = Tools::new(full());
    let identities = case::identities(&authority, full());
    let mut tally = Tally::default();
    for (client, server) in if full() { FULL } else { SMALL } {
        for ask in [Ask::No, Ask::Yes] {
            let serving = server.serve(&tools, &authority, ask);
            let relay = Relay::to(serving.address);
            for case in case::of(ask, &identities) {
                let connect = |version| {
                    client.connect(&tools, relay.address, version, &authority, case.identity())
                };
                let row = |version| Row::new(client.names()[0], server.names()[1], version);
                both(&relay, &case, connect, row, &mut tally);
            }
        }
    }
    services::measure(namespace, &authority, &identities, &mut tally);
    traps::measure(&authority, &identities, &mut tally);
    tally
}

/// Both versions, and of each a first connection and one that resumes it.
fn both(
    relay: &Relay,
    case: &Case<'_>,
    connect: impl Fn(Version) -> Result<(), String>,
    row: impl Fn(Version) -> Row,
    tally: &mut Tally,
) {
    for version in Version::ALL {
        relay.forget();
        let row = row(version);
        if let Err(reason) = connect(version) {
            tally.fail(row, format!("{case:?}: {reason}"));
            continue;
        }
        for turn in ["first", "again"] {
            match relay.next() {
                Ok(recording) => judge(&recording, case, turn, &row, tally),
                Err(reason) => tally.fail(row.clone(), format!("{case:?}, {turn}: {reason}")),
            }
        }
    }
}

/// Compares what is read with what is known.
fn judge(recording: &Recording, case: &Case<'_>, turn: &str, row: &Row, tally: &mut Tally) {
    let Some(read) = tls::read(&recording.client, &recording.server) else {
        return tally.fail(row.clone(), format!("{case:?}, {turn}: no handshake"));
    };
    let what = format!("{case:?}, {turn}, {read:?}");
    tally.add(row.clone(), case.truth(), &read, &what);
}
