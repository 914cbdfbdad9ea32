//! What a stream was found to be, in the words of the map.

use plainsight_core::{
    identity::Confidence,
    protocol::{Class, Reading, Upgrade},
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
            let protocol = match self.carrier {
                Carrier::Esp => Protocol::EspInUdp,
                _ => Protocol::Unknown,
            };
            return Reading {
                protocol: self.carrier.name(),
                ..Class::new(protocol, stage).reading()
            };
        };
        Class::new(assessment.protocol, stage).reading()
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
    Class::new(Protocol::Unknown, stage).upgrade()
}
