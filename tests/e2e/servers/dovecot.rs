//! Dovecot and curl: IMAP and POP3, with and without STARTTLS.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use super::{Expect, Folder, Hop, Running, Yard, nginx::curl};

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [imap, pop3, imap_open, pop3_open] = yard.ports();
    let authority = yard.authority.certificate().display().to_string();
    let user = ["--user", "user:word", "--login-options"];
    let with = |method: &'static str| [&user[..], &[method]].concat();
    let tls = ["--user", "user:word", "--ssl-reqd", "--cacert", &authority];
    let hop = |name, scheme: &str, port: u16, flags: &[&str], expect| {
        let client = curl(flags, &format!("{scheme}://{}:{port}/", yard.ip));
        Hop { name, port, client, connections: 1, expect }
    };
    let words = Folder::new("words");
    let login = words.write("login", "1 LOGIN user word\r\n2 LOGOUT\r\n").display().to_string();
    let login = ["--upload-file", &login];
    let clear = Expect::plaintext;
    let sealed = |protocol| Expect::upgraded(protocol, "TLS1.3", "one_way");
    let proof = "SASL challenge and response";
    let hops = vec![
        hop("imap", "imap", imap_open, &with("AUTH=PLAIN"), clear("imap").readable("SASL PLAIN")),
        hop("imap-login", "telnet", imap_open, &login, clear("imap").readable("IMAP LOGIN")),
        hop("imap-proof", "imap", imap_open, &with("AUTH=CRAM-MD5"), clear("imap").proof(proof)),
        hop("imap-not-taken", "imap", imap, &with("AUTH=PLAIN"), {
            clear("imap").readable("SASL PLAIN").upgrade("offered_not_taken")
        }),
        hop("imap-starttls", "imap", imap, &tls, sealed("imap")),
        hop("pop3", "pop3", pop3_open, &with("AUTH=PLAIN"), clear("pop3").readable("SASL PLAIN")),
        hop("pop3-proof", "pop3", pop3_open, &with("AUTH=CRAM-MD5"), clear("pop3").proof(proof)),
        hop("pop3-starttls", "pop3", pop3, &tls, sealed("pop3")),
    ];
    let open = server(yard, imap_open, pop3_open, false).with(Some(words));
    Running { servers: vec![server(yard, imap, pop3, true), open], hops }
}

fn server(yard: &Yard<'_>, imap: u16, pop3: u16, has_tls: bool) -> super::Server {
    let folder = Folder::new("dovecot");
    let mail = folder.folder("mail", "nobody");
    fs::set_permissions(&mail, fs::Permissions::from_mode(0o700)).expect("it can be changed");
    folder.write("users", "user:{PLAIN}word\n");
    let identity = &yard.authority.server;
    let tls = match has_tls {
        false => "ssl = no\n".to_owned(),
        true => format!(
            "ssl = yes\nssl_cert = <{}\nssl_key = <{}\n",
            identity.certificate.display(),
            identity.key.display()
        ),
    };
    let listener = |service: &str, port: u16| {
        format!(
            "service {service}-login {{\n  inet_listener {service} {{\n    port = {port}\n  }}\n\
             \x20 inet_listener {service}s {{\n    port = 0\n  }}\n}}\n"
        )
    };
    let settings = format!(
        "base_dir = {path}/run\nstate_dir = {path}/state\nlog_path = /dev/stderr\n\
         protocols = imap pop3\nlisten = {ip}\n{tls}disable_plaintext_auth = no\n\
         auth_mechanisms = plain cram-md5\nfirst_valid_uid = 0\n\
         mail_location = maildir:{path}/mail/%u\npassdb {{\n  driver = passwd-file\n\
         \x20 args = scheme=PLAIN {path}/users\n}}\nuserdb {{\n  driver = static\n\
         \x20 args = uid=nobody gid=nogroup home={path}/mail/%u\n}}\n{imap}{pop3}",
        path = folder.path().display(),
        ip = yard.ip,
        imap = listener("imap", imap),
        pop3 = listener("pop3", pop3),
    );
    let settings = folder.write("dovecot.conf", settings);
    let mut command = Command::new("/usr/sbin/dovecot");
    command.arg("-F").arg("-c").arg(settings);
    yard.start(folder, &mut command, &[imap, pop3])
}
