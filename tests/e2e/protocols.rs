//! What the first bytes of both directions show, from the kernel to the map.

use plainsight_core::protocol::Class;
use plainsight_ebpf::wire::{protocol::Protocol, secret::Secret, stage};
use plainsight_tests::harness::{Edge, Peer, Stage, one, report};
use serde_json::json;

/// What client and server say, and what that is.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) client: &'static str,
    pub(crate) server: &'static str,
    class: Class,
}

pub(crate) const CONNECTIONS: u64 = 7;

const TLS: [&str; 2] = [
    "say:tls-client-hello,receive:261,say:tls-change,receive:69,say:tls-data,drain",
    "receive:261,say:tls-server-hello,receive:11,say:tls-data,receive:69",
];

pub(crate) const CASES: [Case; 19] = [
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
    case("tls-whole", TLS[0], TLS[1], Class::new(Protocol::Tls, stage::Stage::Encrypted)),
    case(
        "tls-spelt",
        "spell:tls-client-hello,receive:261,spell:tls-change,receive:69,spell:tls-data,drain",
        "receive:261,spell:tls-server-hello,receive:11,spell:tls-data,receive:69",
        Class::new(Protocol::Tls, stage::Stage::Encrypted),
    ),
    case(
        "pg-upgraded",
        "say:postgresql-ssl,receive:1,say:tls-client-hello,receive:261,say:tls-change,receive:69,say:tls-data,drain",
        "receive:8,say:0x53,receive:261,say:tls-server-hello,receive:11,say:tls-data,receive:69",
        Class::new(Protocol::Postgresql, stage::Stage::Upgraded),
    ),
    case(
        "pg-spelt",
        "spell:postgresql-ssl,receive:1,spell:tls-client-hello,receive:261,spell:tls-change,receive:69,spell:tls-data,drain",
        "receive:8,say:0x53,receive:261,spell:tls-server-hello,receive:11,spell:tls-data,receive:69",
        Class::new(Protocol::Postgresql, stage::Stage::Upgraded),
    ),
    case(
        "pg-refused",
        "say:postgresql-ssl,receive:1,say:postgresql-startup,receive:15,say:postgresql-query,drain",
        "receive:8,say:0x4e,receive:20,say:postgresql-ready,receive:14",
        Class::new(Protocol::Postgresql, stage::Stage::Refused),
    ),
    case(
        "pg-password",
        "say:postgresql-startup,receive:9,say:postgresql-secret,receive:15,say:postgresql-query,drain",
        "receive:20,say:postgresql-password,receive:11,say:postgresql-ready,receive:14",
        Class {
            secret: Secret::PostgresqlPassword,
            ..Class::new(Protocol::Postgresql, stage::Stage::Plaintext)
        },
    ),
    case(
        "smtp-upgraded",
        "receive:17,say:smtp-ehlo,receive:25,say:smtp-starttls,receive:14,say:tls-client-hello,receive:261,say:tls-change,receive:69,say:tls-data,drain",
        "say:smtp-220,receive:12,say:smtp-250,receive:10,say:smtp-go,receive:261,say:tls-server-hello,receive:11,say:tls-data,receive:69",
        Class::new(Protocol::Smtp, stage::Stage::Upgraded),
    ),
    case(
        "smtp-refused",
        "receive:17,say:smtp-ehlo,receive:25,say:smtp-starttls,receive:13,say:smtp-mail,receive:8,drain",
        "say:smtp-220,receive:12,say:smtp-250,receive:10,say:smtp-no,receive:21,say:smtp-ok",
        Class::new(Protocol::Smtp, stage::Stage::Refused),
    ),
    case(
        "smtp-plain",
        "receive:17,say:smtp-ehlo,receive:25,say:smtp-mail,receive:8,drain",
        "say:smtp-220,receive:12,say:smtp-250,receive:21,say:smtp-ok",
        Class::new(Protocol::Smtp, stage::Stage::Plaintext),
    ),
    case(
        "proxied",
        "say:0x0d0a0d0a000d0a515549540a2111000c7f0000017f00000100500050160301010001,send:255,receive:261,say:tls-change,receive:69,say:tls-data,drain",
        "receive:289,say:tls-server-hello,receive:11,say:tls-data,receive:69",
        Class::new(Protocol::Tls, stage::Stage::Encrypted),
    ),
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

// === impl Case ===

impl Case {
    /// Whether the client begins with something.
    pub(crate) fn begins(&self) -> bool {
        !self.client.starts_with("receive") && self.client != "none"
    }

    /// Compares what an edge says of all connections.
    pub(crate) fn check(&self, edge: &Edge, what: &str) {
        let different = self.difference(edge);
        assert_eq!(different, None, "{what}: {}", edge.0);
        assert_eq!(edge.number("connections"), CONNECTIONS, "{what}: {}", edge.0);
    }

    /// What an edge says differently of the connections it has.
    pub(crate) fn difference(&self, edge: &Edge) -> Option<String> {
        let (class, said) = (&self.class, &edge.0);
        let expect = class.reading();
        let mechanism = (class.secret != Secret::None).then(|| class.secret.name());
        let wanted = [
            json!(expect.protocol),
            json!(expect.security.name()),
            json!(expect.state.name()),
            json!(expect.version),
            json!(class.evidence(0)),
            json!(class.upgrade()),
            json!(mechanism),
        ];
        let found = [
            &said["protocol"],
            &said["security"],
            &said["state"],
            &said["protocol_version"],
            &said["evidence"]["what"],
            &said["upgrade"],
            &said["credentials"]["mechanism"],
        ];
        (found != wanted.each_ref()).then(|| format!("{found:?} and not {wanted:?}"))
    }
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
    for case in &CASES {
        let Case { name, .. } = case;
        let edge = one(&edges, &format!("c-{name}"), &format!("s-{name}")).expect("one edge");
        let expect = case.class.reading();
        let wanted = [expect.protocol, expect.security.name(), expect.state.name()];
        let found = ["protocol", "security", "state"].map(|key| edge.text(key));
        report(&format!("protocol of {name}"), format!("{wanted:?}"), format!("{found:?}"));
        case.check(edge, name);
    }
}

/// A hello in two segments, whatever the place of the cut, is the same hello.
#[test]
fn a_hello_is_the_same_wherever_it_is_cut() {
    const HELLO: u64 = 261;
    let stage = Stage::set();
    let listen = "127.0.0.1:0".parse().expect("an address");
    let (answers, to) = Peer::serve(stage.place(), "s-cut", listen, HELLO - 1, TLS[1]);
    for at in 1..HELLO {
        let steps = TLS[0].replace("say:tls-client-hello", &format!("cut:{at}:tls-client-hello"));
        let asked = Peer::connect(stage.place(), "c-cut", to, 1, &steps).finish();
        assert!(asked.errors.is_empty(), "cut at {at}: {asked:?}");
    }
    assert!(answers.finish().errors.is_empty());
    stage.agent.settle();
    let edges = stage.agent.edges();
    let edge = one(&edges, "c-cut", "s-cut").expect("one edge");
    let found = (edge.text("protocol"), edge.text("state"), edge.number("connections"));
    report("a hello cut at every place", format!("{:?}", HELLO - 1), format!("{found:?}"));
    assert_eq!(found, ("tls", "encrypted", HELLO - 1), "{}", edge.0);
}
