//! rustls at both ends, in threads of the test.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use plainsight_tests::harness::patience;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::{Ask, Version};
use crate::servers::{Authority, Identity};

/// Starts a server, which ends with the test.
pub(super) fn serve(authority: &Authority, ask: Ask) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let config = Arc::new(server(authority, ask));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(stream, &config) {
                eprintln!("rustls: {error}");
            }
        }
    });
    address
}

/// Two connections, of which the second resumes the session of the first.
pub(super) fn connect(
    to: SocketAddr,
    version: Version,
    authority: &Authority,
    identity: Option<&Identity>,
) -> Result<(), String> {
    let config = Arc::new(client(version, authority, identity));
    for _ in 0..2 {
        question(to, &config).map_err(|error| format!("rustls: {error}"))?;
    }
    Ok(())
}

fn question(to: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<()> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(patience()))?;
    let mut stream = Stream::new(&mut tls, &mut stream);
    stream.write_all(b"GET / HTTP/1.0\n")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer(mut stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    stream.set_read_timeout(Some(patience()))?;
    let mut both = Stream::new(&mut tls, &mut stream);
    let mut byte = [0];
    while byte != *b"\n" {
        both.read_exact(&mut byte)?;
    }
    both.write_all(b"answer\n")?;
    tls.send_close_notify();
    tls.complete_io(&mut stream)?;
    Ok(())
}

fn server(authority: &Authority, ask: Ask) -> ServerConfig {
    let builder = ServerConfig::builder();
    let builder = match ask {
        Ask::No => builder.with_no_client_auth(),
        Ask::Yes => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots(authority)));
            let verifier = verifier.allow_unauthenticated().build().expect("there is a root");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = load(&authority.server);
    builder.with_single_cert(chain, key).expect("certificate and key fit")
}

fn client(version: Version, authority: &Authority, identity: Option<&Identity>) -> ClientConfig {
    let versions = match version {
        Version::Tls12 => [&TLS12],
        Version::Tls13 => [&TLS13],
    };
    let builder = ClientConfig::builder_with_protocol_versions(&versions);
    let builder = builder.with_root_certificates(roots(authority));
    match identity.map(load) {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("they fit"),
    }
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for root in certificates(&authority.certificate()) {
        roots.add(root).expect("a root");
    }
    roots
}

fn load(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    (certificates(&identity.certificate), key)
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_file_iter(path).expect("certificates");
    certificates.collect::<Result<_, _>>().expect("certificates")
}
