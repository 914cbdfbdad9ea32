//! Roles and pairs of made-up sockets, and a search among those of this process.

use std::net::{TcpListener, TcpStream};

use super::*;
use crate::discover::sockets::Moved;

fn socket(state: State, local: &str, remote: &str) -> Socket {
    let [local, remote] =
        [local, remote].map(|end| end.parse::<std::net::SocketAddr>().expect("an address"));
    Socket {
        cookie: u64::from(local.port()),
        state,
        local: local.ip(),
        local_port: local.port(),
        remote: remote.ip(),
        remote_port: remote.port(),
        inode: 0,
        cgroup: 0,
        is_v6_only: false,
        moved: Some(Moved::default()),
    }
}

fn end(local: &str, remote: &str) -> Older {
    let socket = socket(State::Established, local, remote);
    let nowhere = Path::new("/nowhere");
    describe(&socket, 0, &HashMap::new(), nowhere, &Listening::default()).expect("a connection")
}

#[test]
fn listeners_prove_roles() {
    let check = |listener: &str, is_v6_only: bool, ends: [&str; 2], expect: Option<Role>| {
        let listener = Socket { is_v6_only, ..socket(State::Listen, listener, "[::]:0") };
        let listening: Listening = [&listener].into_iter().collect();
        let role = listening.role(&socket(State::Established, ends[0], ends[1]));
        assert_eq!(role, expect, "{listener:?} {ends:?}");
    };
    let (server, client) = (Some(Role::Server), Some(Role::Client));
    check("0.0.0.0:80", false, ["10.0.0.1:80", "10.0.0.2:40000"], server);
    check("10.0.0.1:80", false, ["10.0.0.1:80", "10.0.0.2:40000"], server);
    check("10.0.0.9:80", false, ["10.0.0.1:80", "10.0.0.2:40000"], None);
    check("0.0.0.0:80", false, ["[fd00::1]:80", "[fd00::2]:40000"], None);
    check("[::]:80", false, ["10.0.0.1:80", "10.0.0.2:40000"], server);
    check("[::]:80", true, ["10.0.0.1:80", "10.0.0.2:40000"], None);
    check("[::]:80", true, ["[fd00::1]:80", "[fd00::2]:40000"], server);
    check("127.0.0.1:80", false, ["127.0.0.1:40000", "127.0.0.1:80"], client);
    check("0.0.0.0:80", false, ["127.0.0.1:40000", "127.0.0.5:80"], client);
    check("0.0.0.0:80", false, ["10.0.0.1:40000", "10.0.0.1:80"], client);
    // Another host's port 80 is not ours.
    check("0.0.0.0:80", false, ["10.0.0.1:40000", "10.0.0.2:80"], None);
}

#[test]
fn ends_that_name_each_other_are_a_pair() {
    let mut ends = vec![
        end("127.0.0.1:40000", "127.0.0.1:80"),
        // The first of another namespace: the same addresses, other sockets.
        end("127.0.0.1:40000", "127.0.0.1:80"),
        end("127.0.0.1:80", "127.0.0.1:40000"),
        end("127.0.0.1:80", "127.0.0.1:40001"),
        end("127.0.0.1:5000", "127.0.0.1:5000"),
    ];
    pair(&mut ends, 1);
    let peers: Vec<_> = ends.iter().map(|end| end.peer).collect();
    assert_eq!(peers, [None, Some(2), Some(1), None, None]);
}

#[test]
fn listeners_and_remains_are_no_connections() {
    let listing = Listening::default();
    let read = |socket: &Socket| {
        describe(socket, 0, &HashMap::new(), Path::new("/nowhere"), &listing).is_some()
    };
    let open = socket(State::Established, "127.0.0.1:1", "127.0.0.1:2");
    assert!(read(&open));
    assert!(!read(&Socket { state: State::Listen, ..open.clone() }));
    assert!(!read(&Socket { moved: None, ..open }));
}

#[test]
fn both_ends_in_this_process_are_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = TcpStream::connect(at).unwrap();
    let (_server, _) = listener.accept().unwrap();
    let from = client.local_addr().unwrap();
    let mut asked = 0;
    let search = Search::run(Path::new("/nowhere"), |_| {
        asked += 1;
        true
    });
    assert_eq!(search.found.len() + search.offers.len(), asked);
    let of = |port| search.found.iter().find(|end| end.local_port == port && end.tgid != 0);
    let [client, server] = [from, at].map(|at| of(at.port()).expect("both ends"));
    assert_eq!((client.role, server.role), (Role::Client, Role::Server));
    assert_eq!([client.is_role_inferred, server.is_role_inferred], [false; 2]);
    assert_eq!([client.tgid, server.tgid], [std::process::id(); 2]);
    assert_eq!(search.found[client.peer.unwrap()], *server);
    assert_eq!(search.found[server.peer.unwrap()], *client);
    assert_ne!(client.comm, Comm::default());
}

#[test]
fn what_is_not_watched_is_left_out() {
    let search = Search::run(Path::new("/nowhere"), |_| false);
    assert!(search.found.is_empty() && search.offers.is_empty());
    assert_eq!(search.namespaces_failed, 0);
}
