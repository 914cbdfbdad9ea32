//! What each target does with its bytes.

use plainsight::discover::{cgroup, mount};
use plainsight::{intake, replay};
use plainsight_core::escape;
use plainsight_core::protocol::conversation::{Conversation, Datagram, Exchange, Side, Turn};
use plainsight_core::protocol::tls::ClientCertificate;
use plainsight_core::protocol::{assess, exchange, quic, tls};
use plainsight_ebpf::wire::head::{self, Start};
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::Talk;
use plainsight_ebpf::wire::{ip, tcp};

use crate::script::Script;

/// Headers as they lie in a packet.
pub(crate) fn packet(bytes: &[u8]) {
    let Some(first) = bytes.first() else { return };
    let at = if ip::is_v6(*first) { Some(ip::V6_LEN) } else { ip::v4_len(*first) };
    let Some(at) = at else { return };
    let Some(header) = bytes.get(at as usize..).and_then(<[u8]>::first_chunk) else { return };
    let Ok(length) = u32::try_from(bytes.len()) else { return };
    if let Some(segment) = tcp::Segment::read(header, at, length) {
        assert!(segment.payload_at >= at + tcp::MIN_LEN);
        assert_eq!(segment.payload_at + segment.payload, length);
    }
}

/// An event off the ring, as a damaged kernel half might write it.
pub(crate) fn event(bytes: &[u8]) {
    _ = intake::decode(bytes);
}

/// `/proc/self/mountinfo`.
pub(crate) fn mounts(bytes: &[u8]) {
    _ = mount::parse(bytes);
}

/// `/proc/PID/cgroup`: a process chooses what its cgroups are called.
pub(crate) fn membership(bytes: &[u8]) {
    _ = cgroup::membership(&String::from_utf8_lossy(bytes));
}

/// Text for a terminal.
pub(crate) fn escape(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = escape::terminal(&text);
    assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
    assert_eq!(escape::terminal(&shown), shown, "what is escaped is not escaped again");
}

/// The kernel's judgement of a conversation over TCP, segment by segment.
pub(crate) fn heads(bytes: &[u8]) {
    let mut talk = Talk::default();
    for part in Script::new(bytes) {
        let before = talk.before(part.side);
        talk.hear(part.side, head::head(&Start::new(part.bytes), part.bytes.len() as u32, before));
        _ = (talk.reading(), talk.secret(), talk.is_settled(), talk.wants(part.side, 3));
    }
}

/// The whole judgement of it.
pub(crate) fn conversation(bytes: &[u8]) {
    let Some((options, bytes)) = bytes.split_first() else { return };
    let (mut client, mut server, mut turns) = (Vec::new(), Vec::new(), Vec::new());
    for part in Script::new(bytes) {
        turns.push(Turn { side: part.side, length: part.bytes.len() });
        match part.side {
            Side::Client => client.extend_from_slice(part.bytes),
            Side::Server => server.extend_from_slice(part.bytes),
        }
    }
    let is_whole = options & 1 == 0;
    let assessment = assess::assess(&Conversation {
        client: &client,
        server: &server,
        turns: &turns,
        is_whole,
        port: 1007,
    });
    let sealed = matches!(assessment.stage, Stage::Encrypted | Stage::Upgraded);
    // What one end alone said is never sure to be protected.
    let both = !client.is_empty() && !server.is_empty();
    assert!(!sealed || !is_whole || !assessment.is_certain || both, "{assessment:?}");
    assert!(assessment.stage != Stage::Upgraded || assessment.upgraded_at.is_some());
}

/// A conversation over UDP, and what only its parsers take: datagrams of QUIC and of DTLS.
pub(crate) fn datagrams(bytes: &[u8]) {
    let datagrams: Vec<_> = Script::new(bytes)
        .map(|part| Datagram { side: part.side, payload: part.bytes, length: part.bytes.len() })
        .collect();
    let exchange = Exchange { datagrams: &datagrams, client_port: 1009, server_port: 1013 };
    _ = exchange::assess(&exchange);
    _ = quic::read(&exchange);
    _ = tls::dtls::read(&exchange);
}

/// Both directions of a TLS connection.
pub(crate) fn handshake(bytes: &[u8]) {
    let [high, low, bytes @ ..] = bytes else { return };
    let at = usize::from(u16::from_be_bytes([*high, *low])).min(bytes.len());
    let (client, server) = bytes.split_at(at);
    if let Some(tls) = tls::read(client, server) {
        let proof =
            tls.client_identity.is_none() || tls.client_certificate == ClientCertificate::Presented;
        assert!(proof, "{tls:?}");
        assert!(!tls.protected || tls.answered, "{tls:?}");
    }
}

/// A capture file.
pub(crate) fn capture(bytes: &[u8]) {
    let replayed = replay::read("capture".into(), std::io::Cursor::new(bytes.to_vec()));
    _ = replay::labels::lines(&replayed);
    replay::flows::lines(&replayed).expect("a record is JSON");
}
