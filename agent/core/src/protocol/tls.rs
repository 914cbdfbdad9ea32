//! What a TLS, DTLS or QUIC handshake says of both ends.

pub(in crate::protocol) mod bytes;
mod certificate;
pub mod dtls;
mod flight;
mod handshake;
mod hello;
mod mesh;
mod mutual;
mod names;
pub(in crate::protocol) mod pieces;
mod record;
mod sslv2;

use alloc::string::String;
use alloc::vec::Vec;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::record::{Kind, Record, Records, records};

use self::flight::Flight;
use self::handshake::{Client, Server};
use self::hello::ClientHello;
use super::conversation::Side;

/// What a handshake said. Names and texts come from the network and are not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The negotiated version: `TLS1.2`, `DTLS1.2`, `SSLv3`; of a hello that nobody answered, the
    /// highest that was offered.
    pub version: Option<String>,
    /// The negotiated cipher suite by its IANA name, or `0x` and its code.
    pub cipher: Option<String>,
    /// The group of the key exchange by its IANA name, or `DH` and the bits of a prime that has no
    /// name.
    pub group: Option<String>,
    /// Whether that group is a hybrid that withstands quantum computers.
    pub post_quantum: bool,
    /// The server name the client asked for.
    pub sni: Option<String>,
    /// The application protocol the server chose (RFC 7301).
    pub alpn: Option<String>,
    /// The application protocols that the client offered.
    pub alpn_offered: Vec<String>,
    /// Whether the client sent an encrypted client hello; browsers send empty ones too.
    pub ech: bool,
    /// Whether an earlier session was resumed, where that is known.
    pub resumed: Option<bool>,
    /// Whether both ends proved who they are.
    pub mutual: Mutual,
    /// How that is known.
    pub mutual_basis: Basis,
    /// What of the client's certificate was read in the handshake.
    pub client_certificate: ClientCertificate,
    /// The server's certificate, where it was readable.
    pub certificate: Option<Certificate>,
    /// The client's, likewise.
    pub client_identity: Option<Certificate>,
    /// The version of QUIC, where that carries the handshake: `1`, `2`, `draft-29`, `Q050`.
    pub quic_version: Option<String>,
    /// Whether the server answered the hello.
    pub answered: bool,
    /// Whether protected payload followed.
    pub protected: bool,
}

/// Whether both ends proved who they are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mutual {
    /// They did.
    Mutual,
    /// The server alone: it did not ask the client.
    OneWay,
    /// The server asked, and the client had no certificate.
    RequestedNotGiven,
    /// Not known: resumed, not seen from the start, or not to be told.
    #[default]
    Unknown,
}

/// How something is known.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Read in messages.
    Observed,
    /// Told from the lengths of protected records.
    #[default]
    Inferred,
}

/// What of the client's certificate was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// The client sent one.
    Presented,
    /// The server asked for one; the answer was not seen.
    Requested,
    /// The server asked for one, and the client sent none.
    RequestedEmpty,
    /// The server did not ask.
    NotRequested,
    /// Sealed, as all of it is in TLS 1.3.
    Invisible,
    /// No full handshake was seen.
    #[default]
    Unknown,
}

/// What a certificate says (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its subject's name, as `CN=…,O=…` (RFC 4514).
    pub subject: String,
    /// Its issuer's.
    pub issuer: String,
    /// Names and addresses it is for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Its key: `RSA 2048`, `EC P-256`, `Ed25519`.
    pub key: String,
    /// Whether subject and issuer are one.
    pub self_signed: bool,
}

/// Reads a TLS handshake from what each end sent, from its first TLS record on. Either may be empty
/// or cut anywhere; of each direction no more than 64 KiB are read. Nothing where neither said
/// anything of a handshake.
pub fn read(client: &[u8], server: &[u8]) -> Option<Tls> {
    let old = sslv2::client_hello(client);
    let rest = old.map_or(client, |(_, length)| client.get(length..).unwrap_or_default());
    let flights = (&Flight::read(rest), &Flight::read(server));
    let mut said = Client::read(flights.0);
    if let (Some((version, _)), None) = (old, &said.hello) {
        said.hello = Some(ClientHello { version: Some(version), ..ClientHello::default() });
    }
    match sslv2::server_hello(server) {
        Some(tls) if old.is_some() || client.is_empty() => Some(tls),
        _ => handshake::join(said, Server::read(flights.1), flights),
    }
}

/// Reads a handshake whose messages come without records, as in QUIC (RFC 9001, section 4).
pub(super) fn read_messages(client: Vec<u8>, server: Vec<u8>) -> Option<Tls> {
    let flight = |clear| Flight { clear, ..Flight::default() };
    let flights = (&flight(client), &flight(server));
    handshake::join(Client::read(flights.0), Server::read(flights.1), flights)
}

#[cfg(test)]
pub(in crate::protocol) mod tests;
