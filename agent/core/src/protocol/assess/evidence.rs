//! What an assessment rests on, in words for people.

use alloc::borrow::Cow;
use alloc::format;

use plainsight_ebpf::wire::protocol::Protocol;
use plainsight_ebpf::wire::stage::Stage;

use super::super::conversation::Conversation;
use super::super::tls::Tls;
use super::Course;

/// A sentence on what was seen.
pub(super) fn of(
    course: &Course<'_>,
    conversation: &Conversation<'_>,
    tls: Option<&Tls>,
) -> Cow<'static, str> {
    let name = course.protocol.name();
    if course.protocol == Protocol::Unknown && course.stage <= Stage::Unknown {
        return match (course.stage, conversation.is_whole) {
            (Stage::Pending, _) => "no payload".into(),
            (_, true) => "first bytes fit no rule".into(),
            (_, false) => "joined late, and no two messages in a row agree".into(),
        };
    }
    match course.stage {
        Stage::Pending | Stage::Unknown => "first bytes fit no rule".into(),
        Stage::Plaintext => plaintext(course, name),
        Stage::MayUpgrade => format!("{name} in the clear; no request for encryption yet").into(),
        Stage::OfferedNotTaken => format!(
            "{name} in the clear: the server offered encryption, the client went on without"
        )
        .into(),
        Stage::Refused => {
            format!("{name} in the clear: the client asked for encryption, the server refused")
                .into()
        }
        Stage::Offered => format!("a hello of {name} that the other end did not answer").into(),
        Stage::Handshake => {
            format!("hellos of both ends ({name}), nothing protected after them").into()
        }
        Stage::Encrypted => encrypted(course, tls),
        Stage::Upgraded => upgraded(course),
        Stage::Partial => format!("{name} of which parts are protected").into(),
    }
}

fn plaintext(course: &Course<'_>, name: &str) -> Cow<'static, str> {
    if course.is_certain {
        format!("{name} in the clear from both ends").into()
    } else {
        format!("{name} in the clear from one end").into()
    }
}

fn encrypted(course: &Course<'_>, tls: Option<&Tls>) -> Cow<'static, str> {
    match course.protocol {
        Protocol::Ssh => "identifications of both ends, then new keys".into(),
        Protocol::Tls if tls.is_some() => "TLS hellos, then protected records".into(),
        Protocol::Tls => "joined late: protected records in a row".into(),
        protocol => format!("a handshake of {}, then protected packets", protocol.name()).into(),
    }
}

fn upgraded(course: &Course<'_>) -> Cow<'static, str> {
    match course.protocol {
        Protocol::Postgresql => "SSLRequest answered S, then TLS hellos both ways".into(),
        Protocol::Mysql => "a login that asked for TLS, then TLS hellos both ways".into(),
        Protocol::Http => {
            "CONNECT answered 2xx, then TLS hellos both ways inside the tunnel".into()
        }
        protocol => format!("{} in the clear, then TLS hellos both ways", protocol.name()).into(),
    }
}
