//! A new database in the place of a damaged one, from all bodies that can be read: made in steps, beside the chain that goes on being
//! read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::super::Chain;
use super::{Allowance, Cure, Healing, OnDamage};
use crate::block::CheckedBlock;
use crate::chain::{ChainOptions, StepLimit};
use crate::params::Params;
use crate::rules::spend::SignatureCache;
use crate::store::{Damage, DirectoryLock, Extent, Kept, Place, Store, StoreError};
use crate::tree::NodeId;

impl Chain {
    /// A chain of genesis alone in a new database beside that of the directory: see [`Chain::take_name`].
    pub(crate) fn unnamed(
        lock: &DirectoryLock,
        params: Arc<Params>,
        options: ChainOptions,
    ) -> Result<Chain, StoreError> {
        let store = Store::unnamed(lock, options.database_bytes())?;
        Ok(Chain::at_genesis(store, params, options))
    }

    /// Takes the place of the directory's database, which is kept under the name that is given. `none_is_lost`: all bodies of the old
    /// one are here. One that was lost before may still be in an older file.
    pub(crate) fn take_name(&mut self, none_is_lost: bool) -> Result<Kept, StoreError> {
        self.flush()?;
        let best = self.tree.path(NodeId(0), self.tree.best_header_id());
        let is_whole = best.iter().all(|&id| self.tree.status(id).has_body);
        self.store.take_name(none_is_lost && is_whole)
    }

    /// Begins to make a new database from the headers in memory and all bodies that can still be read, to connect them with all checks,
    /// and to put it in the place of this one, whose file is kept under another name. What rules said of blocks is judged anew;
    /// what an operator said stays. Bodies that cannot be read are [`Chain::damaged`] after it.
    ///
    /// Everything is made beside the damaged file, which is left as it is until the new one is whole.
    pub(super) fn begin_renewal(&self, damage: &Damage) -> Result<Box<Renewal>, StoreError> {
        let options = ChainOptions {
            cache_bytes: self.store.cache_bytes() + self.coins_budget_bytes,
        };
        let store = self.store.beside()?;
        let mut new = Chain::at_genesis(store, Arc::clone(&self.params), options);
        new.tree = self.tree.clone();
        new.tree.forget_blocks();
        // What goes wrong with the new one is not cured by another.
        new.on_damage = OnDamage::Stop;
        // Of chains of equal work the one that is active stays so.
        new.tree.prefer(self.tip_id());
        Ok(Box::new(Renewal {
            damage: damage.to_string(),
            new,
            next: 1,
            lost: BTreeSet::new(),
            searched: Some(0),
            bodies: 0,
        }))
    }

    /// One step of it.
    pub(super) fn go_on_with_renewal(
        &mut self,
        mut renewal: Box<Renewal>,
    ) -> Result<(), StoreError> {
        // What was just found damaged does not count as here.
        self.settle_damaged();
        renewal.take_headers_over(self)?;
        let goes_on = renewal.take_bodies_over(self)?
            || renewal.search_lost(self)?
            || renewal.connect_some()?
            || renewal.take_late_ones_over(self)
            || renewal.take_marks_over(self);
        if goes_on {
            self.healing = Some(Healing::Renewal(renewal));
            return Ok(());
        }
        self.become_new(*renewal)
    }

    /// The new database is whole.
    fn become_new(&mut self, renewal: Renewal) -> Result<(), StoreError> {
        let Renewal {
            damage,
            mut new,
            lost,
            bodies,
            ..
        } = renewal;
        let lost_hashes = lost.iter().map(|&id| self.tree.hash(id));
        new.damaged_set().extend(lost_hashes);
        let kept = new.take_name(lost.is_empty())?;
        new.probes = self.probes.clone();
        new.on_damage = self.on_damage;
        new.heals_in_steps = self.heals_in_steps;
        new.is_flushed_by_host = self.is_flushed_by_host;
        new.cure_counts = self.cure_counts;
        new.cures = std::mem::take(&mut self.cures);
        new.last_healed = Some(Box::new(Damage {
            table: None,
            place: Place::Pages,
            extent: Extent::Pages,
            problem: damage.clone(),
        }));
        new.tell_cure(Cure::Database {
            damage,
            kept: kept.path,
            removed: kept.removed,
            marked: Vec::new(),
            unknown_marks: 0,
            bodies,
            lost: lost.len() as u64,
            before: Some(self.tip().height),
            after: new.tip().height,
        });
        *self = new;
        Ok(())
    }
}

/// A new database in the making, beside a chain that is read meanwhile and takes headers and bodies in.
pub(in crate::chain) struct Renewal {
    /// What is wrong with the old one.
    damage: String,
    /// Its tree has the places of the old one.
    new: Chain,
    /// The place of the next body to take over.
    next: u32,
    /// Bodies that were not found so far.
    lost: BTreeSet<NodeId>,
    /// Up to where the old file was searched for them; `None`: all of it.
    searched: Option<u64>,
    /// Bodies that were taken over.
    bodies: u64,
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.new.tree.len() - 1;
        write!(f, "{}; a new database is being made, ", self.damage)?;
        if (self.next as usize) <= total {
            return write!(f, "{} of {total} blocks are taken over", self.bodies);
        }
        let height = self.new.tip().height;
        write!(f, "block {height} of {total} is connected")
    }
}

impl Renewal {
    /// Headers that came meanwhile get the same places.
    fn take_headers_over(&mut self, old: &Chain) -> Result<(), StoreError> {
        for place in self.new.tree.len()..old.tree.len() {
            let id = NodeId(u32::try_from(place).expect("a place"));
            let info = old.tree.info(id);
            let new = self.new.tree.insert(&info.header, info.hash);
            debug_assert_eq!(new, Some(id), "places are given in order");
            self.new.pending.touch(id);
        }
        self.new.flush_when_large()
    }

    /// Takes some bodies over. `false`: all that can be read are here.
    fn take_bodies_over(&mut self, old: &Chain) -> Result<bool, StoreError> {
        let mut allowance = Allowance::SOME;
        while (self.next as usize) < old.tree.len() {
            if allowance.is_used_up() {
                return Ok(true);
            }
            let id = NodeId(self.next);
            self.next += 1;
            self.new.pending.touch(id);
            if self.new.tree.status(id).has_body {
                continue;
            }
            let was_here = old.tree.status(id).has_body;
            match old.body(id) {
                Ok(Some(body)) => {
                    allowance.use_up(&body);
                    self.take_body_over(id, body)?;
                }
                Err(error) if error.damage.is_none() => return Err(error),
                Ok(None) | Err(_) => {
                    let hash = old.tree.hash(id);
                    if was_here || old.damaged_set().contains(&hash) {
                        old.damaged_set().insert(hash);
                        self.lost.insert(id);
                    }
                }
            }
        }
        Ok(false)
    }

    fn take_body_over(&mut self, id: NodeId, body: Arc<CheckedBlock>) -> Result<(), StoreError> {
        self.lost.remove(&id);
        self.bodies += 1;
        let transactions = u32::try_from(body.txids().len()).expect("a block is small");
        self.new.tree.add_body(id, transactions);
        self.new.pending.add_body(id, body);
        self.new.pending.touch(id);
        match self.new.pending_is_large() {
            true => self.new.flush_bodies(),
            false => Ok(()),
        }
    }

    /// Looks for lost bodies in the pages of the old file, past the branches that lead to them, a stretch at a time. `false`: all of it
    /// was looked at, or none are lost.
    fn search_lost(&mut self, old: &Chain) -> Result<bool, StoreError> {
        let Some(start) = self.searched.filter(|_| !self.lost.is_empty()) else {
            return Ok(false);
        };
        let Some((bodies, next)) = old.store.find_bodies(start)? else {
            self.searched = None;
            return Ok(false);
        };
        self.searched = Some(next);
        for (block, bytes) in bodies {
            let id = old.tree.id_of(&block.hash);
            let Some(id) = id.filter(|id| self.lost.contains(id)) else {
                continue;
            };
            if let Some(body) = old.on_disk(id, bytes()?).open() {
                self.take_body_over(id, body)?;
            }
        }
        Ok(true)
    }

    /// Connects some blocks. `false`: there are no more.
    fn connect_some(&mut self) -> Result<bool, StoreError> {
        let signatures = SignatureCache::default();
        self.new
            .activate_step(&signatures, &mut Vec::new(), StepLimit::default())?;
        self.new.flush_when_large()?;
        Ok(!self.new.is_at_best())
    }

    /// Goes over all places again if bodies came since they were passed.
    fn take_late_ones_over(&mut self, old: &Chain) -> bool {
        let is_late =
            |id: &NodeId| old.tree.status(*id).has_body && !self.new.tree.status(*id).has_body;
        let late = old
            .tree
            .ids()
            .find(|id| is_late(id) && !self.lost.contains(id));
        let came = self.lost.iter().copied().find(is_late);
        let Some(first) = late.into_iter().chain(came).min() else {
            return false;
        };
        self.next = first.0;
        true
    }

    /// What an operator said meanwhile is said again.
    fn take_marks_over(&mut self, old: &Chain) -> bool {
        let mut changed = false;
        for id in old.tree.ids() {
            let is_marked = |chain: &Chain| chain.tree.status(id).invalidated;
            match (is_marked(old), is_marked(&self.new)) {
                (true, false) => self.new.tree.mark_invalidated(id),
                (false, true) => drop(self.new.tree.reconsider(id)),
                _ => continue,
            }
            self.new.pending.touch(id);
            changed = true;
        }
        changed
    }
}
