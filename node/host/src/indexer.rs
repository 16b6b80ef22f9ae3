//! The transaction index of a running node: follows the active chain in the background, one batch of blocks at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use chain::txindex::{self, IndexStep, TxIndex, TxPlace};
use chain::{CheckedBlock, Height, StoreError};

use crate::{NodeHandle, StopReason};

/// Blocks in one transaction of the index.
const BATCH: usize = 64;

/// The index, and how far it is.
pub struct Indexer {
    index: TxIndex,
    reached: Mutex<Reached>,
    moved: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    best: Option<BlockHash>,
    height: Height,
    /// Whether it was at the tip once.
    caught_up: bool,
}

impl std::fmt::Debug for Indexer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Indexer").field(&*self.reached()).finish()
    }
}

impl Indexer {
    /// On an index that was opened.
    pub(crate) fn new(index: TxIndex) -> Indexer {
        Indexer {
            index,
            reached: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// Where a transaction is, as far as the index has come.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn find(&self, txid: &Txid) -> Result<Option<TxPlace>, StoreError> {
        self.index.find(txid)
    }

    /// Waits until the index has come to `tip`, which it does within moments once it had caught up. `false`: it did not, in
    /// `patience`, or it has yet to catch up for the first time. Call from blocking threads only.
    pub fn wait_for(&self, tip: &BlockHash, patience: Duration) -> bool {
        let there = |reached: &Reached| reached.best.as_ref() == Some(tip);
        let reached = self.reached();
        if there(&reached) || !reached.caught_up {
            return there(&reached);
        }
        let waited = self
            .moved
            .wait_timeout_while(reached, patience, |reached| !there(reached));
        let (reached, _) = waited.unwrap_or_else(PoisonError::into_inner);
        there(&reached)
    }

    /// Height of the last block that is indexed, and whether that is `tip`.
    pub fn progress(&self, tip: &BlockHash) -> (Height, bool) {
        let reached = self.reached();
        (reached.height, reached.best.as_ref() == Some(tip))
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the chain until the node stops.
pub(crate) async fn follow(node: NodeHandle, indexer: Arc<Indexer>) {
    let mut tip = node.tip();
    loop {
        tip.mark_unchanged();
        let (worker, follower) = (node.clone(), Arc::clone(&indexer));
        let working = tokio::task::spawn_blocking(move || catch_up(&worker, &follower));
        let failure = match working.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("transaction index: {error}")),
            Err(_) => Some("an internal error ended the transaction index (see above)".to_owned()),
        };
        if let Some(reason) = failure {
            node.stop().press(StopReason::Failed(reason));
            return;
        }
        tokio::select! {
            changed = tip.changed() => if changed.is_err() { return },
            _ = node.stop().pressed() => return,
        }
    }
}

/// Goes to the active tip, or as far as bodies are here.
fn catch_up(node: &NodeHandle, indexer: &Indexer) -> Result<(), StoreError> {
    let index = &indexer.index;
    while !node.stop().is_pressed() {
        let best = index.best()?;
        let (step, height, params) = node.read(|core| {
            let chain = core.chain();
            let info = best.and_then(|best| chain.tree().get(&best));
            let height = info.map_or(Height::GENESIS, |info| info.height);
            let step = txindex::next_step(chain, best, BATCH);
            (step, height, Arc::clone(chain.params()))
        });
        {
            let mut reached = indexer.reached();
            let caught_up = reached.caught_up || matches!(step, IndexStep::Done);
            *reached = Reached {
                best,
                height,
                caught_up,
            };
        }
        indexer.moved.notify_all();
        match step {
            IndexStep::Done | IndexStep::Wait => return Ok(()),
            IndexStep::StartOver => index.clear()?,
            IndexStep::Disconnect(hash) => match body_of(node, &hash)? {
                Some(body) => index.disconnect(&body, &params)?,
                None => index.clear()?,
            },
            IndexStep::Connect(infos) => {
                let mut bodies = Vec::with_capacity(infos.len());
                let mut last = None;
                for info in &infos {
                    match body_of(node, &info.hash)? {
                        Some(body) => bodies.push(body),
                        // Found damaged just now: go on when it is replaced.
                        None if info.status.has_body => break,
                        None => {}
                    }
                    last = Some(info.hash);
                }
                match last {
                    Some(best) => index.connect(&bodies, best, &params)?,
                    None => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// A body; read by the chain itself if it is damaged, which takes note of it.
fn body_of(node: &NodeHandle, hash: &BlockHash) -> Result<Option<Arc<CheckedBlock>>, StoreError> {
    let stored = node.read(|core| core.chain().stored_block(hash))?;
    match stored.and_then(chain::StoredBlock::open) {
        Some(body) => Ok(Some(body)),
        None => node.read(|core| core.chain().block(hash)),
    }
}
