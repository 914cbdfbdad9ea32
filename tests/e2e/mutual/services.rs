//! Database servers and their clients: TLS after a start in the clear, or from the first byte.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

use plainsight_tests::harness::{Namespace, Place, run};

use super::{
    Ask, Case, Tally, Version, case, judge,
    relay::{Recording, Relay},
    table::Row,
};
use crate::servers::{
    Authority, Identity, Sealing, Server, Yard, free, mariadb, postgresql, redis,
};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Postgresql,
    Mariadb,
    Redis,
}

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

// === impl Service ===

impl Service {
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Postgresql => ["psql", "PostgreSQL"],
            Self::Mariadb => ["mariadb", "MariaDB"],
            Self::Redis => ["redis-cli", "Redis"],
        }
    }

    fn serve(self, yard: &Yard<'_>, port: u16, version: Version, ask: Ask) -> Server {
        let sealing = if ask == Ask::Yes { Sealing::Asks } else { Sealing::OneWay };
        match self {
            Self::Postgresql => postgresql::server(yard, port, "scram-sha-256", sealing),
            Self::Mariadb => mariadb::server(yard, port, sealing),
            Self::Redis => {
                let protocols = format!("tls-protocols TLSv{}", version.number());
                redis::tls_server(yard, port, sealing, &protocols)
            }
        }
    }

    fn client(self, port: u16, version: Version, case: &Case<'_>, authority: &str) -> Command {
        let number = version.number();
        let files = case.identity().map(|Identity { certificate, key, .. }| {
            [certificate, key].map(|path| path.display().to_string())
        });
        let with = |flags: &[&str], names: [&str; 2]| -> Vec<String> {
            let own = names.into_iter().zip(files.iter().flatten());
            let own = own.flat_map(|(name, file)| [name.to_owned(), file.clone()]);
            flags.iter().map(|&flag| flag.to_owned()).chain(own).collect()
        };
        match self {
            Self::Postgresql => {
                let versions = format!(
                    "ssl_min_protocol_version=TLSv1.2 ssl_max_protocol_version=TLSv{number}"
                );
                let own = files.as_ref().map_or_else(
                    || "sslcert=/dev/null/none".to_owned(),
                    |[certificate, key]| format!("sslcert={certificate} sslkey={key}"),
                );
                let how = format!("sslmode=verify-ca sslrootcert={authority} {versions} {own}");
                postgresql::psql(IP, port, &how)
            }
            Self::Mariadb => {
                let version = format!("--tls-version=TLSv{number}");
                let flags = ["--ssl", "--ssl-ca", authority, &version];
                mariadb::mariadb(IP, port, &with(&flags, ["--ssl-cert", "--ssl-key"]))
            }
            Self::Redis => {
                let flags = ["--tls", "--cacert", authority];
                redis::redis_cli(IP, port, &with(&flags, ["--cert", "--key"]))
            }
        }
    }

    /// What both said from the first TLS record on.
    fn tls(self, mut recording: Recording) -> Recording {
        let clear = match self {
            // SSLRequest, and one letter.
            Self::Postgresql => [8, 1],
            // A packet each, with the length of the server's in front.
            Self::Mariadb => match recording.server.as_slice() {
                [low, middle, high, ..] => [
                    36,
                    4 + usize::from(*low)
                        + (usize::from(*middle) << 8)
                        + (usize::from(*high) << 16),
                ],
                _ => [0, 0],
            },
            Self::Redis => [0, 0],
        };
        let after = |bytes: &[u8], at: usize| bytes.get(at..).unwrap_or_default().to_vec();
        recording.client = after(&recording.client, clear[0]);
        recording.server = after(&recording.server, clear[1]);
        recording
    }
}

pub(super) fn measure(
    namespace: &Namespace,
    authority: &Authority,
    identities: &[(String, Identity)],
    tally: &mut Tally,
) {
    let place = Place { cgroup: None, namespace: Some(namespace) };
    let yard = Yard::new(place, namespace, IP, authority);
    for service in [Service::Postgresql, Service::Mariadb, Service::Redis] {
        for version in Version::ALL {
            for ask in [Ask::No, Ask::Yes] {
                // It asks whenever it can verify.
                if service == Service::Mariadb && ask == Ask::No {
                    continue;
                }
                one(service, &yard, version, ask, identities, tally);
            }
        }
    }
}

fn one(
    service: Service,
    yard: &Yard<'_>,
    version: Version,
    ask: Ask,
    identities: &[(String, Identity)],
    tally: &mut Tally,
) {
    let [port] = free(IP);
    let _server = service.serve(yard, port, version, ask);
    let relay = Relay::to((IP, port).into());
    let authority = yard.authority.certificate().display().to_string();
    let [client, server] = service.names();
    let row = Row::new(client, server, version);
    for case in case::of(ask, identities) {
        // It takes no curve but P-256 before TLS 1.3, from clients either.
        let is_refused = version == Version::Tls12 && case.names("p384");
        if service == Service::Postgresql && is_refused {
            continue;
        }
        let finished = run(&mut service.client(relay.address.port(), version, &case, &authority));
        let recorded = relay.next().map(|recording| service.tls(recording));
        match recorded {
            Ok(recording) if finished.status.success() => {
                judge(&recording, &case, "first", &row, tally);
            }
            other => {
                tally.fail(row.clone(), format!("{case:?}: {} {:?}", finished.stderr, other.err()))
            }
        }
    }
}
