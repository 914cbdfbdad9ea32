//! Debian's nginx and curl: what they count is what Plainsight counts.
//!
//! These tests stay on hosts that have both; virtual machines have neither.

use std::{
    fs,
    io::Read as _,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use plainsight_tests::harness::{
    Agent, Cgroup, Edge, Namespace, Objects, Observer, Place, Record, Stage, agent_binary, count,
    only, report, run, until,
};
use serde_json::Value;

/// A running nginx with a folder of its own.
struct Nginx {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

const REQUESTS: u64 = 23;

/// Length of the file that is asked for.
const FILE: usize = 10_007;

// === impl Nginx ===

impl Nginx {
    fn start(place: Place<'_>, address: SocketAddr) -> Self {
        let name = format!("plainsight-nginx-{}-{}", std::process::id(), address.port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("file"), vec![b'x'; FILE]).expect("a file can be written");
        fs::write(folder.join("nginx.conf"), settings(&folder, address)).expect("it can");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        command.arg("-e").arg(folder.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        place.place(&mut command);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{error}: nginx is missing: `cargo xtask test` installs nginx-light")
        });
        let nginx = Self { child, folder, address };
        // It writes the file after it has begun to listen.
        until("nginx", || match fs::read(nginx.folder.join("nginx.pid")) {
            Ok(text) if !text.is_empty() => Ok(()),
            _ => Err(nginx.read("error.log")),
        });
        nginx
    }

    fn url(&self) -> String {
        format!("http://{}/file", self.address)
    }

    /// Requests it has logged, as pairs of their length and that of the response.
    fn logged(&self) -> Vec<[u64; 2]> {
        let number = |text: &str| text.parse::<u64>().expect("nginx logs numbers");
        let log = self.read("access.log");
        let lines = log.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(request, response)| [number(request), number(response)]).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it.
        let _ended = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _waited = self.child.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn nginx_and_curl_over_ipv4() {
    let stage = Stage::set();
    check(&stage, stage.place(), stage.place(), free("127.0.0.1"), "IPv4");
}

#[test]
fn nginx_and_curl_over_ipv6() {
    let stage = Stage::set();
    check(&stage, stage.place(), stage.place(), free("::1"), "IPv6");
}

#[test]
fn nginx_and_curl_between_namespaces_over_ipv4() {
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let address = SocketAddr::new(near.join(&far).v4[1].into(), 8080);
    check(&stage, stage.within(&near), stage.within(&far), address, "IPv4 between namespaces");
}

#[test]
fn nginx_and_curl_between_namespaces_over_ipv6() {
    let stage = Stage::set();
    let (near, far) = (Namespace::new(), Namespace::new());
    let address = SocketAddr::new(near.join(&far).v6[1].into(), 8080);
    check(&stage, stage.within(&near), stage.within(&far), address, "IPv6 between namespaces");
}

/// Programs that the agent attaches: a connection that begins before the last of them is one that was
/// joined late.
const PROGRAMS: usize = 10;

/// nginx was there before, as it is on a host that is scanned.
#[test]
fn scan_names_both_and_leaves_nothing() {
    let _alone = Stage::alone();
    let cgroup = Cgroup::new();
    let place = Place::of(&cgroup);
    let nginx = Nginx::start(place, free("127.0.0.1"));
    let duration = format!("{}s", count(3, 10));
    let mut command = Command::new(agent_binary());
    command.args(["scan", "--for", &duration]).arg("--cgroup").arg(cgroup.path());
    let mut scan = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the agent's program starts");
    let objects = until("the scan's attachment", || match Objects::of(scan.id()) {
        found if found.by_kind()[2] >= PROGRAMS => Ok(found),
        found => Err(format!("{found:?}")),
    });
    for _ in 0..REQUESTS {
        curl(place, &nginx.url());
    }
    let mut screen = String::new();
    let stdout = scan.stdout.as_mut().expect("standard output was asked for");
    stdout.read_to_string(&mut screen).expect("a screen");
    let status = scan.wait().expect("a child can be waited for");
    let left = objects.remaining();
    report(
        &format!("scan --for {duration} during 23 curl requests: status, objects left"),
        "0, 0",
        format!("{:?}, {}", status.code(), left.len()),
    );
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(left.is_empty(), "{left:?}");
    let line = screen.lines().find(|line| line.contains("curl") && line.contains("nginx"));
    assert!(line.is_some(), "{screen}");
    assert!(screen.contains("23") && screen.contains("Nothing left in the kernel."), "{screen}");
    assert!(screen.lines().count() <= 50 && !screen.contains('\u{1b}'), "{screen:?}");
}

/// 23 requests: what curl, nginx, the records and the map say must be the same.
fn check(stage: &Stage, client: Place<'_>, server: Place<'_>, address: SocketAddr, what: &str) {
    let nginx = Nginx::start(server, address);
    let mut observer = Observer::start(&stage.agent, &["--port", &address.port().to_string()]);
    let by_curl: Vec<[u64; 2]> = (0..REQUESTS).map(|_| curl(client, &nginx.url())).collect();
    until("nginx's log", || match nginx.logged().len() as u64 {
        REQUESTS => Ok(()),
        lines => Err(format!("{lines} lines")),
    });
    assert_eq!(by_curl, nginx.logged(), "curl and nginx agree");
    let records = observer.records(2 * REQUESTS);
    for reporter in ["client", "server"] {
        check_records(&records, reporter, &by_curl, what);
    }
    stage.agent.settle();
    let sum = |at: usize| by_curl.iter().map(|bytes| bytes[at]).sum::<u64>();
    let expect = [REQUESTS, 0, sum(0), sum(1)];
    let edges = map(&stage.agent);
    let edge = only(&edges, "curl", "nginx").expect("one edge");
    report(
        &format!("{what}: map of 23 curl requests: connections, open, bytes"),
        format!("{expect:?}"),
        format!("{:?}", edge.counts()),
    );
    assert_eq!(edge.counts(), expect, "{}", edge.0);
    assert_eq!((edge.text("protocol"), edge.text("state")), ("http", "plaintext"));
    assert_eq!(edge.reporters(), ["client", "server"], "{}", edge.0);
    let metrics = stage.agent.metrics();
    assert_eq!(metrics.get("plainsight_lost_total", &[]), Ok(0));
    observer.end(&stage.agent);
}

fn check_records(records: &[Record], reporter: &str, by_curl: &[[u64; 2]], what: &str) {
    let found: Vec<&Record> = records.iter().filter(|r| r.reporter() == reporter).collect();
    let bytes: Vec<[u64; 2]> = found.iter().map(|record| record.bytes()).collect();
    report(
        &format!("{what}: {reporter} records of 23 curl requests, bytes as curl and nginx count"),
        format!("{REQUESTS}, {:?}", by_curl.first()),
        format!("{}, {:?}", bytes.len(), bytes.first()),
    );
    assert_eq!(bytes, by_curl, "{reporter}: one record after the other");
    for record in found {
        let names = [&record.0["plainsight"]["client"], &record.0["plainsight"]["server"]];
        assert_eq!(names.map(|workload| &workload["name"]), ["curl", "nginx"], "{}", record.0);
        assert_eq!(record.detail_text("protocol"), "http", "{}", record.0);
    }
}

/// One request in a process of its own; the bytes it sent and received.
fn curl(place: Place<'_>, url: &str) -> [u64; 2] {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--output", "/dev/null"]);
    command.args(["--write-out", "%{json}", url]);
    place.place(&mut command);
    let finished = run(&mut command);
    assert!(finished.status.success(), "{}", finished.stderr);
    let counted: Value = serde_json::from_str(&finished.stdout).expect("curl writes JSON");
    let number = |key: &str| counted[key].as_u64().unwrap_or_else(|| panic!("no {key}: {counted}"));
    assert_eq!(number("size_download"), FILE as u64);
    [number("size_request"), number("size_header") + number("size_download")]
}

/// The map as `plainsight map -o json` prints it.
fn map(agent: &Agent) -> Vec<Edge> {
    let mut command = Command::new(agent_binary());
    let finished = run(command.args(["map", "-o", "json", "--api", &agent.url()]));
    assert!(finished.status.success(), "{}", finished.stderr);
    let answer: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    answer["edges"].as_array().into_iter().flatten().cloned().map(Edge).collect()
}

/// A port nobody uses, for a server that cannot choose one.
fn free(ip: &str) -> SocketAddr {
    let ip: IpAddr = ip.parse().expect("an address");
    let listener = TcpListener::bind((ip, 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}

fn settings(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log;\nevents {{}}\n\
         http {{\n  log_format lengths '$request_length $bytes_sent';\n\
         \x20 access_log {folder}/access.log lengths;\n\
         \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n\
         \x20 scgi_temp_path {folder}/scgi;\n\
         \x20 server {{ listen {address}; root {folder}; }}\n}}\n"
    )
}
