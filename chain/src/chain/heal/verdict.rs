//! Whether a verdict on a block rests on sound coins. A local fault must not be taken for a remote lie: what the verdict was
//! based on is compared with what bodies say, and put right where it differs.

use bitcoin::OutPoint;

use super::super::Chain;
use super::{Cure, Origin};
use crate::block::CheckedBlock;
use crate::coins::{Coin, CoinView, PackedCoin};
use crate::store::StoreError;
use crate::tree::NodeId;

/// What a second look at the coins of a block that failed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// They are as bodies say: the block breaks a rule.
    Sound,
    /// They were not, and are now: judge anew.
    Mended,
    /// A body that would tell is not here: no verdict before it is.
    Unclear,
}

impl Chain {
    /// Compares the coins that block `id` spends, or would overwrite, with what the bodies below it say, and puts right what
    /// differs. Its parent is the tip.
    pub(crate) fn second_look(&mut self, id: NodeId) -> Result<Ground, StoreError> {
        let Some(body) = self.body(id)? else {
            return Ok(Ground::Unclear);
        };
        let mut ground = Ground::Sound;
        let mut doubtful = Vec::new();
        for outpoint in concerned(&body) {
            let coin = self.stored_coin(&outpoint)?;
            if let Some(coin) = &coin
                && self.is_made_by_its_block(&outpoint, coin)?
            {
                continue;
            }
            doubtful.push((outpoint, coin));
        }
        // A block may spend what it creates itself: the coins below know nothing of that.
        doubtful
            .retain(|(outpoint, coin)| coin.is_some() || !body.txids().contains(&outpoint.txid));
        let origins = self.origins(
            self.tip_id(),
            doubtful.iter().map(|(outpoint, _)| *outpoint),
        )?;
        for (outpoint, stored) in doubtful {
            let stored = stored.as_ref().map(PackedCoin::pack);
            match (&origins[&outpoint], stored) {
                (Origin::Unspent(right), Some(stored)) if *right == stored => {}
                (Origin::Absent, None) | (Origin::BelowSnapshot, _) => {}
                (Origin::Unspent(right), _) => {
                    self.coins.overwrite(&outpoint, right.clone());
                    self.tell_cure(Cure::Coin { outpoint });
                    ground = Ground::Mended;
                }
                (Origin::Absent, Some(_)) => {
                    self.coins.remove(&outpoint);
                    self.tell_cure(Cure::Coin { outpoint });
                    ground = Ground::Mended;
                }
                (Origin::Unclear, _) if ground == Ground::Sound => ground = Ground::Unclear,
                (Origin::Unclear, _) => {}
            }
        }
        Ok(ground)
    }

    /// What cache and disk say of a coin, without help from bodies. A row that does not prove itself says nothing.
    fn stored_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let found = self.store.read(|disk| self.view(disk).coin(outpoint));
        match found {
            Err(error) if error.damage.is_some() => Ok(None),
            found => found,
        }
    }

    /// Whether the active block of the coin's own height creates just this coin.
    fn is_made_by_its_block(&self, outpoint: &OutPoint, coin: &Coin) -> Result<bool, StoreError> {
        let Some(&id) = self.active.get(coin.height.0 as usize) else {
            return Ok(false);
        };
        let Some(body) = self.body(id)? else {
            // Below a snapshot there are no bodies: its coins were proved when it was loaded.
            return Ok(!self.tree.status(id).connected);
        };
        let made = super::created(&body, outpoint, coin.height);
        Ok(made.is_some_and(|made| made == PackedCoin::pack(coin)))
    }
}

/// What a verdict on a block depends on: what it spends, and what it would overwrite.
fn concerned(body: &CheckedBlock) -> Vec<OutPoint> {
    let mut outpoints = Vec::new();
    for (index, (tx, txid)) in body.block().txdata.iter().zip(body.txids()).enumerate() {
        if index > 0 {
            outpoints.extend(tx.input.iter().map(|input| input.previous_output));
        }
        outpoints.extend((0..tx.output.len() as u32).map(|vout| OutPoint::new(*txid, vout)));
    }
    outpoints
}
