//! OpenLDAP: its server and ldapsearch, with every way to say who one is.

use std::{process::Command, rc::Rc};

use super::{Expect, Folder, Hop, Running, Server, Yard, kerberos::Realm, program};

const USER: &str = "openldap";

/// What is in the directory before anybody looks.
const ENTRIES: &str = "\
dn: dc=test
objectClass: dcObject
objectClass: organization
dc: test
o: test

dn: uid=user,dc=test
objectClass: account
objectClass: simpleSecurityObject
uid: user
userPassword: word
";

const SIMPLE: [&str; 5] = ["-x", "-D", "cn=admin,dc=test", "-w", "secret"];

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [open, sealed] = yard.ports();
    let sasl = |mechanism| ["-Q", "-Y", mechanism, "-U", "user", "-w", "word"];
    let simple_tls = [&["-ZZ"], &SIMPLE[..]].concat();
    let clear = || Expect::plaintext("ldap");
    let tls = Expect::upgraded("ldap", "TLS1.3", "requested_not_given");
    let hop = |name, flags: &[&str], expect| hop(yard, name, open, "ldap", flags, expect);
    let mut hops = vec![
        hop("ldap-anonymous", &["-x"], clear()),
        hop("ldap-simple", &SIMPLE, clear().readable("LDAP simple bind")),
        hop("ldap-starttls", &simple_tls, tls),
        hop("ldap-scram", &sasl("SCRAM-SHA-256"), clear().proof("SASL challenge and response")),
        // After it, both ends seal what they say.
        hop("ldap-digest", &sasl("DIGEST-MD5"), {
            Expect::sealed("ldap", "unknown", "partial").proof("SASL challenge and response")
        }),
    ];
    hops.push(self::hop(yard, "ldaps", sealed, "ldaps", &SIMPLE, {
        Expect::tls("tls", "TLS1.3", "requested_not_given")
    }));
    Running { servers: vec![server(yard, [open, sealed], "localhost", None)], hops }
}

/// The same with tickets of Kerberos, with which both ends seal what they say after the bind, if they
/// do not agree not to.
pub(super) fn start_with_tickets(yard: &Yard<'_>) -> Running {
    let [open, sealed] = yard.ports();
    let host = yard.ip.to_string();
    let (centre, realm) = Realm::start(yard, &format!("ldap/{host}"), USER);
    let realm = Rc::new(realm);
    let server = server(yard, [open, sealed], &host, Some(&realm));
    let hop = |name, flags: &[&str], expect: Expect| {
        let flags = [&["-N", "-Q", "-Y"], flags].concat();
        let expect = expect.proof("SASL GSSAPI");
        let hop = hop(yard, name, open, "ldap", &flags, expect);
        let realm = Rc::clone(&realm);
        let client = Box::new(move || {
            let mut command = (hop.client)();
            realm.take_part(&mut command);
            command
        });
        Hop { client, ..hop }
    };
    let clear = || Expect::plaintext("ldap");
    let sealed = || Expect::sealed("ldap", "unknown", "partial");
    let hops = vec![
        hop("ldap-gss-clear", &["GSSAPI", "-O", "maxssf=0"], clear()),
        hop("ldap-gss-signed", &["GSSAPI", "-O", "maxssf=1"], clear()),
        hop("ldap-gss-sealed", &["GSSAPI"], sealed()),
        hop("ldap-gss-spnego", &["GSS-SPNEGO"], sealed()),
    ];
    Running { servers: vec![server, centre], hops }
}

fn server(yard: &Yard<'_>, ports: [u16; 2], host: &str, realm: Option<&Realm>) -> Server {
    let folder = Folder::new("slapd");
    let data = folder.folder("data", USER);
    let identity = yard.authority.server.copy_for(&folder, USER);
    let settings = format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
         modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {data}/pid\n\
         TLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
         TLSVerifyClient try\nauthz-regexp uid=([^,]*),.* uid=$1,dc=test\n\
         password-hash {{CLEARTEXT}}\nsasl-host {host}\ndatabase mdb\nsuffix dc=test\n\
         rootdn cn=admin,dc=test\nrootpw secret\nmaxsize 8388608\ndirectory {data}\n",
        yard.authority.certificate().display(),
        identity.certificate.display(),
        identity.key.display(),
        data = data.display(),
    );
    let settings = folder.write("slapd.conf", settings);
    let entries = folder.write("entries.ldif", ENTRIES);
    let mut command = program("/usr/sbin/slapadd", USER);
    Yard::prepare(command.arg("-f").arg(&settings).arg("-l").arg(entries));
    let [open, sealed] = ports;
    let urls = format!("ldap://{ip}:{open}/ ldaps://{ip}:{sealed}/", ip = yard.ip);
    let mut command = program("/usr/sbin/slapd", USER);
    command.args(["-d", "0", "-h", &urls, "-f"]).arg(settings);
    if let Some(realm) = realm {
        realm.serve(&mut command);
    }
    yard.start(folder, &mut command, &ports)
}

fn hop(
    yard: &Yard<'_>,
    name: &'static str,
    port: u16,
    scheme: &str,
    flags: &[&str],
    expect: Expect,
) -> Hop {
    let url = format!("{scheme}://{}:{port}", yard.ip);
    let authority = yard.authority.certificate();
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let client = Box::new(move || {
        let mut command = Command::new("ldapsearch");
        command.env("LDAPTLS_CACERT", &authority).env("LDAPCONF", "/dev/null");
        command.args(["-LLL", "-H", &url]).args(&flags).args(["-b", "dc=test", "dn"]);
        command
    });
    Hop { name, port, client, connections: 1, expect }
}
