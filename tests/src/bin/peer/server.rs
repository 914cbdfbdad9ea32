//! A server that takes connections one after the other.

use std::net::TcpListener;

use anyhow::Context as _;
use serde_json::json;

use super::{
    flags::Flags,
    step::{self, Step},
    tally::{self, Tally},
};

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let steps = Step::list(flags.text("steps").unwrap_or_default())?;
    let address = flags.address("listen")?;
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    tally::say(&json!({ "listening": listener.local_addr()?.to_string() }))?;
    let mut tally = Tally::default();
    for _ in 0..flags.count("connections")? {
        let (stream, _) = listener.accept()?;
        step::play(&steps, stream, &mut tally);
    }
    Ok(tally.tell()?)
}
