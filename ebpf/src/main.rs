//! The kernel programs, built for a BPF target only: see `programs/hooks.rs` for what is attached.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod programs;

/// The kernel lends its GPL-only helpers to programs that declare a compatible licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program that could reach this, so no instruction is needed.
    loop {}
}
