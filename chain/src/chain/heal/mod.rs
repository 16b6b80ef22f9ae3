//! Healing what is damaged here, the smallest cure first.
//!
//! | damaged | cure |
//! |---|---|
//! | a body | it is quarantined, and comes from a peer ([`Chain::damaged`]) |
//! | the row of a coin | it is made again from the body of its block |
//! | the row of a header | it is written again from memory; at the start from its one flipped bit, or from its body |
//! | the row of undo data | they are made again from the bodies of the blocks that created the coins |
//! | coins that a block failed on | they are compared with what bodies say ([`verdict`]) |
//! | pages, or anything else | a new file is made from all bodies that can be read; the damaged one is kept ([`renew`]) |
//!
//! Bodies prove themselves by their hash, so everything else can be derived from them.

mod cure;
mod origin;
mod renew;
mod row;
#[cfg(test)]
mod tests;
mod verdict;

use bitcoin::OutPoint;

use super::Chain;
use crate::coins::encoding::encode_outpoint;
use crate::coins::{Coin, PackedCoin};
use crate::store::{Damage, Extent, RowKey, StoreError, StoreFault, Table, check_row};
use crate::tree::NodeId;

pub use cure::{Cure, CureCounts};
pub(crate) use origin::{Allowance, Origin};
use renew::Renewal;
use row::{RowCure, RowStep};
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

/// What is being healed, in steps.
pub(super) enum Healing {
    /// A row.
    Row(Box<RowCure>),
    /// The whole database.
    Renewal(Box<Renewal>),
}

impl Chain {
    /// Puts right what `error` names, so that what failed with it can be tried again. If the database has to be made anew the
    /// tip may be lower after it: compare it with the one before.
    ///
    /// # Errors
    ///
    /// `error` itself if it is not about damage; or why healing failed: fatal. [`StoreFault::Healing`](crate::StoreFault::Healing) if it goes
    /// on in steps (see [`Chain::heal_in_steps`]).
    pub fn heal(&mut self, error: StoreError) -> Result<(), StoreError> {
        let Some(damage) = &error.damage else {
            return Err(error);
        };
        if self.on_damage == OnDamage::Stop {
            return Err(error);
        }
        if let Some(healing) = self.healing_error() {
            return Err(healing);
        }
        // What was cured and is damaged again at once is not cured that way.
        let is_new = self.last_healed.as_ref() != Some(damage);
        let was_whole = self
            .last_healed
            .as_ref()
            .is_none_or(|last| last.extent == Extent::Row);
        let begun = match is_new && damage.extent == Extent::Row {
            true => self.heal_row(damage)?,
            false => RowStep::Unknown,
        };
        self.healing = match begun {
            RowStep::Cured => {
                self.last_healed = Some(damage.clone());
                return Ok(());
            }
            RowStep::GoesOn(cure) => Some(Healing::Row(cure)),
            RowStep::Unknown if !was_whole => return Err(error),
            RowStep::Unknown => Some(Healing::Renewal(self.begin_renewal(damage)?)),
        };
        if self.heals_in_steps {
            return self.healing_error().map_or(Ok(()), Err);
        }
        while self.is_healing() {
            self.heal_step()?;
        }
        Ok(())
    }

    /// From now on, healing that takes long is begun and left to the host, who calls [`Chain::heal_step`] as long as
    /// [`Chain::is_healing`]. Meanwhile the tip stands still, all is read as before, and what would have to be written is refused with
    /// [`StoreFault::Healing`](crate::StoreFault::Healing).
    pub fn heal_in_steps(&mut self) {
        self.heals_in_steps = true;
    }

    /// Whether something is being healed in steps.
    pub fn is_healing(&self) -> bool {
        self.healing.is_some()
    }

    /// Goes on with what is being healed, for some tens of milliseconds.
    ///
    /// # Errors
    ///
    /// Why healing failed: fatal.
    pub fn heal_step(&mut self) -> Result<(), StoreError> {
        match self.healing.take() {
            None => Ok(()),
            Some(Healing::Renewal(renewal)) => self.go_on_with_renewal(renewal),
            Some(Healing::Row(cure)) => {
                let damage = cure.damage.clone();
                match self.go_on_with_row(cure)? {
                    RowStep::GoesOn(cure) => self.healing = Some(Healing::Row(cure)),
                    RowStep::Cured => self.last_healed = Some(Box::new(damage)),
                    RowStep::Unknown => {
                        self.healing = Some(Healing::Renewal(self.begin_renewal(&damage)?));
                    }
                }
                Ok(())
            }
        }
    }

    /// What is being healed and how far that is, for whoever is refused meanwhile. `None`: nothing.
    pub fn healing_error(&self) -> Option<StoreError> {
        let problem = match self.healing.as_ref()? {
            Healing::Row(cure) => cure.damage.to_string(),
            Healing::Renewal(renewal) => renewal.to_string(),
        };
        Some(StoreError::healing(problem))
    }

    /// Whether `error` is no reason to stop: what it names is being healed, or is noted now to be.
    pub fn is_for_healing(&self, error: &StoreError) -> bool {
        if error.cause == StoreFault::Healing {
            return true;
        }
        let is_given_up =
            (self.last_healed.as_ref()).is_some_and(|last| last.extent == Extent::Pages);
        let is_curable = error.damage.is_some() && self.on_damage == OnDamage::Mend && !is_given_up;
        if is_curable {
            self.note_error(error);
        }
        is_curable
    }

    /// What was cured holds: the next damage is another one.
    pub(super) fn is_healthy(&mut self) {
        self.last_healed = None;
    }

    /// Puts right what reading found since the last call, or begins to. `false`: there was nothing.
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
        let mut findings = findings.into_iter();
        let databases = self.cure_counts.databases;
        while let Some(damage) = findings.next() {
            match self.heal(StoreError::damaged(damage)) {
                Err(error) if error.cause == StoreFault::Healing => {
                    // The others wait.
                    self.found().extend(findings);
                    return Ok(found);
                }
                healed => healed?,
            }
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

    pub(crate) fn tell_cure(&mut self, cure: Cure) {
        let counts = &mut self.cure_counts;
        match &cure {
            Cure::Coin { .. } => counts.coins += 1,
            Cure::Undo { .. } => counts.undo += 1,
            Cure::Header { .. } => counts.headers += 1,
            Cure::Database { .. } => counts.databases += 1,
        }
        self.cures.push(cure);
    }

    /// The coin at `outpoint`, whose row was found damaged: what the last bodies say instead.
    pub(super) fn coin_instead(
        &self,
        outpoint: &OutPoint,
        error: StoreError,
    ) -> Result<Option<PackedCoin>, StoreError> {
        self.note_error(&error);
        self.coin_by_last_bodies(outpoint)?.ok_or(error)
    }

    /// Whether there is a coin at `outpoint`, and which, as the last bodies say. `None`: they do not tell.
    fn coin_by_last_bodies(
        &self,
        outpoint: &OutPoint,
    ) -> Result<Option<Option<PackedCoin>>, StoreError> {
        let mut allowance = Allowance::SOME;
        let mut origins = self.origins(self.tip_id(), [*outpoint], &mut allowance)?;
        match origins.remove(outpoint) {
            Some(Origin::Unspent(coin)) => Ok(Some(Some(coin))),
            Some(Origin::Absent) => Ok(Some(None)),
            _ => Ok(None),
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
    /// the last bodies if they do not match. Gives the coin if it is there.
    pub(super) fn absent_coin(
        &self,
        outpoint: &OutPoint,
    ) -> Result<Option<PackedCoin>, StoreError> {
        match self.doubt_of_absence(outpoint)? {
            None => Ok(None),
            // What exactly is damaged there the scrub finds out.
            Some(damage) => self.coin_by_last_bodies(outpoint)?.ok_or(damage),
        }
    }

    /// What is damaged around the place of a coin that the disk does not show. `None`: the pages prove that it is not there.
    fn doubt_of_absence(&self, outpoint: &OutPoint) -> Result<Option<StoreError>, StoreError> {
        let pages = match self.store.pages() {
            Ok(None) => return Ok(None),
            Ok(Some(pages)) => pages,
            Err(error) if error.damage.is_some() => return Ok(Some(error)),
            Err(error) => return Err(error),
        };
        let mut broken = None;
        let mut check = |key: &RowKey, row: &[u8]| {
            let damage = check_row(Table::Coins, key, row);
            let is_sound = damage.is_none();
            broken = broken.take().or(damage);
            is_sound
        };
        let doubt = pages
            .doubt_at(Table::Coins, &encode_outpoint(outpoint), &mut check)
            .map_err(|error| StoreError::read(redb::StorageError::Io(error)))?;
        Ok(doubt.or(broken).map(StoreError::damaged))
    }

    /// The undo data of a block that were found damaged: what bodies say instead.
    pub(super) fn undo_instead(
        &self,
        id: NodeId,
        error: StoreError,
    ) -> Result<Vec<Coin>, StoreError> {
        self.note_error(&error);
        self.origin_of_undo(id, Allowance::SOME)?.ok_or(error)
    }
}
