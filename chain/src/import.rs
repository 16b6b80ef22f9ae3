//! Importing blocks from `blk*.dat` files.
//!
//! A pipeline: one thread reads, decodes and checks bodies by themselves, a batch ahead; this thread looks up and applies
//! coins; rayon's pool checks signatures of all blocks of a batch meanwhile (see `chain::connect`). The curve keeps all
//! cores busy, and the rest hides behind it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bitcoin::BlockHash;
use rayon::ThreadPool;

use crate::block::CheckedBlock;
use crate::chain::{AcceptError, Acceptance, BlockPosition, Chain, Reorg};
use crate::framing::FrameReader;
use crate::params::Params;
use crate::rules::error::RuleError;
use crate::rules::spend::SignatureCache;
use crate::rules::{block_alone, header};
use crate::store::StoreError;
use crate::units::Timestamp;

/// Bytes of blocks in a batch. Three batches are under way at a time, decoded to about three times the size.
const BATCH_BYTES: usize = 6 << 20;

/// Bytes of the first batch: signatures wait for it. Each further one is twice as large, up to [`BATCH_BYTES`].
const FIRST_BATCH_BYTES: usize = BATCH_BYTES / 16;

/// Bytes of blocks that may wait for their parents to come later in the file.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Rejected blocks that a report names; more are only counted.
const MAX_NAMED_REJECTS: usize = 20;

/// How far an import has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Blocks read and dealt with.
    pub blocks: u64,
    /// Their transactions.
    pub transactions: u64,
    /// Bytes of the file, frames included and garbage not.
    pub bytes: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default)]
pub struct ImportReport {
    /// All blocks in the file.
    pub read: ImportProgress,
    /// Blocks that were new here.
    pub stored: u64,
    /// Blocks that joined the active chain.
    pub connected: u64,
    /// Blocks that break rules, or follow one that does.
    pub rejected: u64,
    /// The first of them, with the reason.
    pub rejects: Vec<(BlockHash, String)>,
    /// Blocks whose parents are not in the file, or came too much later: importing again may find them.
    pub orphans: u64,
    /// Bytes that belong to no block.
    pub skipped_bytes: u64,
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read.
    #[error("reading blocks: {0}; check the file and start again, what was imported is kept")]
    Read(#[from] io::Error),
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No threads could be started.
    #[error("no thread for reading: {0}; raise the limit of threads")]
    Threads(String),
}

/// A block on its way from the file to the chain.
struct Prepared {
    hash: BlockHash,
    frame_bytes: usize,
    checked: Result<Arc<CheckedBlock>, RuleError>,
}

/// What the reading thread sends: batches, the last of them with how the file ended.
enum Message {
    Batch(Vec<Prepared>),
    Last(Vec<Prepared>, Ending),
}

/// How many bytes of the file were skipped, if it could be read to its end.
type Ending = io::Result<u64>;

/// Imports all blocks of `reader` and connects the best chain. Blocks may come in any order. Flushes by size and at the end.
///
/// `progress` is called after each batch.
///
/// # Errors
///
/// When reading or storage fails. Blocks that break rules are no error: the report counts them.
pub fn import(
    chain: &mut Chain,
    reader: impl Read + Send,
    now: Timestamp,
    progress: &mut dyn FnMut(&ImportProgress),
) -> Result<ImportReport, ImportError> {
    let params = chain.params().clone();
    // Of its own, so that hashing does not queue behind signatures in the common pool.
    let hashing = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|error| ImportError::Threads(error.to_string()))?;
    let (sender, receiver) = sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(|| read_ahead(reader, &params, &hashing, sender));
        Importer::new(chain, now).run(receiver, progress)
    })
}

/// The reading thread. Ends when the file does, or when nobody listens any more.
fn read_ahead(
    reader: impl Read,
    params: &Params,
    hashing: &ThreadPool,
    sender: SyncSender<Message>,
) {
    let mut frames = FrameReader::new(reader, params);
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut enough_bytes = FIRST_BATCH_BYTES;
    let ending = loop {
        match frames.next_block() {
            Err(error) => break Err(error),
            Ok(None) => break Ok(frames.skipped_bytes()),
            Ok(Some((block, frame_bytes))) => {
                // Only now, so that the last batch is never empty: the final flush hides behind its signatures.
                if batch_bytes >= enough_bytes {
                    batch_bytes = 0;
                    enough_bytes = BATCH_BYTES.min(2 * enough_bytes);
                    let full = std::mem::take(&mut batch);
                    if sender.send(Message::Batch(full)).is_err() {
                        return;
                    }
                }
                let hash = block.block_hash();
                let checked = header::check_proof_of_work_of(&block.header, hash, params)
                    .and_then(|()| hashing.install(|| block_alone::check(block, params)));
                batch.push(Prepared {
                    hash,
                    frame_bytes,
                    checked: checked.map(Arc::new),
                });
                batch_bytes += frame_bytes;
            }
        }
    };
    // Nobody listens only if the import has failed already.
    let _ = sender.send(Message::Last(batch, ending));
}

/// [`Chain::activate_best`] or [`Chain::activate_best_and_flush`].
type Activate = fn(
    &mut Chain,
    &SignatureCache,
    &mut Vec<(BlockPosition, RuleError)>,
) -> Result<Option<Reorg>, StoreError>;

/// The connecting thread's state.
struct Importer<'a> {
    chain: &'a mut Chain,
    now: Timestamp,
    signatures: SignatureCache,
    waiting: BTreeMap<BlockHash, Vec<Arc<CheckedBlock>>>,
    waiting_bytes: usize,
    report: ImportReport,
}

impl<'a> Importer<'a> {
    fn new(chain: &'a mut Chain, now: Timestamp) -> Importer<'a> {
        Importer {
            chain,
            now,
            signatures: SignatureCache::default(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            report: ImportReport::default(),
        }
    }

    fn run(
        mut self,
        receiver: Receiver<Message>,
        progress: &mut dyn FnMut(&ImportProgress),
    ) -> Result<ImportReport, ImportError> {
        let ending = loop {
            match receiver.recv() {
                Ok(Message::Batch(batch)) => {
                    self.take_batch(batch)?;
                    self.connect(Chain::activate_best)?;
                    self.chain.flush_when_large()?;
                    progress(&self.report.read);
                }
                Ok(Message::Last(batch, ending)) => {
                    self.take_batch(batch)?;
                    self.connect(Chain::activate_best_and_flush)?;
                    progress(&self.report.read);
                    break ending;
                }
                Err(_) => {
                    self.chain.flush()?;
                    break Err(io::Error::other("the reading thread stopped"));
                }
            }
        };
        self.report.orphans += self
            .waiting
            .values()
            .map(|blocks| blocks.len() as u64)
            .sum::<u64>();
        self.report.skipped_bytes = ending?;
        Ok(self.report)
    }

    fn take_batch(&mut self, batch: Vec<Prepared>) -> Result<(), StoreError> {
        for prepared in batch {
            self.report.read.blocks += 1;
            self.report.read.bytes += prepared.frame_bytes as u64;
            match prepared.checked {
                Ok(block) => {
                    self.report.read.transactions += block.txids().len() as u64;
                    self.accept(block)?;
                }
                Err(rule) => self.reject(prepared.hash, rule.to_string()),
            }
        }
        Ok(())
    }

    /// Takes a block, and then those that waited for it.
    fn accept(&mut self, block: Arc<CheckedBlock>) -> Result<(), StoreError> {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let hash = block.hash();
            match self.chain.accept_checked(block.clone(), self.now) {
                Ok(acceptance) => {
                    self.report.stored += u64::from(acceptance == Acceptance::Stored);
                    let children = self.waiting.remove(&hash).unwrap_or_default();
                    self.waiting_bytes -= children.iter().map(size).sum::<usize>();
                    ready.extend(children);
                }
                Err(AcceptError::UnknownParent { parent }) => self.wait_for(parent, block),
                Err(AcceptError::Store(error)) => return Err(error),
                Err(error) => self.reject(hash, error.to_string()),
            }
        }
        Ok(())
    }

    fn wait_for(&mut self, parent: BlockHash, block: Arc<CheckedBlock>) {
        if self.waiting_bytes + size(&block) > MAX_WAITING_BYTES {
            self.report.orphans += 1;
            return;
        }
        self.waiting_bytes += size(&block);
        self.waiting.entry(parent).or_default().push(block);
    }

    fn connect(&mut self, activate: Activate) -> Result<(), StoreError> {
        let mut failed = Vec::new();
        let change = activate(self.chain, &self.signatures, &mut failed)?;
        for (block, rule) in failed {
            self.reject(block.hash, rule.to_string());
        }
        if let Some(reorg) = change {
            self.report.connected += reorg.connected.len() as u64;
        }
        Ok(())
    }

    fn reject(&mut self, hash: BlockHash, reason: String) {
        self.report.rejected += 1;
        if self.report.rejects.len() < MAX_NAMED_REJECTS {
            self.report.rejects.push((hash, reason));
        }
    }
}

fn size(block: &Arc<CheckedBlock>) -> usize {
    block.block().total_size()
}
