//! Streams as labels: tab-separated values, one line for each stream.

use plainsight_core::{
    escape,
    protocol::tls::{ClientCertificate, Tls},
};
use plainsight_ebpf::wire::stage::Stage;

use super::{Replayed, stream::Stream};

/// The names of the columns.
pub const HEADER: &str =
    "capture\tsrc\tsport\tdst\tdport\tl4\tprotocol\tenc\ttls_version\tsni\talpn\tmtls\n";

/// One line for each stream of a capture.
pub fn lines(replayed: &Replayed) -> String {
    replayed.streams.iter().map(|stream| line(&replayed.name, stream)).collect()
}

fn line(capture: &str, stream: &Stream) -> String {
    let assessment = stream.assessment.as_ref();
    let tls = assessment.and_then(|assessment| assessment.tls.as_ref());
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let fields = [
        capture.to_owned(),
        stream.client.ip().to_string(),
        stream.client.port().to_string(),
        stream.server.ip().to_string(),
        stream.server.port().to_string(),
        stream.carrier.name().to_owned(),
        assessment.map_or(stream.carrier.name(), |found| found.protocol.name()).to_owned(),
        protection(stream.stage()).to_owned(),
        text(tls.and_then(|tls| tls.version.as_ref())),
        text(tls.and_then(|tls| tls.sni.as_ref())),
        tls.map(alpn).unwrap_or_default(),
        tls.map(client_certificate).unwrap_or_default().to_owned(),
    ];
    fields.map(|field| escape::terminal(&field).into_owned()).join("\t") + "\n"
}

const fn protection(stage: Stage) -> &'static str {
    match stage {
        Stage::Pending | Stage::Unknown => "unknown",
        Stage::Plaintext | Stage::MayUpgrade | Stage::OfferedNotTaken | Stage::Refused => {
            "plaintext"
        }
        Stage::Offered | Stage::Handshake => "handshake_only",
        Stage::Encrypted => "encrypted",
        Stage::Upgraded => "upgraded",
        Stage::Partial => "partial",
    }
}

/// The one that was chosen, else all that were offered.
fn alpn(tls: &Tls) -> String {
    tls.alpn.clone().unwrap_or_else(|| tls.alpn_offered.join(","))
}

const fn client_certificate(tls: &Tls) -> &'static str {
    match tls.client_certificate {
        ClientCertificate::Presented => "presented",
        ClientCertificate::Requested => "requested",
        ClientCertificate::RequestedEmpty => "requested-empty",
        ClientCertificate::NotRequested => "not-requested",
        ClientCertificate::Invisible => "invisible",
        ClientCertificate::Unknown => "unknown",
    }
}
