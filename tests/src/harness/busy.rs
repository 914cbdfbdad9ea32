//! The processor time of a process, to the nanosecond.

use std::fs;

/// What all threads of a process have had of processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Nanoseconds on a processor.
    pub ns: u64,
    /// How often a thread was put on one.
    pub turns: u64,
}

// === impl Busy ===

impl Busy {
    /// Of this process until now.
    ///
    /// # Panics
    ///
    /// If it is gone.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process is there");
        let paths = threads.flatten().map(|thread| thread.path().join("schedstat"));
        // A thread may end between the two looks.
        let texts = paths.filter_map(|path| fs::read_to_string(path).ok());
        texts.filter_map(|text| Self::read(&text)).fold(Self::default(), Self::plus)
    }

    /// From an earlier look to this one.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { ns: self.ns - before.ns, turns: self.turns - before.turns }
    }

    /// Time on a processor, time waiting for one, and turns (Documentation/scheduler/sched-stats).
    fn read(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
        let [ns, _, turns] = numbers.try_into().ok()?;
        Some(Self { ns, turns })
    }

    fn plus(self, other: Self) -> Self {
        Self { ns: self.ns + other.ns, turns: self.turns + other.turns }
    }
}
