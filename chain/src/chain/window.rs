//! [`Window`]: blocks between their coins and their verdicts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::block::CheckedBlock;
use crate::rules::block_connected::ConnectedBlock;
use crate::rules::error::RuleError;
use crate::tree::NodeId;

/// Bytes of bodies whose signatures may be under way at a time, about: a second's work for two cores, so that the pool has
/// enough to do while the connecting thread writes. Decoded they take some three times as much memory.
const WINDOW_BYTES: usize = 6 << 20;

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

    /// Takes the first block out if its signatures are good, with its undo data; waits for the verdict only if told to. `None`:
    /// not known yet, or the window is empty.
    ///
    /// # Errors
    ///
    /// The first block, with the rule that it breaks. It stays inside, to be taken back with those after it.
    pub(super) fn take_good(
        &mut self,
        wait: bool,
    ) -> Result<Option<(Applied, Vec<u8>)>, (NodeId, RuleError)> {
        let Some((block, verdict)) = self.blocks.pop_front() else {
            return Ok(None);
        };
        let verdict = match verdict {
            Awaited::Known(verdict) => verdict,
            Awaited::UnderWay(receiver) => {
                let received = if wait {
                    receiver.recv().map_err(TryRecvError::from)
                } else {
                    receiver.try_recv()
                };
                match received {
                    Ok(verdict) => verdict,
                    Err(TryRecvError::Empty) => {
                        self.blocks.push_front((block, Awaited::UnderWay(receiver)));
                        return Ok(None);
                    }
                    Err(TryRecvError::Disconnected) => {
                        panic!("a check of signatures ended without a verdict")
                    }
                }
            }
        };
        match verdict {
            Ok(undo) => {
                self.bytes -= block.body.total_bytes();
                Ok(Some((block, undo)))
            }
            Err(rule) => {
                let id = block.id;
                let known = Awaited::Known(Err(rule.clone()));
                self.blocks.push_front((block, known));
                Err((id, rule))
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
