//! A connection that goes on in a child: the parent made it, and closes its own descriptor first.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork},
};

use super::{
    step::{self, Step},
    take_name,
    tally::Tally,
};

/// Lets a child of this name go through `steps`, and adds what it counted.
pub(crate) fn hand_down(name: &str, steps: &[Step], stream: TcpStream, tally: &mut Tally) {
    if let Err(error) = try_to(name, steps, stream, tally) {
        tally.error(&error);
    }
}

fn try_to(name: &str, steps: &[Step], stream: TcpStream, tally: &mut Tally) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread, so the child finds every lock free.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(ours);
            let done = take_name(name).is_ok() && child(steps, stream, theirs).is_ok();
            // SAFETY: the child ends without what the parent has arranged for its own end.
            unsafe { libc::_exit(i32::from(!done)) }
        }
        ForkResult::Parent { child } => {
            drop((stream, theirs));
            parent(child, ours, tally)
        }
    }
}

/// Waits until the parent has closed its descriptor of the connection.
fn child(steps: &[Step], stream: TcpStream, mut parent: UnixStream) -> io::Result<()> {
    parent.read_to_end(&mut Vec::new())?;
    let mut tally = Tally::default();
    step::go_on(steps, stream, &mut tally);
    parent.write_all(&tally.read.to_ne_bytes())?;
    parent.write_all(&tally.written.to_ne_bytes())
}

fn parent(child: Pid, mut stream: UnixStream, tally: &mut Tally) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut counts = [[0; 8]; 2];
    for count in &mut counts {
        stream.read_exact(count)?;
    }
    let [read, written] = counts.map(u64::from_ne_bytes);
    tally.read += read;
    tally.written += written;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}
