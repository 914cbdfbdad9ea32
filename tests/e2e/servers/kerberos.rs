//! MIT Kerberos: a realm with one user, and the service that it wants to use.

use std::process::Command;

use super::{Folder, Server, Yard, folder};

const REALM: &str = "PLAINSIGHT.TEST";
const USER: &str = "user";

/// Where the files of a realm are.
pub(super) struct Realm {
    settings: String,
    tickets: String,
    keys: String,
}

// === impl Realm ===

impl Realm {
    /// A realm in which `owner` has the keys of this service, and its user tickets for it; with the
    /// server that hands these out.
    pub(super) fn start(yard: &Yard<'_>, service: &str, owner: &str) -> (Server, Self) {
        let [port] = yard.ports();
        let folder = Folder::new("kerberos");
        let settings = folder.write("krb5.conf", settings(&format!("{}:{port}", yard.ip)));
        let own = folder.write("kdc.conf", own_settings(&folder, &format!("{}:{port}", yard.ip)));
        let keys = folder.text("keytab");
        let text = settings.display().to_string();
        let set_up = |program: &str| {
            let mut command = Command::new(program);
            command.env("KRB5_CONFIG", &settings).env("KRB5_KDC_PROFILE", &own);
            command
        };
        let mut command = set_up("/usr/sbin/kdb5_util");
        Yard::prepare(command.args(["create", "-s", "-P", "master", "-r", REALM]));
        for query in [
            format!("addprinc -randkey {USER}"),
            format!("addprinc -randkey {service}"),
            format!("ktadd -k {keys} {USER} {service}"),
        ] {
            Yard::prepare(set_up("/usr/sbin/kadmin.local").args(["-q", &query]));
        }
        folder::give(&folder.at("keytab"), owner);
        let tickets = format!("FILE:{}", folder.text("tickets"));
        let mut command = set_up("/usr/sbin/krb5kdc");
        let server = yard.start(folder, command.arg("-n"), &[port]);
        let realm = Self { settings: text, tickets, keys };
        let mut command = Command::new("kinit");
        yard.prepare_there(realm.take_part(command.args(["-k", "-t", &realm.keys, USER])));
        yard.prepare_there(realm.take_part(Command::new("kvno").arg(service)));
        (server, realm)
    }

    /// Lets a client know of the realm and of its user's tickets.
    pub(super) fn take_part<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("KRB5_CONFIG", &self.settings).env("KRB5CCNAME", &self.tickets)
    }

    /// Lets a service know of the realm and of its own keys.
    pub(super) fn serve<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("KRB5_CONFIG", &self.settings).env("KRB5_KTNAME", &self.keys)
    }
}

/// What everybody has to know. Names stay as they are, because nobody here can look them up.
fn settings(address: &str) -> String {
    format!(
        "[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\n\
         dns_lookup_realm = false\ndns_canonicalize_hostname = false\nrdns = false\n\
         [realms]\n{REALM} = {{\nkdc = {address}\n}}\n"
    )
}

/// What the centre alone has to know.
fn own_settings(folder: &Folder, address: &str) -> String {
    format!(
        "[kdcdefaults]\nkdc_listen = {address}\nkdc_tcp_listen = {address}\n\
         [realms]\n{REALM} = {{\ndatabase_name = {}\nkey_stash_file = {}\n}}\n",
        folder.text("principal"),
        folder.text("stash"),
    )
}
