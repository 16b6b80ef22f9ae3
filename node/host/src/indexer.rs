//! The transaction index of a running node: follows what the chain has committed in the background, one batch of blocks at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use chain::txindex::{self, IndexStep, TxIndex, TxPlace};
use chain::{CheckedBlock, Height, StoreError, StoreFault};
use tokio::sync::Notify;

use crate::NodeHandle;

/// Blocks in one transaction of the index.
const BATCH: usize = 64;
/// How long until the index looks whether the chain has committed what it holds in memory.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long until an index that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// The index, and how far it is.
pub struct Indexer {
    index: TxIndex,
    reached: Mutex<Reached>,
    moved: Condvar,
    /// Somebody waits for it.
    wanted: Notify,
    renewed: AtomicU64,
}

/// Whether the index can be used again.
enum Cured {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    best: Option<BlockHash>,
    height: Height,
    /// Whether it was at the committed tip once.
    caught_up: bool,
    /// Whether the chain holds blocks that it has not committed.
    behind: bool,
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
            wanted: Notify::new(),
            renewed: AtomicU64::new(0),
        }
    }

    /// Where a transaction is or was, as far as the index has come. `None` also when the index turns out to be damaged: it is made anew
    /// then, and has yet to catch up.
    pub fn find(&self, txid: &Txid) -> Option<TxPlace> {
        match self.index.find(txid) {
            Ok(place) => place,
            Err(error) => {
                self.cure(&error);
                self.wanted.notify_one();
                None
            }
        }
    }

    /// How often the index was made anew because it was damaged, since the start.
    pub fn renewals(&self) -> u64 {
        self.renewed.load(Ordering::Relaxed)
    }

    /// Makes a damaged index anew and opens a failed one again.
    fn cure(&self, failure: &StoreError) -> Cured {
        *self.reached() = Reached::default();
        let renewed = self.index.renew(failure);
        let problem = &failure.problem;
        match renewed {
            Ok(()) if failure.cause == StoreFault::Damage => {
                self.renewed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(problem, "the transaction index is made anew");
                Cured::Yes
            }
            Ok(()) => {
                tracing::warn!(problem, "the transaction index waits");
                Cured::No
            }
            Err(error) => {
                tracing::warn!(
                    problem,
                    error = error.problem,
                    "the transaction index waits"
                );
                Cured::No
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.reached().behind
    }

    /// Waits until the index has come to `tip`, which it does within moments once it had caught up. `false`: it did not, in
    /// `patience`, or it has yet to catch up for the first time. Call from blocking threads only.
    pub fn wait_for(&self, tip: &BlockHash, patience: Duration) -> bool {
        let there = |reached: &Reached| reached.best.as_ref() == Some(tip);
        self.wanted.notify_one();
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

/// Follows the chain until the node stops. Whatever happens to the index, the node goes on: a damaged one is made anew, and one that
/// cannot be written waits until it can.
pub(crate) async fn follow(node: NodeHandle, indexer: Arc<Indexer>) {
    let mut tip = node.tip();
    let mut checked = false;
    loop {
        tip.mark_unchanged();
        let (worker, follower) = (node.clone(), Arc::clone(&indexer));
        let working = tokio::task::spawn_blocking(move || {
            let result = catch_up(&worker, &follower).and_then(|()| match checked {
                true => Ok(()),
                false => follower.index.check(),
            });
            result.map_err(|error| follower.cure(&error))
        });
        let pause = match working.await {
            Ok(Ok(())) => {
                checked = true;
                indexer.is_behind().then_some(LOOK_AGAIN)
            }
            Ok(Err(Cured::Yes)) => Some(Duration::ZERO),
            Ok(Err(Cured::No)) => Some(TRY_AGAIN),
            Err(_) => {
                // Nobody follows any more: that is told, and calls find out.
                tracing::error!("an internal error ended the transaction index (see above)");
                return;
            }
        };
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = tip.changed() => if changed.is_err() { return },
            () = pause => {}
            () = indexer.wanted.notified() => {}
            _ = node.stop().pressed() => return,
        }
    }
}

/// Goes to the committed tip, or as far as bodies are here.
fn catch_up(node: &NodeHandle, indexer: &Indexer) -> Result<(), StoreError> {
    let index = &indexer.index;
    while !node.stop().is_pressed() {
        let indexed = index.blocks()?;
        let (step, reached) = node.read(|core| {
            let chain = core.chain();
            let best = indexed.iter().find_map(|hash| chain.tree().get(hash));
            let step = txindex::next_step(chain, &indexed, BATCH);
            let reached = Reached {
                best: indexed.first().copied(),
                height: best.map_or(Height::GENESIS, |info| info.height),
                caught_up: matches!(step, IndexStep::Done),
                behind: chain.tip().hash != chain.flushed_tip().hash,
            };
            (step, reached)
        });
        {
            let mut now = indexer.reached();
            let caught_up = now.caught_up || reached.caught_up;
            *now = Reached {
                caught_up,
                ..reached
            };
        }
        indexer.moved.notify_all();
        let locator = |id| node.read(|core| core.chain().tree().locator(id));
        match step {
            IndexStep::Done | IndexStep::Wait => return Ok(()),
            IndexStep::Rewind(to) => index.connect(&[], &locator(to.id))?,
            IndexStep::Connect(infos) => {
                let mut bodies = Vec::with_capacity(infos.len());
                let mut last = None;
                for info in &infos {
                    match body_of(node, &info.hash) {
                        Some(body) => bodies.push(body),
                        // Found damaged just now: go on when it is replaced.
                        None if info.status.has_body => break,
                        None => {}
                    }
                    last = Some(info.id);
                }
                match last {
                    Some(last) => index.connect(&bodies, &locator(last))?,
                    None => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// A body; read by the chain itself if it is damaged, which takes note of it. `None` also when the chain cannot be read: that is the
/// node's concern, and no fault of the index.
fn body_of(node: &NodeHandle, hash: &BlockHash) -> Option<Arc<CheckedBlock>> {
    let stored = node.read(|core| core.chain().stored_block(hash));
    let body = match stored {
        Ok(stored) => stored.and_then(chain::StoredBlock::open),
        Err(_) => return None,
    };
    body.or_else(|| {
        node.read(|core| core.chain().block(hash))
            .unwrap_or_default()
    })
}
