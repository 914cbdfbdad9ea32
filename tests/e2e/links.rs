//! What encrypts the link below a hop: by its route, its policies and its devices, or by somebody's
//! word. The server is watched by nobody, as if it were on another host.

use std::{fs, io, net::SocketAddr, path::PathBuf};

use nix::sys::utsname::uname;
use plainsight_tests::harness::{
    Cgroup, Edge, Link, Namespace, Peer, Place, Protection, Stage, Tally, report, skip, until,
};

const CONNECTIONS: u64 = 7;
const PORT: u16 = 7001;

/// What an edge says of its link.
type Said = (String, Option<String>, String);

/// Two namespaces, and a cgroup of nobody's.
struct World {
    near: Namespace,
    far: Namespace,
    link: Link,
    elsewhere: Cgroup,
}

/// A file with declarations, gone after the test.
struct Declared(PathBuf);

/// Kernels that let user space ask which network namespace a socket is in.
const TELLS_NAMESPACES: (u32, u32) = (5, 14);

// === impl World ===

impl World {
    fn new() -> Self {
        let (near, far) = (Namespace::new(), Namespace::new());
        let link = near.join(&far);
        Self { near, far, link, elsewhere: Cgroup::new() }
    }

    /// Speaks HTTP in the clear to this address in the far namespace, and waits for what is said of
    /// the link once it was looked at. Both ends are there until then, so that their namespaces are.
    fn hop(&self, stage: &Stage, to: SocketAddr) -> Said {
        let there = Place::of(&self.elsewhere).within(&self.far);
        let steps = "receive:36,say:http1-response,drain";
        let (server, to) = Peer::serve(there, "s-away", to, CONNECTIONS, steps);
        let near = stage.within(&self.near);
        let steps = "say:http1-request,receive:38";
        let client = Peer::connect(near, "c-here", to, CONNECTIONS - 1, steps).finish();
        let tally = Tally::of(CONNECTIONS - 1, 38 * (CONNECTIONS - 1), 36 * (CONNECTIONS - 1));
        assert_eq!(client.without_ports(), tally);
        let mut last = Peer::connect(near, "c-here", to, 1, &format!("{steps},wait"));
        last.waits();
        let said = stage.agent.edges_until("what is said of the link", |edges| {
            let edge = away(edges).ok_or("no edge")?;
            let said = said(edge);
            match &said.2 {
                waiting if waiting.contains("not looked at yet") => Err(waiting.clone()),
                _ => Ok(said),
            }
        });
        last.proceed();
        last.finish();
        assert_eq!(server.finish().connections, CONNECTIONS);
        said
    }
}

// === impl Declared ===

impl Declared {
    fn new(until: &str) -> Self {
        let name = format!("plainsight-links-{}-{until}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = format!(
            "- between: [10.77.0.1, 10.77.0.2]\n  security: ipsec\n  evidence: gw-a to gw-b\n  \
             until: {until}\n"
        );
        fs::write(&path, text).expect("a file can be written");
        Self(path)
    }
}

impl Drop for Declared {
    fn drop(&mut self) {
        let _removed = fs::remove_file(&self.0);
    }
}

#[test]
fn a_pair_between_namespaces_does_not_encrypt() {
    if !is_told("links between namespaces") {
        return;
    }
    let (stage, world) = (Stage::set(), World::new());
    let text = "stays on this host, between network namespaces, and is not encrypted";
    check(&stage, &world, over(&world.link), "none", text);
    severity(&stage, "medium", "none");
    let to = SocketAddr::new(world.link.v6[1].into(), PORT + 1);
    assert_eq!(world.hop(&stage, to).0, "none");
}

#[test]
fn a_way_is_followed_from_namespace_to_namespace() {
    if !is_told("links through namespaces") {
        return;
    }
    let (stage, mut world) = (Stage::set(), World::new());
    let router = std::mem::take(&mut world.far);
    let second = router.join_again(&world.far);
    world.near.add_default_route(world.link.v4[1]);
    world.far.add_default_route(second.v4[0]);
    router.set("net/ipv4/ip_forward", "1");
    // A namespace without a process is found by nobody.
    let (there, to) = (Place::default().within(&router), SocketAddr::new(second.v4[0].into(), 1));
    let (resident, _) = Peer::serve(there, "router", to, 1, "drain");
    let text = "stays on this host, between network namespaces, and is not encrypted";
    check(&stage, &world, over(&second), "none", text);
    drop(resident);
}

#[test]
fn one_host_has_no_link() {
    let (stage, world) = (Stage::set(), World::new());
    let near = stage.within(&world.near);
    let here = "127.0.0.1:0".parse().expect("an address");
    let (server, to) = Peer::serve(near, "s-here", here, 1, "drain");
    Peer::connect(near, "c-here", to, 1, "send:1009").finish();
    server.finish();
    stage.agent.settle();
    let edges = stage.agent.edges();
    let (link, basis, evidence) = said(&edges[0]);
    assert_eq!((&*link, basis), ("unknown", None));
    assert_eq!(evidence, "no link: both ends are on this host");
}

#[test]
fn what_is_declared_is_said_to_be_and_lowers_a_step() {
    if !is_told("declared links") {
        return;
    }
    let declared = Declared::new("2099-12-31");
    let stage = Stage::with(&["--links", declared.0.to_str().expect("a plain name")]);
    let world = World::new();
    let (link, basis, evidence) = world.hop(&stage, over(&world.link));
    report("link by declaration", "ipsec declared", format!("{link} {}", show(&basis)));
    assert_eq!((&*link, basis.as_deref()), ("ipsec", Some("declared")));
    let text = "declared until 2099-12-31: gw-a to gw-b; from here: stays on this host";
    assert!(evidence.starts_with(text), "{evidence}");
    severity(&stage, "low", "ipsec");
}

#[test]
fn what_was_declared_for_a_time_that_is_over_lifts_nothing() {
    if !is_told("expired links") {
        return;
    }
    let declared = Declared::new("2024-02-29");
    let stage = Stage::with(&["--links", declared.0.to_str().expect("a plain name")]);
    let world = World::new();
    let (link, basis, evidence) = world.hop(&stage, over(&world.link));
    report("link by an expired declaration", "none observed", format!("{link} {}", show(&basis)));
    assert_eq!((&*link, basis.as_deref()), ("none", Some("observed")));
    assert!(evidence.ends_with("; what is declared ended on 2024-02-29"), "{evidence}");
    severity(&stage, "medium", "none");
    assert!(stage.agent.log().contains("lifts nothing"), "{}", stage.agent.log());
}

#[test]
fn where_a_program_may_redirect_nothing_is_known() {
    if !is_told("links with BPF programs") {
        return;
    }
    for (is_near, hook) in [(true, "tcx_egress"), (false, "tcx_ingress")] {
        let (stage, world) = (Stage::set(), World::new());
        let end = if is_near { &world.near } else { &world.far };
        let Ok(_program) = end.attach(hook) else {
            return skip(
                "links with BPF programs",
                "this kernel attaches none to devices directly",
            );
        };
        let text = "veth0 has a BPF program, which may redirect";
        check(&stage, &world, over(&world.link), "unknown", text);
        severity(&stage, "medium", "unknown");
    }
}

#[test]
fn a_policy_that_does_not_insist_protects_nothing() {
    if !is_told("links with policies of IPsec") {
        return;
    }
    let (stage, world) = (Stage::set(), World::new());
    for (end, namespace) in [&world.near, &world.far].into_iter().enumerate() {
        if let Err(error) = namespace.protect(&world.link, end, Protection::IfPossible) {
            return skip(
                "links with policies of IPsec",
                &format!("the kernel refuses one: {error}"),
            );
        }
    }
    let text = "the policy of IPsec does not insist on encryption";
    check(&stage, &world, over(&world.link), "unknown", text);
}

#[test]
fn ipsec_encrypts() {
    if !is_told("links by IPsec") {
        return;
    }
    let (stage, world) = (Stage::set(), World::new());
    for (end, namespace) in [&world.near, &world.far].into_iter().enumerate() {
        match namespace.protect(&world.link, end, Protection::Required) {
            Ok(()) => {}
            Err(error) if is_missing(&error) => {
                let reason = format!("this kernel has no ESP with AES-GCM: {error}");
                return skip("links by IPsec", &reason);
            }
            Err(error) => panic!("{error}"),
        }
    }
    let text = "a policy of IPsec covers it: ESP with rfc4106(gcm(aes))";
    check(&stage, &world, over(&world.link), "ipsec", text);
    severity(&stage, "low", "ipsec");
}

#[test]
fn wireguard_encrypts() {
    if !is_told("links by WireGuard") {
        return;
    }
    let (stage, world) = (Stage::set(), World::new());
    let tunnel = match world.near.join_by_wireguard(&world.far, &world.link) {
        Ok(tunnel) => tunnel,
        Err(error) if is_missing(&error) => {
            return skip("links by WireGuard", &format!("this kernel has none: {error}"));
        }
        Err(error) => panic!("{error}"),
    };
    check(&stage, &world, over(&tunnel), "wireguard", "leaves by wg0 (wireguard)");
    severity(&stage, "low", "wireguard");
}

/// Whether the agent can tell where a hop begins; where it cannot, the test is skipped.
fn is_told(test: &str) -> bool {
    let release = uname().expect("the kernel has a release").release().to_owned();
    let release = release.to_string_lossy();
    let mut parts = release.split('.').map(|part| part.parse().unwrap_or(0));
    let is_told = (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= TELLS_NAMESPACES;
    if !is_told {
        skip(test, &format!("Linux {release} does not tell network namespaces apart"));
    }
    is_told
}

/// What a kernel says that was built without it.
fn is_missing(error: &io::Error) -> bool {
    let codes = [libc::EOPNOTSUPP, libc::EPROTONOSUPPORT, libc::ENOSYS, libc::ENOENT];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn over(link: &Link) -> SocketAddr {
    SocketAddr::new(link.v4[1].into(), PORT)
}

fn check(stage: &Stage, world: &World, to: SocketAddr, link: &str, evidence: &str) {
    let found = world.hop(stage, to);
    let (found_link, basis, found_evidence) = &found;
    report(&format!("link: {evidence}"), link, found_link);
    let expect = (link != "unknown").then_some("observed");
    assert_eq!((&**found_link, basis.as_deref()), (link, expect), "{found:?}");
    assert_eq!(found_evidence, evidence);
}

fn away(edges: &[Edge]) -> Option<&Edge> {
    edges.iter().filter(|edge| edge.text("scope") != "host").max_by_key(|edge| edge.number("open"))
}

fn said(edge: &Edge) -> Said {
    let basis = edge.0["link_basis"].as_str().map(str::to_owned);
    (edge.text("link").to_owned(), basis, edge.text("link_evidence").to_owned())
}

fn show(basis: &Option<String>) -> &str {
    basis.as_deref().unwrap_or("-")
}

/// Waits until the one finding, plain HTTP over that link, is as severe.
fn severity(stage: &Stage, expect: &str, link: &str) {
    let found = until("the finding over its link", || {
        let mut body = stage.agent.get("/api/v1/findings").json();
        let findings = body["findings"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let found = findings.into_iter().find(|found| found["kind"] == "plaintext_hop");
        found.filter(|found| found["link"] == link).ok_or(format!("not yet: {body}"))
    });
    report(&format!("severity over a link of {link}"), expect, &found["severity"]);
    assert_eq!(found["severity"], expect, "{found}");
    let what = found["evidence"]["what"].as_str().expect("text");
    let is_told = what.contains("; over IPsec: ") || what.contains("; over WireGuard: ");
    assert_eq!(is_told, expect == "low", "{what}");
}
