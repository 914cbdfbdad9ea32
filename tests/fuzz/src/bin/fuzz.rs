//! libFuzzer's driver for the target that `PLAINSIGHT_FUZZ` names; `list` prints their names and
//! ends. `cargo xtask fuzz` starts it.
#![no_main]

use std::process;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plainsight_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("PLAINSIGHT_FUZZ").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| list())
});

fuzz_target!(
    init: {
        LazyLock::force(&TARGET);
    },
    |bytes: &[u8]| (TARGET.run)(bytes)
);

#[expect(clippy::print_stdout, reason = "the list is what was asked for")]
fn list() -> ! {
    for target in TARGETS {
        println!("{} {}", target.name, target.longest);
    }
    process::exit(0)
}
