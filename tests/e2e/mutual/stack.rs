//! The stacks: how a server and a client of each are started.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use plainsight_tests::harness::run;

use super::{Ask, Version, rustls};
use crate::servers::{Authority, Folder, Identity, Server, Yard, free};

/// Who speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stack {
    OpenSsl,
    GnuTls,
    Go,
    Java,
    Rustls,
    /// curl as a client, nginx as a server; both with OpenSSL inside.
    Web,
}

/// The programs of the stacks that have none of their own.
pub(super) struct Tools {
    folder: Folder,
    is_full: bool,
}

/// A server that is there until this goes.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    _server: Option<Server>,
}

const GO: &str = include_str!("echo.go");
const JAVA: &str = include_str!("Echo.java");

// === impl Stack ===

impl Stack {
    /// As a client, and as a server.
    pub(super) const fn names(self) -> [&'static str; 2] {
        match self {
            Self::OpenSsl => ["OpenSSL"; 2],
            Self::GnuTls => ["GnuTLS"; 2],
            Self::Go => ["Go"; 2],
            Self::Java => ["Java"; 2],
            Self::Rustls => ["rustls"; 2],
            Self::Web => ["curl", "nginx"],
        }
    }

    pub(super) fn serve(self, tools: &Tools, authority: &Authority, ask: Ask) -> Serving {
        let [port] = free(Ipv4Addr::LOCALHOST.into());
        let folder = Folder::new("stack");
        let mut command = match self {
            Self::OpenSsl => openssl_server(port, authority, ask),
            Self::GnuTls => gnutls_server(port, authority, ask),
            Self::Go => go_server(tools, port, authority, ask),
            Self::Java => java_server(tools, port, authority, ask),
            Self::Web => nginx(&folder, port, authority, ask, ""),
            Self::Rustls => {
                return Serving { address: rustls::serve(authority, ask), _server: None };
            }
        };
        Serving::start(folder, &mut command, port)
    }

    /// Two connections, of which the second resumes the session of the first if it can.
    pub(super) fn connect(
        self,
        tools: &Tools,
        to: SocketAddr,
        version: Version,
        authority: &Authority,
        identity: Option<&Identity>,
    ) -> Result<(), String> {
        let go = |command: &mut Command| {
            let finished = run(command);
            let is_fine = finished.status.success();
            is_fine.then_some(()).ok_or_else(|| format!("{command:?}: {}", finished.stderr))
        };
        match self {
            Self::OpenSsl => {
                let folder = Folder::new("session");
                let session = folder.text("session");
                go(&mut openssl_client(to, version, identity, &["-sess_out", &session]))?;
                go(&mut openssl_client(to, version, identity, &["-sess_in", &session]))
            }
            Self::GnuTls => go(&mut gnutls_client(to, version, identity)),
            Self::Go => go(&mut go_client(tools, to, version, identity)),
            Self::Java => go(&mut java_client(tools, to, version, identity)),
            Self::Rustls => rustls::connect(to, version, authority, identity),
            Self::Web => go(&mut curl(to, version, identity)),
        }
    }
}

// === impl Tools ===

impl Tools {
    /// Compiles what has to be compiled.
    pub(super) fn new(is_full: bool) -> Self {
        let tools = Self { folder: Folder::new("tools"), is_full };
        if is_full {
            tools.compile();
        }
        tools
    }

    fn compile(&self) {
        let folder = self.folder.path();
        let source = self.folder.write("echo.go", GO);
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(self.go()).arg(source).current_dir(folder);
        command.env("GOCACHE", self.folder.at("cache")).env("GO111MODULE", "off");
        command.env("GOFLAGS", "").env("HOME", folder);
        Yard::prepare(&mut command);
        let source = self.folder.write("Echo.java", JAVA);
        Yard::prepare(Command::new("javac").arg("-d").arg(folder).arg(source));
    }

    fn go(&self) -> PathBuf {
        assert!(self.is_full, "it was not compiled");
        self.folder.at("echo")
    }

    /// Lets `command` start what was compiled.
    fn java(&self, command: &mut Command) {
        assert!(self.is_full, "it was not compiled");
        command.args(["java", "-XX:TieredStopAtLevel=1", "-Xmx64m", "-cp"]);
        command.arg(self.folder.path()).arg("Echo");
    }

    /// The same identity in the form that Java reads.
    fn store(&self, identity: &Identity) -> PathBuf {
        let name = identity.certificate.file_name().and_then(|name| name.to_str());
        let store = self.folder.at(&format!("{}.p12", name.expect("it has a name")));
        if !store.exists() {
            let mut command = Command::new("openssl");
            command.args(["pkcs12", "-export", "-passout", "pass:word", "-name", "own", "-inkey"]);
            command.arg(&identity.key).arg("-in").arg(&identity.certificate);
            Yard::prepare(command.arg("-out").arg(&store));
        }
        store
    }
}

// === impl Serving ===

impl Serving {
    pub(super) fn start(folder: Folder, command: &mut Command, port: u16) -> Self {
        let server = Server::start(None, folder, command, &[port]);
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), _server: Some(server) }
    }
}

pub(super) fn openssl_server(port: u16, authority: &Authority, ask: Ask) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(&authority.server.certificate);
    command.arg("-key").arg(&authority.server.key);
    if ask == Ask::Yes {
        command.arg("-CAfile").arg(authority.certificate()).args(["-verify", "7"]);
    }
    command
}

pub(super) fn openssl_client(
    to: SocketAddr,
    version: Version,
    identity: Option<&Identity>,
    flags: &[&str],
) -> Command {
    let mut command = after_request("openssl");
    command.args(["s_client", "-quiet", "-ign_eof", "-connect", &to.to_string()]);
    command.arg(["-tls1_2", "-tls1_3"][version as usize]).args(flags);
    if let Some(Identity { certificate, key, issuers }) = identity {
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
        if fs::metadata(issuers).is_ok_and(|file| file.len() > 0) {
            command.arg("-cert_chain").arg(issuers);
        }
    }
    command
}

fn gnutls_server(port: u16, authority: &Authority, ask: Ask) -> Command {
    let mut command = Command::new("gnutls-serv");
    command.args(["--http", "--quiet", "--port", &port.to_string(), "--x509certfile"]);
    command.arg(&authority.server.certificate).arg("--x509keyfile").arg(&authority.server.key);
    match ask {
        Ask::Yes => command.arg("--x509cafile").arg(authority.certificate()),
        Ask::No => command.arg("--disable-client-cert"),
    };
    command
}

fn gnutls_client(to: SocketAddr, version: Version, identity: Option<&Identity>) -> Command {
    let mut command = after_request("gnutls-cli");
    command.args(["--insecure", "--resume", "--waitresumption", "--port", &to.port().to_string()]);
    command.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{}", version.number()));
    if let Some(Identity { certificate, key, .. }) = identity {
        command.arg("--x509certfile").arg(certificate).arg("--x509keyfile").arg(key);
    }
    command.arg("127.0.0.1");
    command
}

fn go_server(tools: &Tools, port: u16, authority: &Authority, ask: Ask) -> Command {
    let mut command = Command::new(tools.go());
    command.args(["server", &format!("127.0.0.1:{port}")]);
    command.arg(&authority.server.certificate).arg(&authority.server.key);
    match ask {
        Ask::Yes => command.arg(authority.certificate()),
        Ask::No => command.arg("-"),
    };
    command
}

fn go_client(
    tools: &Tools,
    to: SocketAddr,
    version: Version,
    identity: Option<&Identity>,
) -> Command {
    let mut command = bounded();
    command.arg(tools.go()).args(["client", &to.to_string(), version.number()]);
    match identity {
        Some(Identity { certificate, key, .. }) => command.arg(certificate).arg(key),
        None => command.args(["-", "-"]),
    };
    command
}

fn java_server(tools: &Tools, port: u16, authority: &Authority, ask: Ask) -> Command {
    let mut command = Command::new("env");
    tools.java(&mut command);
    command.args(["server", "127.0.0.1", &port.to_string()]).arg(tools.store(&authority.server));
    command.arg(if ask == Ask::Yes { "ask" } else { "-" });
    command
}

fn java_client(
    tools: &Tools,
    to: SocketAddr,
    version: Version,
    identity: Option<&Identity>,
) -> Command {
    let mut command = bounded();
    tools.java(&mut command);
    command.args(["client", "127.0.0.1", &to.port().to_string()]);
    command.arg(format!("TLSv{}", version.number()));
    command.arg(identity.map_or_else(|| "-".into(), |identity| tools.store(identity)));
    command
}

/// nginx with a setting more.
pub(super) fn nginx(
    folder: &Folder,
    port: u16,
    authority: &Authority,
    ask: Ask,
    more: &str,
) -> Command {
    let path = folder.path().display();
    let Identity { certificate, key, .. } = &authority.server;
    let asks = match ask {
        Ask::No => String::new(),
        Ask::Yes => format!(
            "ssl_client_certificate {}; ssl_verify_client optional; ssl_verify_depth 7;",
            authority.certificate().display()
        ),
    };
    let settings = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {path}/nginx.pid;\n\
         error_log stderr;\nevents {{}}\nhttp {{\n  access_log off;\n\
         \x20 client_body_temp_path {path}/body;\n  proxy_temp_path {path}/proxy;\n\
         \x20 fastcgi_temp_path {path}/fastcgi;\n  uwsgi_temp_path {path}/uwsgi;\n\
         \x20 scgi_temp_path {path}/scgi;\n\
         \x20 server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;\n\
         \x20   ssl_session_cache shared:all:1m; ssl_certificate {};\n\
         \x20   ssl_certificate_key {}; {asks} {more}\n    keepalive_timeout 0;\n\
         \x20   location / {{ return 200 answer; }} }}\n}}\n",
        certificate.display(),
        key.display(),
    );
    let settings = folder.write("nginx.conf", settings);
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder.path()).arg("-c").arg(settings).arg("-e").arg("stderr");
    command
}

fn curl(to: SocketAddr, version: Version, identity: Option<&Identity>) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--insecure", "--fail"]);
    command.args(["--tls-max", version.number()]);
    command.arg(["--tlsv1.2", "--tlsv1.3"][version as usize]);
    if let Some(Identity { certificate, key, .. }) = identity {
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    // nginx closes the first, and the second resumes its session.
    let url = format!("https://{to}/");
    command.args([&url, &url]);
    command
}

/// What follows is ended if it takes too long.
fn bounded() -> Command {
    let mut command = Command::new("timeout");
    command.arg("17");
    command
}

/// A program that is sent a request of HTTP.
fn after_request(program: &str) -> Command {
    let mut command = Command::new("sh");
    let script = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | exec timeout 17 \"$@\"";
    command.args(["-c", script, "sh", program]);
    command
}
