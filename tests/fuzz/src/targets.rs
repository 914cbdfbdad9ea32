//! What each target does with its bytes.

use plainsight::discover::{cgroup, mount};
use plainsight::intake;
use plainsight_core::escape;
use plainsight_ebpf::wire::{ip, tcp};

/// Headers as they lie in a packet.
pub(crate) fn packet(bytes: &[u8]) {
    let Some(first) = bytes.first() else { return };
    let at = if ip::is_v6(*first) { Some(ip::V6_LEN) } else { ip::v4_len(*first) };
    let Some(at) = at else { return };
    let Some(header) = bytes.get(at as usize..).and_then(<[u8]>::first_chunk) else { return };
    let Ok(length) = u32::try_from(bytes.len()) else { return };
    if let Some(segment) = tcp::Segment::read(header, at, length) {
        assert!(segment.payload_at >= at + tcp::MIN_LEN);
        assert_eq!(segment.payload_at + segment.payload, length);
    }
}

/// An event off the ring, as a damaged kernel half might write it.
pub(crate) fn event(bytes: &[u8]) {
    _ = intake::decode(bytes);
}

/// `/proc/self/mountinfo`.
pub(crate) fn mounts(bytes: &[u8]) {
    _ = mount::parse(bytes);
}

/// `/proc/PID/cgroup`: a process chooses what its cgroups are called.
pub(crate) fn membership(bytes: &[u8]) {
    _ = cgroup::membership(&String::from_utf8_lossy(bytes));
}

/// Text for a terminal.
pub(crate) fn escape(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = escape::terminal(&text);
    assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
    assert_eq!(escape::terminal(&shown), shown, "what is escaped is not escaped again");
}
