//! Blocks of miners and operators: announced, connected, made durable, acknowledged, in this order.

use bitcoin::Block;

use crate::NodeHandle;
use crate::give_way::giving_way;
use crate::turns::Turn;
use node_core::{NodeCore, Output, SubmitError};

impl NodeHandle {
    /// Takes a block, tells peers of it, and returns when a crash cannot lose it any more. Gives whether it is in the active
    /// chain; if not, another chain is better. Blocks: call from blocking threads only.
    ///
    /// # Errors
    ///
    /// Why it was not taken, or why it could not be connected.
    ///
    /// # Panics
    ///
    /// As [`NodeHandle::act`].
    pub fn submit_block(&self, block: Block) -> Result<bool, SubmitError> {
        let turn = self.turn();
        let result = self.submit_in_steps(&turn, block);
        let moved = self.write_out(&turn);
        self.rouse_chain_thread(moved);
        result
    }

    /// Peers need not wait until the block is connected here, nor for this disk: each step's outputs leave before the next begins, and
    /// who reads comes in between.
    fn submit_in_steps(&self, turn: &Turn<'_>, block: Block) -> Result<bool, SubmitError> {
        let hash = block.block_hash();
        let take =
            |core: &mut NodeCore, now, out: &mut Vec<Output>| core.take_submitted(now, block, out);
        let (taken, _) = self.step(&mut self.write_lock(turn), take);
        let taken = taken?;
        // The announcement leaves before this thread goes on, also where cores are few.
        std::thread::yield_now();
        let (connected, moved) = self.step(&mut self.write_lock(turn), |core, now, out| {
            giving_way(|| core.connect_submitted(now, taken, out))
        });
        let (durable, moved_again) = self.step(&mut self.write_lock(turn), NodeCore::make_durable);
        self.rouse_chain_thread(moved || moved_again);
        durable?;
        connected.map(|_| self.read(|core| core.chain().is_active(&hash)))
    }
}
