//! A relay on loopback that keeps what both ends of each connection sent.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
};

use plainsight_tests::harness::patience;

/// Everything that went over one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
}

/// Clients connect to it, and it connects to their server.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    recordings: Receiver<Recording>,
    ends: Arc<AtomicBool>,
}

// === impl Relay ===

impl Relay {
    pub(super) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (told, recordings) = mpsc::sync_channel(7);
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        // One connection after the other, as the clients make them.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) || told.send(pass(client, server)).is_err() {
                    break;
                }
            }
        });
        Self { address, recordings, ends }
    }

    /// The next connection, once it is over.
    pub(super) fn next(&self) -> Result<Recording, String> {
        self.recordings.recv_timeout(patience()).map_err(|error| error.to_string())
    }

    /// What was recorded and nobody has asked for.
    pub(super) fn forget(&self) {
        while self.recordings.try_recv().is_ok() {}
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It looks up when somebody comes.
        let _woken = TcpStream::connect(self.address);
    }
}

/// Passes on what both say until both have ended.
fn pass(client: TcpStream, server: SocketAddr) -> Recording {
    let Ok(server) = TcpStream::connect(server) else {
        return Recording::default();
    };
    thread::scope(|scope| {
        let asked = scope.spawn(|| copy(&client, &server));
        let answered = copy(&server, &client);
        Recording { client: asked.join().unwrap_or_default(), server: answered }
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..length) else { break };
        all.extend_from_slice(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // One that has ended already cannot be ended.
    let _ended = to.shutdown(Shutdown::Write);
    all
}
