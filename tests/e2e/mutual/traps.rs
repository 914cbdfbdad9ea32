//! What could be mistaken for a certificate: padding, a second hello, data before the handshake
//! is over. None of these clients has one to show, or each has; both must be told apart or not
//! told at all.

use std::net::Ipv4Addr;

use plainsight_tests::harness::run;

use super::{
    Ask, Case, Tally, Version, case, judge,
    relay::Relay,
    stack::{self, Serving},
    table::Row,
};
use crate::servers::{Authority, Folder, Identity, free};

/// Flags of OpenSSL's server and client.
struct Trap {
    name: &'static str,
    server: &'static [&'static str],
    client: &'static [&'static str],
}

const TRAPS: &[Trap] = &[
    trap("padded to 64", &[], &["-record_padding", "64"]),
    trap("padded to 256", &[], &["-record_padding", "256"]),
    trap("padded to 1024", &[], &["-record_padding", "1024"]),
    trap("both padded", &["-record_padding", "512"], &["-record_padding", "512"]),
    trap("small records", &[], &["-max_send_frag", "512"]),
    trap("asked for a second hello", &["-groups", "P-384"], &["-groups", "X25519:P-384"]),
    trap("AES-128", &[], &["-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    trap("ChaCha20", &[], &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]),
    trap("no tickets", &["-num_tickets", "0"], &[]),
];

const fn trap(
    name: &'static str,
    server: &'static [&'static str],
    client: &'static [&'static str],
) -> Trap {
    Trap { name, server, client }
}

pub(super) fn measure(authority: &Authority, identities: &[(String, Identity)], tally: &mut Tally) {
    for trap in TRAPS {
        for ask in [Ask::No, Ask::Yes] {
            let [port] = free(Ipv4Addr::LOCALHOST.into());
            let mut command = stack::openssl_server(port, authority, ask);
            command.args(trap.server);
            let serving = Serving::start(Folder::new("trap"), &mut command, port);
            let relay = Relay::to(serving.address);
            for case in case::of(ask, identities) {
                one(trap, "OpenSSL", &relay, &case, tally);
            }
        }
    }
    early(authority, identities, tally);
}

/// nginx takes data from clients that resume before it has heard the rest of their handshake.
fn early(authority: &Authority, identities: &[(String, Identity)], tally: &mut Tally) {
    for ask in [Ask::No, Ask::Yes] {
        let [port] = free(Ipv4Addr::LOCALHOST.into());
        let folder = Folder::new("early");
        let mut command = stack::nginx(&folder, port, authority, ask, "ssl_early_data on;");
        let serving = Serving::start(folder, &mut command, port);
        let relay = Relay::to(serving.address);
        for case in case::of(ask, identities) {
            one(&trap("early data", &[], &[]), "nginx", &relay, &case, tally);
        }
    }
}

/// A connection, and another that resumes its session and sends at once where it may.
fn one(trap: &Trap, server: &str, relay: &Relay, case: &Case<'_>, tally: &mut Tally) {
    let row = Row::new(&format!("OpenSSL, {}", trap.name), server, Version::Tls13);
    let folder = Folder::new("session");
    let (session, words) =
        (folder.text("session"), folder.write("early", "GET / HTTP/1.0\r\n\r\n"));
    let early = words.display().to_string();
    let first = ["-sess_out", &session];
    let again = ["-sess_in", &session, "-early_data", &early];
    for (turn, flags) in [("first", &first[..]), ("again", &again[..])] {
        if turn == "again" && !folder.at("session").exists() {
            break;
        }
        let flags = [flags, trap.client].concat();
        let mut command =
            stack::openssl_client(relay.address, Version::Tls13, case.identity(), &flags);
        relay.forget();
        let finished = run(&mut command);
        if !finished.status.success() {
            tally.fail(row.clone(), format!("{case:?}, {turn}: {}", finished.stderr));
            break;
        }
        match relay.next() {
            Ok(recording) => judge(&recording, case, turn, &row, tally),
            Err(reason) => tally.fail(row.clone(), format!("{case:?}, {turn}: {reason}")),
        }
    }
}
