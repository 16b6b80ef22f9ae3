//! Whether a verdict on a block rests on sound coins. A local fault must not be taken for a remote lie: what the verdict was
//! based on is compared with what bodies say, and put right where it differs.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};

use super::super::Chain;
use super::origin::created;
use super::{Allowance, Cure, Origin};
use crate::block::CheckedBlock;
use crate::coins::{Cached, Coin, CoinView, PackedCoin};
use crate::store::{Damage, Extent, Place, StoreError, Table};
use crate::tree::NodeId;
use crate::units::Height;

/// Missing coins of which it is tried to prove that they are missing, until one is.
const MOST_PROOFS: usize = 64;

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
    /// Looks whether the verdict on block `id`, whose parent is the tip, rests on sound coins, and puts right those that are not.
    ///
    /// One missing coin is enough for the verdict, and that it is missing is proved by the pages that lead to its place. Bodies are asked
    /// as far as [`Allowance::SOME`] goes, whatever the block spends: its sender pays for one block only.
    ///
    /// # Errors
    ///
    /// What is damaged if that has to be healed first; when storage fails.
    pub(crate) fn second_look(&mut self, id: NodeId) -> Result<Ground, StoreError> {
        let Some(body) = self.body(id)? else {
            return Ok(Ground::Unclear);
        };
        let mut allowance = Allowance::SOME;
        let own: BTreeSet<Txid> = body.txids().iter().copied().collect();
        let (mut missing, mut present) = (Vec::new(), BTreeMap::new());
        for outpoint in concerned(&body) {
            match self.stored_coin(&outpoint)? {
                Some(coin) => {
                    let of_height: &mut Vec<_> = present.entry(coin.height).or_default();
                    of_height.push((outpoint, coin));
                }
                // A block may spend what it creates itself: the coins below know nothing of that.
                None if own.contains(&outpoint.txid) => {}
                None => missing.push(outpoint),
            }
        }
        if missing.is_empty() {
            return self.look_at_present(present, &mut allowance);
        }
        match self.look_at_missing(&missing, &mut allowance)? {
            Ground::Sound => self.prove_one_missing(&missing),
            ground => Ok(ground),
        }
    }

    /// Whether the last bodies say otherwise of coins that are missing.
    fn look_at_missing(
        &mut self,
        missing: &[OutPoint],
        allowance: &mut Allowance,
    ) -> Result<Ground, StoreError> {
        let mut ground = Ground::Sound;
        let outpoints = missing.iter().copied();
        for (outpoint, origin) in self.origins(self.tip_id(), outpoints, allowance)? {
            match origin {
                Origin::Unspent(coin) => {
                    self.coins.overwrite(&outpoint, coin);
                    self.tell_cure(Cure::Coin { outpoint });
                    ground = Ground::Mended;
                }
                Origin::Unclear if ground == Ground::Sound => ground = Ground::Unclear,
                _ => {}
            }
        }
        Ok(ground)
    }

    /// Proves of one missing coin that it is not there: the last changes are in memory, and what the disk says is proved by its pages.
    fn prove_one_missing(&self, missing: &[OutPoint]) -> Result<Ground, StoreError> {
        let mut doubt = None;
        for outpoint in missing.iter().take(MOST_PROOFS) {
            if matches!(self.coins.get(outpoint), Cached::Spent) {
                return Ok(Ground::Sound);
            }
            doubt = self.doubt_of_absence(outpoint)?;
            if doubt.is_none() {
                return Ok(Ground::Sound);
            }
        }
        doubt.map_or(Ok(Ground::Sound), Err)
    }

    /// Whether the blocks of coins that are there, by height, created just these, as far as `allowance` goes.
    fn look_at_present(
        &mut self,
        present: BTreeMap<Height, Vec<(OutPoint, Coin)>>,
        allowance: &mut Allowance,
    ) -> Result<Ground, StoreError> {
        let mut wrong = Vec::new();
        for (height, coins) in present {
            if allowance.is_used_up() {
                break;
            }
            wrong.extend(self.not_made_at(height, &coins, allowance)?);
        }
        let mut ground = Ground::Sound;
        for (outpoint, origin) in self.origins(self.tip_id(), wrong, allowance)? {
            match origin {
                Origin::Unspent(right) => self.coins.overwrite(&outpoint, right),
                Origin::Absent => self.coins.remove(&outpoint),
                Origin::BelowSnapshot => continue,
                Origin::Unclear if ground == Ground::Sound => {
                    ground = Ground::Unclear;
                    continue;
                }
                Origin::Unclear => continue,
                Origin::TooFar => return Err(not_of_its_block(outpoint)),
            }
            self.tell_cure(Cure::Coin { outpoint });
            ground = Ground::Mended;
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

    /// Those of `coins` that the active block at `height` did not create.
    fn not_made_at(
        &self,
        height: Height,
        coins: &[(OutPoint, Coin)],
        allowance: &mut Allowance,
    ) -> Result<Vec<OutPoint>, StoreError> {
        let id = self.active.get(height.0 as usize).copied();
        let body = id.map(|id| self.body(id)).transpose()?.flatten();
        if let Some(body) = &body {
            allowance.use_up(body);
        }
        let made = body.map(|body| created(&body, height));
        let is_right = |outpoint: &OutPoint, coin: &Coin| match (id, &made) {
            (_, Some(made)) => made.get(outpoint) == Some(&PackedCoin::pack(coin)),
            // Below a snapshot there are no bodies: its coins were proved when it was loaded.
            (Some(id), None) => !self.tree.status(id).connected,
            (None, None) => false,
        };
        let wrong = coins
            .iter()
            .filter(|(outpoint, coin)| !is_right(outpoint, coin));
        Ok(wrong.map(|(outpoint, _)| *outpoint).collect())
    }
}

/// A coin that is not what its block created, and whose right form is too far away to be looked up now.
fn not_of_its_block(outpoint: OutPoint) -> StoreError {
    StoreError::damaged(Damage {
        table: Some(Table::Coins),
        place: Place::Coin(outpoint),
        extent: Extent::Row,
        problem: "the block of its height did not create it".to_owned(),
    })
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
