//! [`Window`]: blocks between their coins and their verdicts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::block::CheckedBlock;
use crate::rules::block_connected::ConnectedBlock;
use crate::rules::error::RuleError;
use crate::tree::NodeId;

/// Bytes of bodies whose signatures may be under way at a time, about: more than a second's work for two cores, so that the
/// pool has enough to do while the connecting thread writes. Decoded they take some three times as much memory.
const WINDOW_BYTES: usize = 10 << 20;

/// Blocks whose signatures may be under way at a time.
const WINDOW_BLOCKS: usize = 128;

/// What checking a block's signatures gives: its undo data, encoded.
pub(super) type Verdict = Result<Vec<u8>, RuleError>;

/// A block whose coins are applied.
pub(super) struct Applied {
    pub(super) id: NodeId,
    pub(super) body: Arc<CheckedBlock>,
    pub(super) connected: Arc<ConnectedBlock>,
}

/// What is known of a block's signatures.
pub(super) enum Awaited {
    Known(Verdict),
    UnderWay(Receiver<Verdict>),
}

/// What has become of the first block of a window.
pub(super) enum First {
    /// All rules hold: the block is out of the window, and these are its undo data.
    Good(NodeId, Vec<u8>),
    /// It breaks a rule. It stays inside, to be taken back with those after it.
    Broken(NodeId, RuleError),
    /// Not known yet, or there is no block.
    Unknown,
}

/// Applied blocks in the order of the chain. They leave it at the front, in that order, when their verdicts are good; or at
/// the back, to be taken back.
#[derive(Default)]
pub(super) struct Window {
    blocks: VecDeque<(Applied, Awaited)>,
    bytes: usize,
}

impl Window {
    pub(super) fn push(&mut self, block: Applied, verdict: Awaited) {
        self.bytes += block.body.total_bytes();
        self.blocks.push_back((block, verdict));
    }

    /// The block applied last.
    pub(super) fn last(&self) -> Option<NodeId> {
        self.blocks.back().map(|(block, _)| block.id)
    }

    /// Whether a verdict has to come in before another block is applied.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > WINDOW_BYTES || self.blocks.len() >= WINDOW_BLOCKS
    }

    /// Takes the first block out if its signatures are good. Waits for the verdict only if told to.
    pub(super) fn take_first(&mut self, wait: bool) -> First {
        let Some((block, verdict)) = self.blocks.pop_front() else {
            return First::Unknown;
        };
        let id = block.id;
        let verdict = match verdict {
            Awaited::Known(verdict) => Ok(verdict),
            Awaited::UnderWay(receiver) if wait => receiver.recv().map_err(TryRecvError::from),
            Awaited::UnderWay(receiver) => {
                let verdict = receiver.try_recv();
                if verdict == Err(TryRecvError::Empty) {
                    self.blocks.push_front((block, Awaited::UnderWay(receiver)));
                    return First::Unknown;
                }
                verdict
            }
        };
        match verdict.expect("only a panic ends a check of signatures without a verdict") {
            Ok(undo) => {
                self.bytes -= block.body.total_bytes();
                First::Good(id, undo)
            }
            Err(rule) => {
                let known = Awaited::Known(Err(rule.clone()));
                self.blocks.push_front((block, known));
                First::Broken(id, rule)
            }
        }
    }

    /// Takes out the block applied last, whatever its verdict.
    pub(super) fn take_last(&mut self) -> Option<Applied> {
        let (block, _) = self.blocks.pop_back()?;
        self.bytes -= block.body.total_bytes();
        Some(block)
    }
}
