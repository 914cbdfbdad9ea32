//! Both ends of a handshake put together: what they agreed on, and who proved who they are.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use super::bytes::Bytes;
use super::flight::{Flight, Message, kind};
use super::hello::{ClientHello, ServerHello};
use super::{Basis, Certificate, ClientCertificate, Mutual, Tls, certificate, mutual, names};

/// What the client said.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) hello: Option<ClientHello>,
    /// Whether any of its hellos announced data before the server's answer.
    early_data: bool,
    /// Whether it had a certificate, where it was asked for one.
    certificate: Option<bool>,
    identity: Option<Certificate>,
    /// Whether it proved to have the certificate's key.
    is_proven: bool,
    /// Whether it sent its half of the key, as it does in the clear up to TLS 1.2.
    key_exchange: bool,
}

/// What the server said.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// Whether it began to answer a hello with its own.
    is_answering: bool,
    hello: Option<ServerHello>,
    certificate: Option<Certificate>,
    /// Whether it asked for a certificate.
    is_asking: bool,
    /// Whether it sent anything that only a full handshake has, up to TLS 1.2.
    is_full: bool,
    /// Whether it said that nothing more is to come, up to TLS 1.2.
    is_done: bool,
    group: Option<(Cow<'static, str>, bool)>,
}

/// Most certificate bytes of one end that are looked at.
const CERTIFICATES_MAX: usize = 64 * 1024;

// === impl Client ===

impl Client {
    pub(super) fn read(flight: &Flight) -> Self {
        let mut client = Self::default();
        for message in flight.messages() {
            client.hear(message);
        }
        if flight.no_certificate {
            client.certificate.get_or_insert(false);
        }
        client
    }

    fn hear(&mut self, message: Message<'_>) {
        let body = message.body;
        match message.kind {
            kind::CLIENT_HELLO => {
                let hello = ClientHello::read(body, message.is_whole);
                self.early_data |= hello.as_ref().is_some_and(|hello| hello.early_data);
                self.hello = hello.or_else(|| self.hello.take());
            }
            kind::CERTIFICATE => {
                self.certificate = Bytes(body).u24().map(|length| length > 0);
                self.identity = leaf(body);
            }
            kind::CERTIFICATE_VERIFY => self.is_proven = true,
            kind::CLIENT_KEY_EXCHANGE => self.key_exchange = true,
            _ => {}
        }
    }

    /// Whether it went on in a way that only a server's answer allows.
    fn went_on(&self, flight: &Flight) -> bool {
        self.key_exchange || flight.is_protected() && self.hello.is_some() && !self.early_data
    }
}

// === impl Server ===

impl Server {
    pub(super) fn read(flight: &Flight) -> Self {
        let mut server = Self::default();
        for message in flight.messages() {
            server.hear(message);
        }
        server
    }

    fn hear(&mut self, message: Message<'_>) {
        let body = message.body;
        match message.kind {
            kind::SERVER_HELLO => {
                self.is_answering = true;
                // Its end may say that all before it means something else.
                let hello = message.is_whole.then(|| ServerHello::read(body)).flatten();
                self.hello = hello.or_else(|| self.hello.take());
            }
            kind::CERTIFICATE => {
                self.is_full = true;
                self.certificate = leaf(body);
            }
            kind::SERVER_KEY_EXCHANGE => {
                self.is_full = true;
                let suite = self.hello.as_ref().map(|hello| names::suite(hello.suite));
                self.group = suite.and_then(|suite| group(&suite, body));
            }
            kind::CERTIFICATE_REQUEST => self.is_asking = true,
            kind::SERVER_HELLO_DONE => {
                self.is_full = true;
                self.is_done = true;
            }
            _ => {}
        }
    }
}

/// Puts together what both ends said. Nothing where neither said anything of a handshake.
pub(super) fn join(client: Client, server: Server, flights: (&Flight, &Flight)) -> Option<Tls> {
    if client.hello.is_none() && !server.is_answering && server.certificate.is_none() {
        return None;
    }
    let answered = server.is_answering || flights.1.is_empty() && client.went_on(flights.0);
    let mut tls = Tls {
        answered,
        protected: answered && is_protected(&server, flights),
        resumed: resumed(&client, &server, flights.1),
        client_certificate: asked(&client, &server),
        ..Tls::default()
    };
    (tls.mutual, tls.mutual_basis) = mutual(&client, &server, &tls, flights.0);
    if let Some(hello) = &server.hello {
        agree(&mut tls, hello, server.group);
    } else if let Some(offered) = client.hello.as_ref().filter(|_| !answered) {
        tls.version = offered.version.and_then(names::version).map(String::from);
    }
    if let Some(hello) = client.hello {
        (tls.sni, tls.alpn_offered, tls.ech) = (hello.sni, hello.alpn, hello.ech);
    }
    // TLS 1.3 seals certificates: what looks like one in the clear is none (RFC 8446, section 4.4.2).
    let is_sealed = tls.client_certificate == ClientCertificate::Invisible;
    let is_given = tls.client_certificate == ClientCertificate::Presented;
    tls.certificate = server.certificate.filter(|_| !is_sealed);
    tls.client_identity = client.identity.filter(|_| is_given);
    Some(tls)
}

/// Whether protected payload followed both hellos. Up to TLS 1.2 a single Finished does not count,
/// since an alert may be the answer: it takes that of the other end too, or data.
fn is_protected(server: &Server, flights: (&Flight, &Flight)) -> bool {
    let is_sealing = server.hello.as_ref().is_some_and(|hello| is_sealing(hello.version));
    match (flights.0.is_protected(), flights.1.is_protected()) {
        (true, true) => true,
        (false, false) => false,
        _ => is_sealing || flights.0.has_data() || flights.1.has_data(),
    }
}

/// What the server chose.
fn agree(tls: &mut Tls, hello: &ServerHello, group: Option<(Cow<'static, str>, bool)>) {
    tls.version = names::version(hello.version).map(String::from);
    tls.cipher = Some(names::suite(hello.suite).into_owned());
    tls.alpn.clone_from(&hello.alpn);
    if let Some((group, withstands)) = hello.group.map(names::group).or(group) {
        (tls.group, tls.post_quantum) = (Some(group.into_owned()), withstands);
    }
}

/// Whether an earlier session was resumed: in TLS 1.3 the server says so, before that it leaves out
/// what only a full handshake has, or repeats the session's number.
fn resumed(client: &Client, server: &Server, flight: &Flight) -> Option<bool> {
    let hello = server.hello.as_ref()?;
    if is_sealing(hello.version) {
        return (!hello.is_retry).then_some(hello.psk);
    }
    let offered = client.hello.as_ref().map(|hello| &hello.session);
    let is_repeated = !hello.session.is_empty() && offered == Some(&hello.session);
    match (server.is_full, flight.changed || is_repeated) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

/// What of the client's certificate was read.
fn asked(client: &Client, server: &Server) -> ClientCertificate {
    let version = server.hello.as_ref().map(|hello| hello.version);
    match (client.certificate, server.is_asking) {
        _ if version.is_some_and(is_sealing) => ClientCertificate::Invisible,
        (Some(true), _) => ClientCertificate::Presented,
        (Some(false), _) => ClientCertificate::RequestedEmpty,
        (None, true) => ClientCertificate::Requested,
        // A client that is asked answers before it sends its half of the key.
        (None, false) if server.is_done || client.key_exchange => ClientCertificate::NotRequested,
        (None, false) => ClientCertificate::Unknown,
    }
}

/// Whether both ends proved who they are, and how that is known.
fn mutual(client: &Client, server: &Server, tls: &Tls, flight: &Flight) -> (Mutual, Basis) {
    match tls.client_certificate {
        ClientCertificate::Presented if client.is_proven => (Mutual::Mutual, Basis::Observed),
        ClientCertificate::RequestedEmpty => (Mutual::RequestedNotGiven, Basis::Observed),
        ClientCertificate::NotRequested => (Mutual::OneWay, Basis::Observed),
        ClientCertificate::Invisible => (inferred(client, server, tls, flight), Basis::Inferred),
        _ => (Mutual::Unknown, Basis::Inferred),
    }
}

/// Only a full handshake in which the client's first protected records are its answer says anything.
fn inferred(client: &Client, server: &Server, tls: &Tls, flight: &Flight) -> Mutual {
    let Some((hello, chosen)) = client.hello.as_ref().zip(server.hello.as_ref()) else {
        return Mutual::Unknown;
    };
    if !hello.is_whole
        || tls.resumed != Some(false)
        || client.early_data
        || !names::is_tls13(chosen.version)
    {
        return Mutual::Unknown;
    }
    mutual::infer(&flight.sealed, chosen.suite, hello.settings)
}

/// Whether certificates are sealed in this version.
const fn is_sealing(version: u16) -> bool {
    names::is_tls13(version) || version == 0xfefc
}

/// The first certificate of a Certificate message up to TLS 1.2 (RFC 5246, section 7.4.2): the one
/// of the end that sent it.
fn leaf(body: &[u8]) -> Option<Certificate> {
    let mut body = Bytes(body);
    let length = body.u24()?.min(CERTIFICATES_MAX);
    certificate::read(body.take_up_to(length).vector24()?.0)
}

/// The group of a ServerKeyExchange up to TLS 1.2: a named curve (RFC 8422, section 5.4), or a
/// prime of which the length is all that has a name (RFC 5246, section 7.4.3).
fn group(suite: &str, body: &[u8]) -> Option<(Cow<'static, str>, bool)> {
    const NAMED_CURVE: u8 = 3;
    let mut body = Bytes(body);
    if suite.contains("_PSK_") {
        body.vector16()?;
    }
    if suite.starts_with("TLS_ECDH") {
        (body.u8()? == NAMED_CURVE).then_some(())?;
        Some(names::group(body.u16()?))
    } else if suite.starts_with("TLS_DH") {
        let bits = certificate::bits(body.vector16()?.0);
        Some((format!("DH {bits}").into(), false))
    } else {
        None
    }
}
