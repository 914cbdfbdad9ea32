//! What a stream was found to be, in the words of the map.

use plainsight_core::{
    identity::Confidence,
    protocol::{Class, Reading},
};
use plainsight_ebpf::wire::{protocol::Protocol, stage::Stage};

use super::stream::{Carrier, Stream};

// === impl Stream ===

impl Stream {
    /// Protocol and stage; of what has no ports, as far as that is one of them.
    pub(super) fn class(&self) -> Class {
        match (&self.assessment, self.carrier) {
            (Some(found), _) => Class::new(found.protocol, found.stage),
            (None, Carrier::Esp) => Class::new(Protocol::EspInUdp, Stage::Encrypted),
            (None, _) => Class::new(Protocol::Unknown, Stage::Plaintext),
        }
    }

    /// How far it is protected.
    pub(super) fn stage(&self) -> Stage {
        self.class().stage
    }

    /// What it reads as.
    pub(super) fn reading(&self) -> Reading {
        let reading = self.class().reading();
        match self.assessment {
            Some(_) => reading,
            None => Reading { protocol: self.carrier.name(), ..reading },
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
