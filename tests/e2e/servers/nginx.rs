//! nginx: HTTP of all versions, in the clear and over TLS, and gRPC that it passes on.

use std::{path::Path, process::Command};

use super::{Expect, Folder, Hop, Running, Server, Yard};

/// A server that speaks gRPC without a schema: it gives back the bytes that it gets.
const GRPC_SERVER: &str = "\
import sys, grpc
from concurrent import futures
class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
server.add_generic_rpc_handlers((Echo(),))
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
";

/// Its client: one call.
const GRPC_CLIENT: &str = "\
import sys, grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    call = channel.unary_unary('/tests.Echo/Call')
    assert call(b'question', timeout=10) == b'question'
";

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let ports: [u16; 7] = yard.ports();
    let [plain, old, new, mutual, h2, h2c, grpc] = ports;
    let url = |scheme: &str, port: u16| format!("{scheme}://{}:{port}/", yard.ip);
    let tls = |name, url: String, version, is_mutual| tls_hop(yard, name, &url, version, is_mutual);
    let mut servers = vec![nginx(yard, ports)];
    let mut hops = vec![
        hop("http", plain, curl(&[], &url("http", plain)), Expect::plaintext("http")),
        hop(
            "http-basic",
            plain,
            curl(&["--user", "user:word"], &url("http", plain)),
            Expect::plaintext("http").readable("HTTP Basic"),
        ),
        hop(
            "http-bearer",
            plain,
            curl(&["--oauth2-bearer", "token"], &url("http", plain)),
            Expect::plaintext("http").readable("HTTP Bearer"),
        ),
        hop("h2c", h2c, curl(&["--http2-prior-knowledge"], &url("http", h2c)), {
            Expect::plaintext("http")
        }),
        tls("https-1-2", url("https", old), "TLS1.2", None),
        tls("https-1-3", url("https", new), "TLS1.3", None),
        tls("https-mutual-1-2", url("https", mutual), "TLS1.2", Some(true)),
        tls("https-mutual-1-3", url("https", mutual), "TLS1.3", Some(true)),
        tls("https-not-given-1-2", url("https", mutual), "TLS1.2", Some(false)),
        tls("https-not-given-1-3", url("https", mutual), "TLS1.3", Some(false)),
        tls("h2", url("https", h2), "TLS1.3", None),
    ];
    if has_grpc() {
        servers.push(grpc_server(yard, grpc));
        hops.push(grpc_hop(yard, "grpc", grpc));
        hops.push(grpc_hop(yard, "grpc-through-nginx", h2c));
    }
    Running { servers, hops }
}

fn nginx(yard: &Yard<'_>, ports: [u16; 7]) -> Server {
    let folder = Folder::new("nginx");
    folder.write("index.html", vec![b'x'; 1_009]);
    let settings = folder.write("nginx.conf", settings(yard, folder.path(), ports));
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder.path()).arg("-c").arg(settings).arg("-e").arg("stderr");
    yard.start(folder, &mut command, &ports[..6])
}

fn settings(yard: &Yard<'_>, folder: &Path, ports: [u16; 7]) -> String {
    let folder = folder.display();
    let [plain, old, new, mutual, h2, h2c, grpc] = ports;
    let (ip, server) = (yard.ip, &yard.authority.server);
    let certificate = server.certificate.display();
    let (key, authority) = (server.key.display(), yard.authority.certificate());
    let authority = authority.display();
    let tls = format!("ssl_certificate {certificate}; ssl_certificate_key {key};");
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log stderr;\nevents {{}}\nhttp {{\n  access_log off;\n  root {folder};\n\
         \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n\
         \x20 scgi_temp_path {folder}/scgi;\n\
         \x20 server {{ listen {ip}:{plain}; }}\n\
         \x20 server {{ listen {ip}:{old} ssl; ssl_protocols TLSv1.2; {tls} }}\n\
         \x20 server {{ listen {ip}:{new} ssl; ssl_protocols TLSv1.3; {tls} }}\n\
         \x20 server {{ listen {ip}:{mutual} ssl; {tls} ssl_protocols TLSv1.2 TLSv1.3;\n\
         \x20   ssl_client_certificate {authority}; ssl_verify_client optional; }}\n\
         \x20 server {{ listen {ip}:{h2} ssl http2; ssl_protocols TLSv1.3; {tls} }}\n\
         \x20 server {{ listen {ip}:{h2c} http2;\n\
         \x20   location /tests.Echo/ {{ grpc_pass grpc://{ip}:{grpc}; }} }}\n}}\n"
    )
}

/// `is_given` says whether the client has a certificate to show, where one is asked for.
fn tls_hop(
    yard: &Yard<'_>,
    name: &'static str,
    url: &str,
    version: &'static str,
    is_given: Option<bool>,
) -> Hop {
    let authority = yard.authority.certificate().display().to_string();
    let (certificate, key) = (&yard.authority.client.certificate, &yard.authority.client.key);
    let most = version.trim_start_matches("TLS");
    let mut flags = vec!["--cacert".to_owned(), authority];
    flags.extend(["--tls-max".to_owned(), most.to_owned()]);
    if is_given == Some(true) {
        let files = [certificate, key].map(|path| path.display().to_string());
        flags.extend(
            ["--cert", "--key"]
                .into_iter()
                .zip(files)
                .flat_map(|(flag, file)| [flag.to_owned(), file]),
        );
    }
    let mutual = match is_given {
        None => "one_way",
        Some(true) => "mutual",
        Some(false) => "requested_not_given",
    };
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let port = url.trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    hop(name, port.unwrap_or(0), curl(&flags, url), Expect::tls("tls", version, mutual))
}

fn grpc_server(yard: &Yard<'_>, port: u16) -> Server {
    let folder = Folder::new("grpc");
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", GRPC_SERVER, &format!("{}:{port}", yard.ip)]);
    yard.start(folder, &mut command, &[port])
}

fn grpc_hop(yard: &Yard<'_>, name: &'static str, port: u16) -> Hop {
    let address = format!("{}:{port}", yard.ip);
    let client = move || {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", GRPC_CLIENT, &address]).env("no_proxy", "*");
        command
    };
    hop(name, port, Box::new(client), Expect::plaintext("grpc"))
}

/// Whether Debian's gRPC is here, which `cargo xtask prove` installs.
fn has_grpc() -> bool {
    let mut command = Command::new("/usr/bin/python3");
    let is_there = command.args(["-c", "import grpc"]).output();
    is_there.is_ok_and(|output| output.status.success())
}

fn hop(name: &'static str, port: u16, client: Box<dyn Fn() -> Command>, expect: Expect) -> Hop {
    Hop { name, port, client, connections: 1, expect }
}

/// One request.
pub(super) fn curl(flags: &[&str], url: &str) -> Box<dyn Fn() -> Command> {
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let url = url.to_owned();
    Box::new(move || {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
        command.args(["--max-time", "17", "--output", "/dev/null"]).args(&flags).arg(&url);
        command
    })
}
