//! Whether a verdict on a block rests on sound coins. A local fault must not be taken for a remote lie: what the verdict was
//! based on is compared with what bodies say, and put right where it differs.
//!
//! Whoever sends a bad block makes us look, and pays one proof of work for it. So checksums are asked first: a row proves itself, and that
//! a coin is not there is proved by the pages that lead to its place. Only where these are damaged all bodies are gone through; else no more
//! than [`BODIES_FOR_A_DOUBT`] of them, in case what was written was wrong already.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};

use super::super::Chain;
use super::{Cure, Effort, Origin};
use crate::block::CheckedBlock;
use crate::coins::{Coin, CoinView, PackedCoin};
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

/// Bodies that are read for a verdict while all checksums are right.
const BODIES_FOR_A_DOUBT: u32 = 64;

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
        let mut effort = Effort::of(BODIES_FOR_A_DOUBT);
        let Concerned {
            damaged,
            mut doubtful,
            there,
        } = self.concerned(&body)?;
        doubtful.extend(self.not_made_by_their_blocks(there, &mut effort)?);
        let outpoints = |stored: &[Stored]| -> Vec<OutPoint> {
            stored.iter().map(|(outpoint, _)| *outpoint).collect()
        };
        let tip = self.tip_id();
        let mut origins = self.origins(tip, outpoints(&damaged))?;
        origins.extend(self.origins_within(tip, outpoints(&doubtful), &mut effort)?);
        doubtful.extend(damaged);
        for (outpoint, stored) in doubtful {
            let stored = stored.as_ref().map(PackedCoin::pack);
            match (&origins[&outpoint], stored) {
                (Origin::Unspent(right), Some(stored)) if *right == stored => {}
                (Origin::Absent, None) | (Origin::BelowSnapshot | Origin::Deeper, _) => {}
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

    /// What a verdict on a block depends on: what it spends, and what it would overwrite.
    fn concerned(&self, body: &CheckedBlock) -> Result<Concerned, StoreError> {
        let mut concerned = Concerned::default();
        let own: BTreeSet<Txid> = body.txids().iter().copied().collect();
        for outpoint in outpoints_of(body) {
            // What cache and disk say, without help from bodies. A row that does not prove itself says nothing.
            let found = self.store.read(|disk| self.view(disk).coin(&outpoint));
            match found {
                Err(error) if error.damage.is_some() => concerned.damaged.push((outpoint, None)),
                Err(error) => return Err(error),
                Ok(Some(coin)) => concerned.there.push((outpoint, coin)),
                // A block may spend what it creates itself: the coins below know nothing of that.
                Ok(None) if own.contains(&outpoint.txid) => {}
                Ok(None) if self.damage_at(&outpoint)?.is_some() => {
                    concerned.damaged.push((outpoint, None));
                }
                Ok(None) => {
                    // It alone condemns the block, whatever the other coins are.
                    concerned.doubtful.push((outpoint, None));
                    break;
                }
            }
        }
        Ok(concerned)
    }

    /// Those coins that the active blocks of their own heights do not create just so. Each block is read once.
    fn not_made_by_their_blocks(
        &self,
        coins: Vec<(OutPoint, Coin)>,
        effort: &mut Effort,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut by_height: BTreeMap<Height, Vec<(OutPoint, Coin)>> = BTreeMap::new();
        for (outpoint, coin) in coins {
            by_height
                .entry(coin.height)
                .or_default()
                .push((outpoint, coin));
        }
        let mut wrong = Vec::new();
        // From the newest down, as far as the effort goes: the others have their checksums.
        for (height, coins) in by_height.into_iter().rev() {
            let body = match self.active.get(height.0 as usize) {
                Some(_) if !effort.allows_a_body() => break,
                Some(&id) => match self.body(id)? {
                    Some(body) => Some(body),
                    // Below a snapshot there are no bodies: its coins were proved when it was loaded.
                    None if !self.tree.status(id).connected => continue,
                    None => None,
                },
                None => None,
            };
            for (outpoint, coin) in coins {
                let made = body
                    .as_ref()
                    .and_then(|body| super::created(body, &outpoint, height));
                if made != Some(PackedCoin::pack(&coin)) {
                    wrong.push((outpoint, Some(coin)));
                }
            }
        }
        Ok(wrong)
    }
}

/// A coin as cache and disk have it.
type Stored = (OutPoint, Option<Coin>);

/// The coins that a verdict on a block depends on.
#[derive(Default)]
struct Concerned {
    /// Their rows, or the pages that lead to their places, are damaged.
    damaged: Vec<Stored>,
    /// Not there, as sound pages say.
    doubtful: Vec<Stored>,
    /// There, in rows that prove themselves.
    there: Vec<(OutPoint, Coin)>,
}

fn outpoints_of(body: &CheckedBlock) -> Vec<OutPoint> {
    let mut outpoints = Vec::new();
    for (index, (tx, txid)) in body.block().txdata.iter().zip(body.txids()).enumerate() {
        if index > 0 {
            outpoints.extend(tx.input.iter().map(|input| input.previous_output));
        }
        outpoints.extend((0..tx.output.len() as u32).map(|vout| OutPoint::new(*txid, vout)));
    }
    outpoints
}
