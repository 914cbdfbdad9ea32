//! Protocols that seal parts of themselves: naming them plain text would be a false alarm.

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;
use plainsight_ebpf::wire::talk::Side;

use super::Course;

/// DCE RPC's level at which arguments are sealed (MS-RPCE, section 2.2.1.1.8).
const PRIVACY: u8 = 6;

/// Says that a conversation is partly protected, where its frames show it.
pub(super) fn refine(course: &mut Course<'_>) {
    if !matches!(course.stage, Stage::Plaintext | Stage::MayUpgrade | Stage::Unknown) {
        return;
    }
    let mut messages = course.messages.iter().map(|message| message.bytes);
    let is_sealed = match course.protocol {
        Protocol::Smb => messages.any(is_smb_sealed),
        Protocol::Dcerpc => messages.any(is_rpc_sealed),
        Protocol::Ldap => is_ldap_sealed(course),
        _ => false,
    };
    if is_sealed {
        course.stage = Stage::Partial;
    }
}

/// Whether a frame of these is an encrypted one of SMB 3.
fn is_smb_sealed(message: &[u8]) -> bool {
    let mut rest = message;
    while let Some((header, body)) = rest.split_first_chunk::<4>() {
        if header[0] != 0 {
            return false;
        }
        if body.starts_with(b"\xfdSMB") {
            return true;
        }
        let length = u32::from_be_bytes(*header);
        let Some(next) = usize::try_from(length).ok().and_then(|length| body.get(length..)) else {
            return false;
        };
        rest = next;
    }
    false
}

/// Whether the verifier at the end of a fragment says that it is sealed.
fn is_rpc_sealed(message: &[u8]) -> bool {
    let mut rest = message;
    while let Some(header) = rest.first_chunk::<16>() {
        let little = header[4] & 0x10 != 0;
        let number = |at: [u8; 2]| {
            usize::from(if little { u16::from_le_bytes(at) } else { u16::from_be_bytes(at) })
        };
        let (length, proof) = (number([header[8], header[9]]), number([header[10], header[11]]));
        if header[0] != 5 || length < 16 {
            return false;
        }
        // Kind, level, padding, a reserved byte, a context: eight bytes before the proof.
        let level = length.checked_sub(proof + 7).and_then(|at| rest.get(at));
        if proof != 0 && level == Some(&PRIVACY) {
            return true;
        }
        let Some(next) = rest.get(length..) else { return false };
        rest = next;
    }
    false
}

/// Whether messages have a length in front, as sealed ones have (RFC 4422, section 3.7).
fn is_ldap_sealed(course: &Course<'_>) -> bool {
    let is_wrapped = |message: &[u8]| {
        message.split_first_chunk::<4>().is_some_and(|(length, body)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok();
            length.is_some_and(|length| length > 16 && length == body.len())
                && body.first().is_some_and(|first| *first != 0x30)
                && !is_only_signed(body)
        })
    };
    course.said(Side::Client).any(is_wrapped) || course.said(Side::Server).any(is_wrapped)
}

/// Whether a token of Kerberos does not say that it is sealed (RFC 4121, section 4.2.2), or the
/// message shows behind a signature of NTLM (MS-NLMP, section 2.2.2.9.1).
fn is_only_signed(token: &[u8]) -> bool {
    let is_kerberos = token.starts_with(&[5, 4]);
    is_kerberos && token.get(2).is_some_and(|flags| flags & 2 == 0)
        || token.starts_with(&[1, 0, 0, 0]) && token.get(16) == Some(&0x30)
}
