//! What the first bytes of both directions show, from the kernel to the map.

use plainsight_core::protocol::Class;
use plainsight_ebpf::wire::{protocol::Protocol, stage};
use plainsight_tests::harness::{Peer, Stage, one, report};

/// What client and server say, and what that is.
struct Case {
    name: &'static str,
    client: &'static str,
    server: &'static str,
    class: Class,
}

const CONNECTIONS: u64 = 7;

const CASES: [Case; 9] = [
    case(
        "http1",
        "say:http1-request,drain",
        "receive:36,say:http1-response",
        Class::new(Protocol::Http, stage::Stage::Plaintext),
    ),
    case(
        "http2",
        "say:http2-preface,drain",
        "receive:33,say:http2-settings",
        Class::new(Protocol::Http2, stage::Stage::Plaintext),
    ),
    case(
        "tls",
        "say:tls-client-hello,drain",
        "receive:261,say:tls-server-hello",
        Class::new(Protocol::Tls, stage::Stage::Handshake),
    ),
    case(
        "tls-offered",
        "say:tls-client-hello",
        "drain",
        Class::new(Protocol::Tls, stage::Stage::Offered),
    ),
    // A hello that is answered in the clear is a handshake that nobody took up.
    case(
        "tls-refused",
        "say:tls-client-hello,drain",
        "receive:261,say:http1-response",
        Class::new(Protocol::Tls, stage::Stage::Offered),
    ),
    case(
        "ssh",
        "say:ssh,drain",
        "say:ssh,receive:15",
        Class::new(Protocol::Ssh, stage::Stage::Handshake),
    ),
    case("server-first", "receive:31,send:31", "send:31,drain", Class::UNKNOWN),
    case("unknown", "send:31,drain", "receive:31,send:31", Class::UNKNOWN),
    case("silent", "none", "drain", Class::PENDING),
];

const fn case(
    name: &'static str,
    client: &'static str,
    server: &'static str,
    class: Class,
) -> Case {
    Case { name, client, server, class }
}

#[test]
fn first_bytes_name_the_protocol() {
    let stage = Stage::set();
    for Case { name, client, server, class: _ } in &CASES {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let (answers, to) =
            Peer::serve(stage.place(), &format!("s-{name}"), listen, CONNECTIONS, server);
        let asks = Peer::connect(stage.place(), &format!("c-{name}"), to, CONNECTIONS, client);
        let (asked, answered) = (asks.finish(), answers.finish());
        assert!(asked.errors.is_empty() && answered.errors.is_empty(), "{asked:?} {answered:?}");
    }
    stage.agent.settle();
    let edges = stage.agent.edges();
    for Case { name, class, .. } in &CASES {
        let edge = one(&edges, &format!("c-{name}"), &format!("s-{name}")).expect("one edge");
        let expect = class.reading();
        let found = ["protocol", "security", "state"].map(|key| edge.text(key));
        let wanted = [expect.protocol, expect.security.name(), expect.state.name()];
        report(&format!("protocol of {name}"), format!("{wanted:?}"), format!("{found:?}"));
        assert_eq!(found, wanted, "{}", edge.0);
        assert_eq!(edge.0["protocol_version"].as_str(), expect.version, "{}", edge.0);
        assert_eq!(edge.0["evidence"]["what"], *class.evidence(0), "{}", edge.0);
        assert_eq!(edge.number("connections"), CONNECTIONS, "{}", edge.0);
    }
}
