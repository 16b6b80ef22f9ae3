//! What turned out to be damaged: healed by the chain; blocks are not served, fetched again by hash, replaced.

use bitcoin::BlockHash;
use p2p::sync::Input as EngineInput;

use super::{NodeCore, Output};
use crate::events::NodeEvent;
use crate::now::Now;

/// Damaged blocks that were told, and that the engine was asked for.
#[derive(Debug, Default)]
pub(super) struct Mending {
    told: Vec<BlockHash>,
    /// Whether it was told that something is being healed.
    is_healing: bool,
}

impl NodeCore {
    /// Heals what reading found damaged, and tells what was healed, here or on the way to something else.
    pub(super) fn mend(&mut self, now: Now, out: &mut Vec<Output>) {
        let (was_healing, has_findings) = (self.chain.is_healing(), self.chain.has_findings());
        let healed = match (was_healing, has_findings) {
            (true, _) => self.chain.heal_step(),
            (false, true) => self.chain.heal_findings().map(drop),
            (false, false) => Ok(()),
        };
        if let Err(error) = healed {
            return self.give_up(error, out);
        }
        self.tell_healing(out);
        if (was_healing || has_findings) && !self.chain.is_healing() {
            // What waited for it goes on.
            self.activation_due |= was_healing;
            self.plan_flush(now, out);
        }
        for cure in self.chain.take_cures() {
            out.push(Output::Event(NodeEvent::Healed { cure }));
        }
        // Where a lost body keeps a healed chain from its tip, the tip is lower until the body is back.
        if let Some(change) = self.chain.change_from(&self.followed) {
            self.activation_due = true;
            self.follow(now, &change, out);
            self.tell_header_tip(out);
            self.drive(now, EngineInput::ChainChanged, out);
        }
        self.mend_damaged_blocks(now, out);
    }

    /// Looks at a block that is said to be damaged: the chain takes note of it if it is.
    pub(super) fn look_at_block(&mut self, hash: &BlockHash, out: &mut Vec<Output>) {
        if let Err(error) = self.chain.block(hash) {
            self.fail(error, out);
        }
    }

    /// Tells that something is being healed that takes long, once.
    fn tell_healing(&mut self, out: &mut Vec<Output>) {
        let healing = self.chain.healing_error().map(|error| error.problem);
        if let (Some(problem), false) = (&healing, self.mending.is_healing) {
            let problem = problem.clone();
            out.push(Output::Event(NodeEvent::Healing { problem }));
        }
        self.mending.is_healing = healing.is_some();
    }

    /// Whatever reading found damaged is wanted again, from anyone; what came meanwhile is told.
    fn mend_damaged_blocks(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut damaged = self.chain.damaged();
        if damaged.is_empty() && self.mending.told.is_empty() {
            return;
        }
        // Only what the tree knows to be missing is asked for.
        self.chain.settle_damaged();
        damaged = self.chain.damaged();
        if damaged == self.mending.told {
            return;
        }
        let told = std::mem::replace(&mut self.mending.told, damaged.clone());
        for hash in without(&told, &damaged) {
            self.tell_mending(hash, false, out);
        }
        for hash in without(&damaged, &told) {
            self.engine.want_block(hash);
            self.tell_mending(hash, true, out);
        }
        // The quarantine survives a restart, and so does the replacement.
        self.plan_flush(now, out);
        self.drive(now, EngineInput::Tick, out);
    }

    fn tell_mending(&self, hash: BlockHash, is_damaged: bool, out: &mut Vec<Output>) {
        if let Some(info) = self.chain.tree().get(&hash) {
            let height = info.height;
            out.push(Output::Event(if is_damaged {
                NodeEvent::BlockDamaged { hash, height }
            } else {
                NodeEvent::BlockRestored { hash, height }
            }));
        }
    }
}

/// What is in `list` and not in `other`. Both are in order, and may be long: a damaged file can lose thousands of bodies.
fn without(list: &[BlockHash], other: &[BlockHash]) -> Vec<BlockHash> {
    let missing = |hash: &&BlockHash| other.binary_search(hash).is_err();
    list.iter().filter(missing).copied().collect()
}
