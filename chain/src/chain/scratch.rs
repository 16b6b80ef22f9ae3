//! The chain's coins, changed in memory for a question and thrown away.

use bitcoin::OutPoint;

use super::Chain;
use crate::block::CheckedBlock;
use crate::coins::{
    Cached, Coin, CoinCache, CoinView, Creation, MuHash, PackedCoin, StatsBuilder, Visit,
    creations, element, merge,
};
use crate::rules::block_connected::{self, ConnectContext, ConnectError};
use crate::rules::error::RuleError;
use crate::rules::spend::SignatureCache;
use crate::store::StoreError;
use crate::units::Height;

/// Changes on top of a chain's coins. The chain itself stays as it is.
pub(crate) struct Scratch<'a> {
    chain: &'a Chain,
    changes: CoinCache,
}

impl CoinView for Scratch<'_> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        Ok(self.get(outpoint)?.map(|coin| coin.unpack()))
    }
}

impl Chain {
    /// The coins of the active tip, to be played with.
    pub(crate) fn scratch(&self) -> Scratch<'_> {
        Scratch {
            chain: self,
            changes: CoinCache::new(),
        }
    }
}

impl Scratch<'_> {
    fn get(&self, outpoint: &OutPoint) -> Result<Option<PackedCoin>, StoreError> {
        match self.changes.get(outpoint) {
            Cached::Unspent(coin) => Ok(Some(coin)),
            Cached::Spent => Ok(None),
            Cached::Unknown => Ok(self
                .chain
                .coin(outpoint)?
                .map(|coin| PackedCoin::pack(&coin))),
        }
    }

    /// Takes a block of the active chain back, and its changes out of `set`. Gives the coins that should have been there and
    /// were not as they should be. `undo` holds one coin for each input.
    pub(crate) fn disconnect(
        &mut self,
        height: Height,
        body: &CheckedBlock,
        undo: &[Coin],
        set: &mut MuHash,
    ) -> Result<Vec<OutPoint>, StoreError> {
        let mut wrong = Vec::new();
        let mut spent = undo.iter().rev();
        for (index, tx) in body.block().txdata.iter().enumerate().rev() {
            for Creation { outpoint, coin } in creations(body, index, height) {
                if self.get(&outpoint)?.as_ref() == Some(&coin) {
                    set.remove(&element(&outpoint, &coin));
                } else {
                    wrong.push(outpoint);
                }
                self.changes.remove(&outpoint);
            }
            if index > 0 {
                for input in tx.input.iter().rev() {
                    let coin = spent.next().expect("undo data has one coin per input");
                    let coin = PackedCoin::pack(coin);
                    set.insert(&element(&input.previous_output, &coin));
                    self.changes.create(&input.previous_output, coin);
                }
            }
        }
        Ok(wrong)
    }

    /// Connects a block of the active chain again, with all checks.
    pub(crate) fn connect(
        &mut self,
        height: Height,
        body: &CheckedBlock,
        signatures: &SignatureCache,
    ) -> Result<Result<(), RuleError>, StoreError> {
        let chain = self.chain;
        let mtp_at = |height: Height| chain.median_time_past_at(height);
        let context = ConnectContext {
            height,
            parent_median_time_past: mtp_at(Height(height.0 - 1)),
            mtp_at: &mtp_at,
            params: chain.params(),
            signatures,
        };
        match block_connected::check(body, &context, self) {
            Ok(_) => {
                self.changes.connect_block(body, height);
                Ok(Ok(()))
            }
            Err(ConnectError::Rule(rule)) => Ok(Err(rule)),
            Err(ConnectError::Coins(error)) => Err(error),
        }
    }

    /// The set, hashed from scratch.
    pub(crate) fn muhash(&self) -> Result<MuHash, StoreError> {
        let mut stats = StatsBuilder::new(false);
        let changes = self.changes.changes();
        let base = |visit: &mut Visit<'_, StoreError>| self.chain.for_each_packed_coin(visit);
        merge(&changes, base, &mut |outpoint, coin| {
            stats.add(outpoint, coin);
            Ok(())
        })?;
        Ok(stats.finish_muhash())
    }
}
