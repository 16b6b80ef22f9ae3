//! Blocks made by hand: every rule at its limit and one beyond, every way to sign, and forks.

mod forks;
mod limits;
mod places;
mod signatures;

use crate::pair::Tally;

/// All of them.
pub(crate) fn compare_all() -> Tally {
    let mut tally = Tally::default();
    for group in [
        places::compare,
        limits::compare,
        signatures::compare_taproot,
        signatures::compare_p2wpkh,
        signatures::compare_other_outputs,
        forks::compare,
    ] {
        tally.add(group());
    }
    tally
}
