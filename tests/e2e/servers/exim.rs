//! Exim and curl: SMTP with and without STARTTLS.

use std::process::Command;

use super::{Expect, Folder, Hop, Running, Server, Yard, nginx::curl};

/// Whom it runs as once it has opened its port.
const USER: &str = "Debian-exim";

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [sealed, open] = yard.ports();
    let letter = Folder::new("letter");
    let text = letter.write("text", "Subject: test\r\n\r\nBody\r\n");
    let authority = yard.authority.certificate().display().to_string();
    let mail = ["--mail-from", "a@localhost", "--mail-rcpt", "b@localhost", "--upload-file"];
    let mail = [&mail[..], &[text.to_str().expect("a path that is text")]].concat();
    let starttls = [&mail[..], &["--ssl-reqd", "--cacert", &authority]].concat();
    let plain = ["--user", "user:word", "--login-options", "AUTH=PLAIN"];
    let plain = [&mail[..], &plain].concat();
    let url = |port: u16| format!("smtp://{}:{port}", yard.ip);
    let hop = |name, port, flags: &[&str], expect| {
        let client = curl(flags, &url(port));
        Hop { name, port, client, connections: 1, expect }
    };
    let smtp = || Expect::plaintext("smtp");
    let hops = vec![
        hop("smtp", open, &mail, smtp()),
        hop("smtp-not-taken", sealed, &mail, smtp().upgrade("offered_not_taken")),
        hop("smtp-starttls", sealed, &starttls, Expect::upgraded("smtp", "TLS1.3", "one_way")),
        hop("smtp-auth", open, &plain, smtp().readable("SASL PLAIN")),
    ];
    let servers = vec![server(yard, sealed, true, None), server(yard, open, false, Some(letter))];
    Running { servers, hops }
}

/// `letter` lives as long as the server does.
fn server(yard: &Yard<'_>, port: u16, has_tls: bool, letter: Option<Folder>) -> Server {
    let folder = Folder::new("exim");
    let spool = folder.folder("spool", USER);
    let mut tls = "tls_advertise_hosts =\n".to_owned();
    if has_tls {
        let identity = yard.authority.server.copy_for(&folder, USER);
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        tls = format!(
            "tls_advertise_hosts = *\ntls_certificate = {certificate}\ntls_privatekey = {key}\n"
        );
    }
    let settings = format!(
        "primary_hostname = localhost\nspool_directory = {spool}\n\
         log_file_path = {spool}/log-%s\npid_file_path = {spool}/pid\n\
         local_interfaces = {ip}\ndaemon_smtp_ports = {port}\n{tls}\
         host_lookup =\nrfc1413_hosts =\nqueue_only = true\n\
         acl_smtp_rcpt = all\nacl_smtp_data = all\nbegin acl\nall:\n  accept\n\
         begin routers\nnowhere:\n  driver = redirect\n  data = :blackhole:\n\
         begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n\
         \x20 server_prompts = :\n  server_condition = true\n\
         \x20 server_advertise_condition = true\n",
        spool = spool.display(),
        ip = yard.ip,
    );
    let settings = folder.write("exim.conf", settings);
    let mut command = Command::new("/usr/sbin/exim4");
    command.arg("-C").arg(settings).arg("-bdf");
    yard.start(folder, &mut command, &[port]).with(letter)
}
