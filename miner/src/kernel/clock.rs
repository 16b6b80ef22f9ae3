//! The core's clock rate, from the time that a chain of dependent additions takes.
//!
//! Counters of cycles are seldom open to programs, and the time-stamp counter runs at a fixed rate of its own. A
//! chain of register additions takes one cycle each on every core of the last decades.

#![cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(
        unsafe_code,
        reason = "a compiler would sum up a chain of additions; assembly keeps it"
    )
)]

use std::time::Instant;

/// Long enough that the loop around it does not show.
const ADDS_PER_TURN: u32 = 500;
const TURNS: u32 = 800;
const ROUNDS: usize = 5;

/// Cycles per second of the core that runs this, where it can be inferred. Takes about a millisecond.
///
/// The best of several short runs, so that a preempted one does not count.
#[must_use]
pub(crate) fn core_hz() -> Option<f64> {
    (0..ROUNDS)
        .filter_map(|_| {
            let start = Instant::now();
            add_chain(TURNS)?;
            Some(f64::from(ADDS_PER_TURN * TURNS) / start.elapsed().as_secs_f64())
        })
        .max_by(f64::total_cmp)
}

/// The instruction that adds register `{y}` to register `{x}`.
#[cfg(target_arch = "x86_64")]
macro_rules! add {
    () => {
        "add {x}, {y}"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! add {
    () => {
        "add {x}, {x}, {y}"
    };
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn add_chain(turns: u32) -> Option<()> {
    let mut x: u64 = 1;
    for _ in 0..turns {
        // SAFETY: adds registers, and touches neither memory nor the stack.
        unsafe {
            std::arch::asm!(
                ".rept {count}",
                add!(),
                ".endr",
                count = const ADDS_PER_TURN,
                x = inout(reg) x,
                y = in(reg) 3_u64,
                options(nomem, nostack),
            );
        }
    }
    std::hint::black_box(x);
    Some(())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn add_chain(_: u32) -> Option<()> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_plausible_where_it_is_known() {
        if let Some(hz) = super::core_hz() {
            assert!((2e8..1e10).contains(&hz), "{hz} Hz");
        }
    }
}
