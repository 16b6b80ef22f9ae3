//! Healing what is damaged here, the smallest cure first.
//!
//! | damaged | cure |
//! |---|---|
//! | a body | it is quarantined, and comes from a peer ([`Chain::damaged`]) |
//! | the row of a coin | it is made again from the body of its block |
//! | the row of undo data | they are made again from the bodies of the blocks that created the coins |
//! | coins that a block failed on | they are compared with what bodies say ([`verdict`]) |
//! | pages, or anything else | a new file is made from all bodies that can be read; the damaged one is kept ([`renew`]) |
//!
//! Bodies prove themselves by their hash, so everything else can be derived from them.

mod origin;
mod renew;
mod verdict;

use std::fmt;
use std::path::PathBuf;

use bitcoin::OutPoint;

use super::{BlockPosition, Chain};
use crate::block::CheckedBlock;
use crate::coins::encoding::{encode_outpoint, encode_undo};
use crate::coins::{Coin, PackedCoin, creations};
use crate::store::{Damage, Extent, Place, StoreError, Table};
use crate::tree::NodeId;
use crate::units::Height;

pub(crate) use origin::Origin;
pub(super) use verdict::Ground;

/// What to do about damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// Heal it.
    #[default]
    Mend,
    /// Leave everything as it is, and fail.
    Stop,
}

/// How often what was healed since the chain was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CureCounts {
    /// Coins that were made again.
    pub coins: u64,
    /// Blocks whose undo data were made again.
    pub undo: u64,
    /// Bodies that came from elsewhere in place of damaged ones.
    pub bodies: u64,
    /// New databases.
    pub databases: u64,
}

/// Something damaged that was put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cure {
    /// A coin was made again from the body of its block, or one was removed that bodies know nothing of.
    Coin {
        /// The coin.
        outpoint: OutPoint,
    },
    /// The undo data of a block were made again from bodies.
    Undo {
        /// The block.
        block: BlockPosition,
    },
    /// The database was made anew from the bodies that could be read.
    Database {
        /// What was wrong with the old one.
        damage: String,
        /// Where the old one is kept; `None` for one in memory.
        kept: Option<PathBuf>,
        /// Bodies that were taken over.
        bodies: u64,
        /// Bodies that could not be read, and come from peers.
        lost: u64,
        /// Height of the tip before; `None` if the old one could not be opened.
        before: Option<Height>,
        /// Height of the tip after: lower if a body on the way is lost.
        after: Height,
    },
}

impl Cure {
    /// What was damaged, in one word.
    pub fn what(&self) -> &'static str {
        match self {
            Cure::Coin { .. } => "coin",
            Cure::Undo { .. } => "undo",
            Cure::Database { .. } => "database",
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cure::Coin { outpoint } => {
                write!(
                    f,
                    "the damaged coin {outpoint} was made again from its block"
                )
            }
            Cure::Undo { block } => write!(
                f,
                "the damaged undo data of block {} at height {} were made again from blocks",
                block.hash, block.height
            ),
            Cure::Database {
                damage,
                kept,
                bodies,
                lost,
                before,
                after,
            } => {
                write!(f, "{damage}: a new database was made from {bodies} blocks")?;
                if *lost > 0 {
                    write!(f, ", {lost} are lost and come from peers")?;
                }
                write!(f, "; the tip is at height {after}")?;
                if let Some(before) = before.filter(|before| before != after) {
                    write!(f, " and was at {before}")?;
                }
                match kept {
                    Some(path) => write!(f, "; the damaged file is kept as {}", path.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Chain {
    /// Puts right what `error` names, so that what failed with it can be tried again. If the database has to be made anew the
    /// tip may be lower after it: compare it with the one before.
    ///
    /// # Errors
    ///
    /// `error` itself if it is not about damage; or why healing failed: fatal.
    pub fn heal(&mut self, error: StoreError) -> Result<(), StoreError> {
        let Some(damage) = &error.damage else {
            return Err(error);
        };
        if self.on_damage == OnDamage::Stop {
            return Err(error);
        }
        // What was cured and is damaged again at once is not cured that way.
        let is_new = self.last_healed.as_ref() != Some(damage);
        let was_whole = self
            .last_healed
            .as_ref()
            .is_none_or(|last| last.extent == Extent::Row);
        if is_new && damage.extent == Extent::Row && self.heal_row(damage)? {
            self.last_healed = Some(damage.clone());
            return Ok(());
        }
        if !was_whole {
            return Err(error);
        }
        let damage = damage.clone();
        self.renew(&damage)?;
        self.last_healed = Some(Box::new(Damage {
            extent: Extent::Pages,
            ..*damage
        }));
        Ok(())
    }

    /// What was cured holds: the next damage is another one.
    pub(super) fn is_healthy(&mut self) {
        self.last_healed = None;
    }

    /// Puts right what reading found since the last call. `false`: there was nothing.
    ///
    /// # Errors
    ///
    /// As [`Chain::heal`].
    pub fn heal_findings(&mut self) -> Result<bool, StoreError> {
        let is_news = |id: &NodeId| self.tree.status(*id).has_body;
        let lost = self
            .damaged()
            .into_iter()
            .filter_map(|hash| self.tree.id_of(&hash));
        if self.on_damage == OnDamage::Stop
            && let Some(lost) = lost.into_iter().find(is_news)
        {
            return Err(self.damaged_row(Table::Blocks, lost));
        }
        self.settle_damaged();
        let findings = std::mem::take(&mut *self.found());
        let found = !findings.is_empty();
        let databases = self.cure_counts.databases;
        for damage in findings {
            self.heal(StoreError::damaged(damage))?;
            if self.cure_counts.databases > databases {
                // The others were found in the old one.
                break;
            }
        }
        self.is_healthy();
        Ok(found)
    }

    /// Whether reading found damage that [`Chain::heal_findings`] has not dealt with.
    pub fn has_findings(&self) -> bool {
        self.has_new_damage() || !self.found().is_empty()
    }

    /// From now on damage is met as `on_damage` says.
    pub fn set_on_damage(&mut self, on_damage: OnDamage) {
        self.on_damage = on_damage;
    }

    /// What is done about damage.
    pub fn on_damage(&self) -> OnDamage {
        self.on_damage
    }

    /// What was put right since the last call.
    pub fn take_cures(&mut self) -> Vec<Cure> {
        std::mem::take(&mut self.cures)
    }

    /// How often what was healed since the chain was opened.
    pub fn cure_counts(&self) -> CureCounts {
        self.cure_counts
    }

    /// Damage that reading found here or on a [`Chain::frozen`] one, to be healed by [`Chain::heal_findings`].
    pub fn note(&self, damage: Damage) {
        let mut findings = self.found();
        if !findings.contains(&damage) {
            findings.push(damage);
        }
    }

    /// As [`Chain::note`], of an error that is about damage.
    pub(super) fn note_error(&self, error: &StoreError) {
        if let Some(damage) = &error.damage {
            self.note(Damage::clone(damage));
        }
    }

    /// Damage that reading found and that is not healed yet.
    pub fn findings(&self) -> Vec<Damage> {
        self.found().clone()
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Vec<Damage>> {
        self.found
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes one row anew. `false`: what belongs there cannot be told.
    fn heal_row(&mut self, damage: &Damage) -> Result<bool, StoreError> {
        match (damage.table, &damage.place) {
            (Some(Table::Coins), Place::Coin(outpoint)) => self.heal_coin(outpoint),
            (Some(Table::Undo), Place::Block(block)) => self.heal_undo(*block),
            (Some(Table::Blocks), Place::Block(block)) => {
                if let Some(id) = self.tree.id_of(&block.hash) {
                    self.quarantine(id);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn heal_coin(&mut self, outpoint: &OutPoint) -> Result<bool, StoreError> {
        match &self.origins(self.tip_id(), [*outpoint])?[outpoint] {
            Origin::Unspent(coin) => self.coins.overwrite(outpoint, coin.clone()),
            // It may be the key that is damaged: then another row is missing.
            Origin::Absent | Origin::Unclear | Origin::BelowSnapshot => return Ok(false),
        }
        self.tell_cure(Cure::Coin {
            outpoint: *outpoint,
        });
        Ok(true)
    }

    fn heal_undo(&mut self, block: BlockPosition) -> Result<bool, StoreError> {
        let Some(id) = self.tree.id_of(&block.hash) else {
            return Ok(false);
        };
        let Some(undo) = self.origin_of_undo(id)? else {
            return Ok(false);
        };
        self.pending.add_undo(id, encode_undo(&undo));
        self.tell_cure(Cure::Undo { block });
        Ok(true)
    }

    pub(crate) fn tell_cure(&mut self, cure: Cure) {
        let counts = &mut self.cure_counts;
        match &cure {
            Cure::Coin { .. } => counts.coins += 1,
            Cure::Undo { .. } => counts.undo += 1,
            Cure::Database { .. } => counts.databases += 1,
        }
        self.cures.push(cure);
    }

    /// The coin at `outpoint`, whose row was found damaged: what bodies say instead.
    pub(super) fn coin_instead(
        &self,
        outpoint: &OutPoint,
        error: StoreError,
    ) -> Result<Option<PackedCoin>, StoreError> {
        self.note_error(&error);
        match self.origins(self.tip_id(), [*outpoint])?.remove(outpoint) {
            Some(Origin::Unspent(coin)) => Ok(Some(coin)),
            Some(Origin::Absent) => Ok(None),
            _ => Err(error),
        }
    }

    /// As [`Chain::coin_instead`], on a walk over all coins: a damaged row of a coin that bodies know nothing of stands in the place of
    /// another that is not known.
    pub(super) fn coin_instead_on_a_walk(
        &self,
        outpoint: &OutPoint,
        error: StoreError,
    ) -> Result<Option<PackedCoin>, StoreError> {
        match self.coin_instead(outpoint, error.clone())? {
            Some(coin) => Ok(Some(coin)),
            None => Err(error),
        }
    }

    /// Makes sure that a coin which the disk does not show is not there: by the checksums of the pages that lead to its place, and by
    /// bodies if they do not match. Gives the coin if it is there.
    pub(super) fn absent_coin(
        &self,
        outpoint: &OutPoint,
    ) -> Result<Option<PackedCoin>, StoreError> {
        let damage = match self.store.pages() {
            Ok(None) => return Ok(None),
            Ok(Some(pages)) => match pages.is_sound_at(Table::Coins, &encode_outpoint(outpoint))? {
                None => return Ok(None),
                Some(damage) => StoreError::damaged(damage),
            },
            Err(error) if error.damage.is_some() => error,
            Err(error) => return Err(error),
        };
        // What exactly is damaged there the scrub finds out.
        match self.origins(self.tip_id(), [*outpoint])?.remove(outpoint) {
            Some(Origin::Unspent(coin)) => Ok(Some(coin)),
            Some(Origin::Absent) => Ok(None),
            _ => Err(damage),
        }
    }

    /// The undo data of a block that were found damaged: what bodies say instead.
    pub(super) fn undo_instead(
        &self,
        id: NodeId,
        error: StoreError,
    ) -> Result<Vec<Coin>, StoreError> {
        self.note_error(&error);
        self.origin_of_undo(id)?.ok_or(error)
    }
}

/// The coin at `outpoint` as `body` creates it, spent in the same block or not.
fn created(body: &CheckedBlock, outpoint: &OutPoint, height: Height) -> Option<PackedCoin> {
    let index = body
        .txids()
        .iter()
        .position(|txid| *txid == outpoint.txid)?;
    let mut made = creations(body, index, height);
    let made = made.find(|creation| creation.outpoint == *outpoint)?;
    Some(made.coin)
}
