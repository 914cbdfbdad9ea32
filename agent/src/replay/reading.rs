//! What a stream was found to be, in the words of the map.

use plainsight_core::{
    graph::Upgrade,
    identity::Confidence,
    protocol::{Reading, Security, State},
};
use plainsight_ebpf::wire::{protocol::Protocol, stage::Stage};

use super::stream::{Carrier, Stream};

// === impl Stream ===

impl Stream {
    /// How far it is protected.
    pub(super) fn stage(&self) -> Stage {
        match (&self.assessment, self.carrier) {
            (Some(assessment), _) => assessment.stage,
            (None, Carrier::Esp) => Stage::Encrypted,
            (None, _) => Stage::Plaintext,
        }
    }

    /// What it reads as.
    pub(super) fn reading(&self) -> Reading {
        let stage = self.stage();
        let Some(assessment) = &self.assessment else {
            return Reading {
                protocol: self.carrier.name(),
                version: None,
                security: security(Protocol::Unknown, stage),
                state: state(stage),
                evidence: "",
            };
        };
        let (protocol, version) = match assessment.protocol {
            Protocol::Http => ("http", Some("1")),
            Protocol::Http2 => ("http", Some("2")),
            other => (other.name(), None),
        };
        Reading {
            protocol,
            version,
            security: security(assessment.protocol, stage),
            state: state(stage),
            evidence: "",
        }
    }

    /// How sure all that is.
    pub(super) fn confidence(&self) -> Confidence {
        let is_certain = self.assessment.as_ref().is_none_or(|assessment| assessment.is_certain);
        match self.stage() {
            Stage::Pending | Stage::Unknown => Confidence::Low,
            _ if self.is_guessed => Confidence::Low,
            _ if self.is_whole && is_certain => Confidence::High,
            _ => Confidence::Medium,
        }
    }
}

/// Whether what is at this stage began in the clear and changed.
pub(super) const fn upgrade(stage: Stage) -> Upgrade {
    match stage {
        Stage::OfferedNotTaken => Upgrade::OfferedNotTaken,
        Stage::Refused => Upgrade::Refused,
        Stage::Upgraded => Upgrade::Taken,
        _ => Upgrade::None,
    }
}

const fn state(stage: Stage) -> State {
    match stage {
        Stage::Pending | Stage::Unknown => State::Unknown,
        Stage::Plaintext | Stage::MayUpgrade | Stage::OfferedNotTaken | Stage::Refused => {
            State::Plaintext
        }
        Stage::Offered | Stage::Handshake => State::HandshakeOnly,
        Stage::Encrypted => State::Encrypted,
        Stage::Upgraded => State::Upgraded,
        Stage::Partial => State::Partial,
    }
}

const fn security(protocol: Protocol, stage: Stage) -> Security {
    match (protocol, state(stage)) {
        (_, State::Plaintext) => Security::None,
        (Protocol::Ssh, _) => Security::Ssh,
        (Protocol::Quic, _) => Security::Quic,
        (Protocol::Tls, _) | (_, State::Upgraded) => Security::Tls,
        _ => Security::Unknown,
    }
}
