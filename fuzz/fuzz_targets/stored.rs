//! Rows of coins and of undo data: nothing panics or takes more memory than its bytes are worth, and what is read is written so that it is
//! read as the same again.

#![no_main]

use chain::fixtures::stored::{coin_again, undo_again};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, row)) = data.split_first() else {
        return;
    };
    let again = match kind % 2 {
        0 => coin_again,
        _ => undo_again,
    };
    if let Some(written) = again(row) {
        assert_eq!(
            again(&written).as_ref(),
            Some(&written),
            "what we write we read"
        );
    }
});
