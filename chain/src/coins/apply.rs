//! What a block does to the coins, forwards and backwards.

use bitcoin::OutPoint;

use super::Coin;
use super::cache::CoinCache;
use super::encoding::PackedCoin;
use crate::block::CheckedBlock;
use crate::pause;
use crate::script::is_unspendable;
use crate::units::Height;

/// A coin that a block creates.
pub(crate) struct Creation {
    pub(crate) outpoint: OutPoint,
    pub(crate) coin: PackedCoin,
}

/// The coins that transaction `index` of a block creates, in output order, spent in the same block or not.
pub(crate) fn creations(
    body: &CheckedBlock,
    index: usize,
    height: Height,
) -> impl Iterator<Item = Creation> + '_ {
    let txid = body.txids()[index];
    (0..)
        .zip(&body.block().txdata[index].output)
        .filter(|(_, output)| !is_unspendable(&output.script_pubkey))
        .map(move |(vout, output)| Creation {
            outpoint: OutPoint { txid, vout },
            coin: PackedCoin::new(output, height, index == 0),
        })
}

impl CoinCache {
    /// Spends and creates what `body` does. It has been checked.
    pub(crate) fn connect_block(&mut self, body: &CheckedBlock, height: Height) {
        for (index, tx) in body.block().txdata.iter().enumerate() {
            pause::point();
            if index > 0 {
                for input in &tx.input {
                    self.remove(&input.previous_output);
                }
            }
            for Creation { outpoint, coin } in creations(body, index, height) {
                self.create(&outpoint, coin);
            }
        }
    }

    /// Takes back what `body` did, last first. `undo` holds one coin for each input, in order.
    pub(crate) fn disconnect_block(&mut self, body: &CheckedBlock, height: Height, undo: &[Coin]) {
        let mut spent = undo.iter().rev();
        for (index, tx) in body.block().txdata.iter().enumerate().rev() {
            for Creation { outpoint, .. } in creations(body, index, height) {
                self.remove(&outpoint);
            }
            if index > 0 {
                for input in tx.input.iter().rev() {
                    let coin = spent.next().expect("undo data has one coin per input");
                    self.create(&input.previous_output, PackedCoin::pack(coin));
                }
            }
        }
    }
}

/// Whether undo data have one coin for each input of `body`.
pub(crate) fn undo_fits(body: &CheckedBlock, undo: &[Coin]) -> bool {
    let inputs: usize = body
        .block()
        .txdata
        .iter()
        .skip(1)
        .map(|tx| tx.input.len())
        .sum();
    undo.len() == inputs
}
