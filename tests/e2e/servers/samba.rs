//! Samba and its client: SMB 3, signed and encrypted. Both prove a password and never tell it.

use std::process::Command;

use super::{Expect, Folder, Hop, Running, Yard};

pub(super) fn start(yard: &Yard<'_>) -> Running {
    let [port] = yard.ports();
    let folder = Folder::new("samba");
    let mut settings = format!(
        "[global]\ninterfaces = {}/24\nbind interfaces only = yes\nsmb ports = {port}\n\
         disable netbios = yes\npassdb backend = tdbsam\nload printers = no\nprinting = bsd\n\
         disable spoolss = yes\nserver min protocol = SMB3\nlog file = {}\n",
        yard.ip,
        folder.text("smbd.log"),
    );
    for name in ["private", "state", "cache", "lock", "pid", "ncalrpc"] {
        let word = if name == "ncalrpc" { "dir" } else { "directory" };
        settings += &format!("{name} {word} = {}\n", folder.folder(name, "root").display());
    }
    let share = folder.folder("share", "root");
    settings += &format!("[share]\npath = {}\nread only = no\n", share.display());
    let settings = folder.write("smb.conf", settings);
    set_password(&settings.display().to_string());
    let mut command = Command::new("/usr/sbin/smbd");
    command.args(["-F", "--debug-stdout", "-s"]).arg(settings);
    let server = yard.start(folder, &mut command, &[port]);
    let hop = |name, flags: &'static [&'static str], expect| {
        let (share, port_text) = (format!("//{}/share", yard.ip), port.to_string());
        let client = Box::new(move || {
            let mut command = Command::new("smbclient");
            command.args([&share, "-p", &port_text, "-s", "/dev/null", "-U", "root%word"]);
            command.args(["-m", "SMB3"]).args(flags).args(["-c", "ls"]);
            command
        });
        Hop { name, port, client, connections: 1, expect }
    };
    Running {
        servers: vec![server],
        hops: vec![
            hop("smb", &[], Expect::sealed("smb", "none", "plaintext")),
            hop("smb-encrypted", &["--client-protection=encrypt"], {
                Expect::sealed("smb", "unknown", "partial")
            }),
        ],
    }
}

fn set_password(settings: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", "printf 'word\\nword\\n' | smbpasswd -c \"$0\" -s -a root", settings]);
    Yard::prepare(&mut command);
}
