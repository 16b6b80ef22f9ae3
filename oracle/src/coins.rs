//! A set of unspent coins, kept in the plainest way.

use std::collections::BTreeMap;

use bitcoin::{Block, OutPoint};
use chain::{Coin, Height};

/// Unspent coins by outpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CoinSet(pub(crate) BTreeMap<OutPoint, Coin>);

impl CoinSet {
    /// Applies a valid block. `spent` is what undo data say of its inputs, in order.
    pub(crate) fn apply(&mut self, block: &Block, height: Height, spent: &[Coin]) {
        let mut spent = spent.iter();
        for (index, tx) in block.txdata.iter().enumerate() {
            for input in tx.input.iter().filter(|_| index > 0) {
                let coin = self.0.remove(&input.previous_output);
                assert_eq!(
                    coin.as_ref(),
                    spent.next(),
                    "undo data tell the coin {}",
                    input.previous_output
                );
            }
            let txid = tx.compute_txid();
            for (vout, output) in (0..).zip(&tx.output) {
                if chain::script::is_unspendable(&output.script_pubkey) {
                    continue;
                }
                let coin = Coin {
                    output: output.clone(),
                    height,
                    coinbase: index == 0,
                };
                self.0.insert(OutPoint { txid, vout }, coin);
            }
        }
        assert_eq!(spent.next(), None, "undo data tell of no other coin");
    }
}
