//! What an output script says by its form alone: whether it can be spent at all, and whether it is of a kind that is spent here.

use bitcoin::Script;

/// Scripts longer than this, in bytes, can never run (Bitcoin Core's `MAX_SCRIPT_SIZE`).
pub const MAX_SCRIPT_SIZE: usize = 10_000;

/// Whether an output with this script can be spent by nobody, so that it never becomes a coin: `OP_RETURN` first, or too long.
/// The hash of the set of coins depends on leaving out exactly what Bitcoin Core leaves out.
#[must_use]
pub fn is_unspendable(script: &Script) -> bool {
    script.is_op_return() || script.len() > MAX_SCRIPT_SIZE
}

/// Whether an output with this script is of one of the two kinds that can be spent: P2TR and P2WPKH.
#[must_use]
pub fn is_spendable_kind(script: &Script) -> bool {
    script.is_p2tr() || script.is_p2wpkh()
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;

    use super::*;
    use crate::fixtures::Key;

    #[test]
    fn outputs_that_nobody_can_spend_are_no_coins() {
        let unspendable = |script: Vec<u8>| is_unspendable(&ScriptBuf::from_bytes(script));
        assert!(unspendable(vec![0x6a]));
        assert!(unspendable(vec![0x6a; 3]));
        assert!(unspendable(vec![0x51; MAX_SCRIPT_SIZE + 1]));
        assert!(!unspendable(vec![0x51; MAX_SCRIPT_SIZE]));
        assert!(!unspendable(vec![]));
        assert!(!unspendable(vec![0x51, 0x6a]));
        assert!(!is_unspendable(&Key::p2tr("alice").script()));
    }
}
