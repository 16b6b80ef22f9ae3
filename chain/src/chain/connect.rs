//! Connecting and disconnecting blocks on the coins in memory.
//!
//! A run of blocks is connected as a pipeline: while the signatures of one block are checked on all cores, this thread looks
//! up and applies the coins of the next. Nothing of a run counts until all its verdicts are in: blocks from the first that
//! failed on are taken back. What is due for disk is written in that time too, and committed after the verdicts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{BlockPosition, Chain};
use crate::block::CheckedBlock;
use crate::coins::encoding::encode_undo;
use crate::coins::{CacheView, undo_fits};
use crate::probe::Stage;
use crate::rules::block_connected::{
    ConnectContext, ConnectError, ConnectedBlock, check_coins, check_signatures,
};
use crate::rules::error::{RuleError, Standing};
use crate::rules::spend::{self, SignatureCache};
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

/// Blocks in one run.
const RUN_BLOCKS: usize = 128;

/// Bytes of bodies in one run, about; decoded they take some three times as much memory.
const RUN_BYTES: usize = 8 << 20;

/// Inputs below which handing a block to the pool costs more than it saves.
const SMALL_BLOCK_INPUTS: usize = 8;

/// How a run of blocks ended.
pub(super) enum RunEnd {
    /// So many blocks of the path were connected; at least one.
    Connected(usize),
    /// A block failed or its body is lost: the best chain has to be chosen anew.
    Stopped,
}

/// A block whose coins are applied, and whose signatures may still be under way.
struct Applied {
    id: NodeId,
    body: Arc<CheckedBlock>,
    connected: Arc<ConnectedBlock>,
}

/// The verdict on the earliest block of a run that failed.
#[derive(Default)]
struct Verdict {
    stop: AtomicBool,
    first: Mutex<Option<(usize, RuleError)>>,
}

impl Verdict {
    fn fail(&self, index: usize, rule: RuleError) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|(earlier, _)| index < *earlier) {
            *first = Some((index, rule));
        }
        self.stop.store(true, Ordering::Relaxed);
    }

    fn has_failed(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn into_first(self) -> Option<(usize, RuleError)> {
        self.first
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// From how many inputs on a block's signatures go to the pool.
///
/// A single small block is done sooner here. And one of rayon's own threads (a simulation among many that run in parallel)
/// must not wait for the pool: it would take up other work meanwhile, a whole simulation perhaps, on the same stack.
fn min_parallel_inputs(path: &[NodeId]) -> usize {
    match (rayon::current_thread_index(), path.len()) {
        (Some(_), _) => usize::MAX,
        (None, 1) => SMALL_BLOCK_INPUTS,
        (None, _) => 1,
    }
}

/// As [`check_signatures`], on this thread.
fn check_signatures_here(
    body: &CheckedBlock,
    connected: &ConnectedBlock,
    signatures: &SignatureCache,
) -> Result<(), RuleError> {
    let mut rest = connected.undo.as_slice();
    for (index, tx) in body.block().txdata.iter().enumerate().skip(1) {
        let (spent, others) = rest.split_at(tx.input.len());
        rest = others;
        if !signatures.contains(&body.wtxids()[index]) {
            spend::check_coins(tx, body.txids()[index], spent)?;
        }
    }
    Ok(())
}

impl Chain {
    /// Connects the first blocks of `path`, the lowest of which is a child of the tip.
    pub(super) fn connect_run(
        &mut self,
        path: &[NodeId],
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
    ) -> Result<RunEnd, StoreError> {
        let verdict = Verdict::default();
        let mut applied = Vec::new();
        let filled = rayon::in_place_scope(|scope| {
            let lost_body = self.fill(path, signatures, &verdict, &mut applied, scope)?;
            let open = match applied.last() {
                Some(last) if !verdict.has_failed() => {
                    let all = self.flush_with_tip && applied.len() == path.len();
                    self.begin_flush(last.id, all)?
                }
                _ => None,
            };
            Ok((lost_body, open))
        });
        let (lost_body, open) = match filled {
            Ok(filled) => filled,
            Err(error) => {
                // Storage failed: leave the coins in memory as they were, so that what is read until the node stops is true.
                self.take_back(&applied, 0);
                return Err(error);
            }
        };
        let failure = verdict.into_first();
        let good = failure.as_ref().map_or(applied.len(), |(index, _)| *index);
        self.take_back(&applied, good);
        applied.truncate(good);
        for block in applied {
            self.keep(block);
        }
        if let (None, Some(open)) = (&failure, open) {
            self.finish_flush(open)?;
        }
        if let Some((index, rule)) = failure {
            self.condemn(path[index], &rule);
            failed.push((self.position(path[index]), rule));
            return Ok(RunEnd::Stopped);
        }
        if let Some(id) = lost_body {
            self.quarantine(id);
            return Ok(RunEnd::Stopped);
        }
        Ok(RunEnd::Connected(good))
    }

    /// Applies the coins of block after block, and leaves their signatures to the pool. Gives a block whose body is lost.
    fn fill<'scope>(
        &mut self,
        path: &[NodeId],
        signatures: &'scope SignatureCache,
        verdict: &'scope Verdict,
        applied: &mut Vec<Applied>,
        scope: &rayon::Scope<'scope>,
    ) -> Result<Option<NodeId>, StoreError> {
        let min_parallel = min_parallel_inputs(path);
        let mut bytes = 0;
        for (index, &id) in path.iter().take(RUN_BLOCKS).enumerate() {
            if verdict.has_failed() || bytes > RUN_BYTES {
                break;
            }
            let Some(body) = self.body(id)? else {
                return Ok(Some(id));
            };
            bytes += body.block().total_size();
            match self.apply(id, &body, signatures) {
                Ok(connected) => {
                    let connected = Arc::new(connected);
                    if connected.undo.len() < min_parallel {
                        let checked = self.probes.run(Stage::Signatures, || {
                            check_signatures_here(&body, &connected, signatures)
                        });
                        if let Err(rule) = checked {
                            verdict.fail(index, rule);
                        }
                    } else {
                        let (body, connected) = (body.clone(), connected.clone());
                        let probes = self.probes.clone();
                        scope.spawn(move |_| {
                            let checked = probes.run(Stage::Signatures, || {
                                check_signatures(&body, &connected, signatures)
                            });
                            if let Err(rule) = checked {
                                verdict.fail(index, rule);
                            }
                        });
                    }
                    applied.push(Applied {
                        id,
                        body,
                        connected,
                    });
                }
                Err(ConnectError::Rule(rule)) => {
                    verdict.fail(index, rule);
                    break;
                }
                Err(ConnectError::Store(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Checks a block on the coins of its parent, all but signatures, and changes the coins.
    fn apply(
        &mut self,
        id: NodeId,
        body: &CheckedBlock,
        signatures: &SignatureCache,
    ) -> Result<ConnectedBlock, ConnectError> {
        let parent = self.tree.parent(id).expect("genesis is never connected");
        let tree = &self.tree;
        let height = tree.height(id);
        let mtp_at = |height: Height| {
            let block = tree
                .ancestor(parent, height)
                .expect("coins come from ancestors");
            tree.median_time_past(block.id)
        };
        let context = ConnectContext {
            height,
            parent_median_time_past: tree.median_time_past(parent),
            mtp_at: &mtp_at,
            params: &self.params,
            signatures,
        };
        let coins = &mut self.coins;
        self.probes.run(Stage::Coins, || {
            let connected = self
                .store
                .read(|disk| check_coins(body, &context, &mut CacheView::new(coins, disk)))?;
            coins.connect_block(body, height);
            Ok(connected)
        })
    }

    /// Takes back the coins of `applied[keep..]`, last first.
    fn take_back(&mut self, applied: &[Applied], keep: usize) {
        for block in applied[keep..].iter().rev() {
            let height = self.tree.height(block.id);
            self.coins
                .disconnect_block(&block.body, height, &block.connected.undo);
        }
    }

    /// All rules hold: the block is the new tip.
    fn keep(&mut self, block: Applied) {
        self.tree.set_connected(block.id);
        self.tree.set_tip(block.id);
        self.active.push(block.id);
        self.pending.touch(block.id);
        self.pending
            .add_undo(block.id, encode_undo(&block.connected.undo));
    }

    /// Draws the consequence of a broken rule.
    fn condemn(&mut self, id: NodeId, rule: &RuleError) {
        match rule.standing() {
            Standing::Never => self.mark_failed(id),
            // Not this body; another may come.
            Standing::OtherBytes | Standing::NotYet => self.quarantine(id),
        }
    }

    /// Disconnects blocks until `fork` is the tip. `false`: a body on the way is lost, and the tip stopped above it.
    ///
    /// What leaves often comes back in other blocks: its signatures are remembered in `signatures`, if given.
    pub(super) fn disconnect_to(
        &mut self,
        fork: NodeId,
        signatures: Option<&SignatureCache>,
    ) -> Result<bool, StoreError> {
        while self.tip_id() != fork {
            let tip = self.tip_id();
            let Some(body) = self.body(tip)? else {
                self.quarantine(tip);
                return Ok(false);
            };
            let undo = self.undo_by_id(tip)?;
            if !undo_fits(&body, &undo) {
                return Err(StoreError::damaged(format_args!(
                    "undo data of block {}",
                    body.hash()
                )));
            }
            self.coins
                .disconnect_block(&body, self.tree.height(tip), &undo);
            self.active.pop();
            self.tree.set_tip(self.tip_id());
            if let Some(signatures) = signatures {
                body.wtxids()
                    .iter()
                    .skip(1)
                    .for_each(|wtxid| signatures.insert(*wtxid));
            }
        }
        Ok(true)
    }
}
