//! Poisson miners: when a block is found and by whom is drawn; the block itself is the node's own template, with real work.

use bitcoin::{Block, ScriptBuf, Target};
use node_core::Mode;

use super::random::{by_weight, interval_us};
use super::stats::{Found, TrafficFigures};
use super::trace::Line;
use super::world::{Event, World};

impl World<'_> {
    /// Somebody finds a block now. A miner that is down, frozen or syncing wastes its luck.
    pub(super) fn block_found(&mut self) {
        let spacing = self.scenario.spacing.0;
        let next = interval_us(spacing, &mut self.streams.mining);
        self.queue.push(self.now_us + next, Event::BlockFound);
        if let Some(node) = by_weight(&self.shares, &mut self.streams.mining) {
            self.find_block(node);
        }
    }

    /// This node finds a block now.
    pub(super) fn find_block(&mut self, node: usize) {
        let now = self.now(node);
        self.tell_traffic();
        let sim = &mut self.nodes[node];
        let Some(core) = sim.core.as_mut().filter(|_| !sim.paused) else {
            return;
        };
        if core.mode() == Mode::Syncing {
            return;
        }
        self.extra_nonce += 1;
        // A chain that is ahead of this node's clock makes its miner wait.
        let Ok(template) = core.template(now) else {
            return;
        };
        let mut block = template.build(&payout(node), self.extra_nonce);
        grind(&mut block);
        let (hash, parent) = (block.block_hash(), block.header.prev_blockhash);
        let (t, height) = (self.now_us, template.height.0);
        self.payments.mined(hash, &block);
        self.counters.found.insert(hash, Found { node, at_us: t });
        self.trace.line(&Line::Found {
            t,
            node,
            hash,
            parent,
            height,
        });
        let mut outputs = Vec::new();
        if let Err(error) = core.submit_block(now, block, &mut outputs) {
            self.watch.refused_own_block(t, node, &error.to_string());
        }
        self.carry_out(node, outputs);
    }
}

impl World<'_> {
    /// Tells in the trace what was sent since it was last told.
    pub(super) fn tell_traffic(&mut self) {
        let t = self.now_us;
        for (kind, TrafficFigures { messages, bytes }) in self.counters.untold_traffic() {
            let kind = kind.to_owned();
            self.trace.line(&Line::Traffic {
                t,
                kind,
                messages,
                bytes,
            });
        }
    }
}

/// Pays nobody in particular: an output that anyone can see and nobody of the lab spends.
fn payout(node: usize) -> ScriptBuf {
    let mut program = [0; 20];
    program[..8].copy_from_slice(&(node as u64).to_be_bytes());
    let hash = bitcoin::hashes::Hash::from_byte_array(program);
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_raw_hash(hash))
}

/// Finds a nonce: two tries on average at the simulator's target.
fn grind(block: &mut Block) {
    let target = Target::from_compact(block.header.bits);
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce = block.header.nonce.wrapping_add(1);
    }
}
