//! Importing blocks from `blk*.dat` files.
//!
//! A pipeline: one thread reads, decodes and checks bodies by themselves, a few groups of blocks ahead; this thread looks up
//! and applies coins, and writes; rayon's pool checks signatures of the blocks of a moving window meanwhile (see
//! `chain::connect`), which is fed without a break. The curve keeps all cores busy, and the rest hides behind it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bitcoin::{Block, BlockHash};

use crate::block::CheckedBlock;
use crate::chain::{AcceptError, Acceptance, BlockPosition, Chain, Feed};
use crate::framing::FrameReader;
use crate::params::Params;
use crate::rules::error::RuleError;
use crate::rules::spend::SignatureCache;
use crate::rules::{block_alone, header};
use crate::store::StoreError;
use crate::units::Timestamp;

/// Bytes of blocks that the reading thread hands over at a time.
const GROUP_BYTES: usize = 1 << 20;

/// Bytes of the first group: signatures wait for it. Each further one is twice as large, up to [`GROUP_BYTES`].
const FIRST_GROUP_BYTES: usize = GROUP_BYTES / 16;

/// Groups that may wait to be connected. Decoded they take about three times their size.
const GROUPS_AHEAD: usize = 2;

/// Blocks after which an import tells what has changed, and begins a new change.
const SEGMENT_BLOCKS: u64 = 50_000;

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

/// What the reading thread sends.
enum Message {
    Group(Vec<Prepared>),
    End(Ending),
}

/// How many bytes of the file were skipped, if it could be read to its end.
type Ending = io::Result<u64>;

/// Imports all blocks of `reader` and connects the best chain. Blocks may come in any order. Flushes by size and at the end.
///
/// `progress` is called about every MiB.
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
    // The reading thread, of a pool of its own so that hashing does not queue behind signatures in the common pool.
    let reading = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|error| ImportError::Threads(error.to_string()))?;
    let (sender, receiver) = sync_channel(GROUPS_AHEAD);
    reading.in_place_scope(|scope| {
        scope.spawn(|_| read_ahead(reader, &params, sender));
        Importer::new(receiver, now, progress).run(chain)
    })
}

/// The reading thread. Ends when the file does, or when nobody listens any more.
fn read_ahead(reader: impl Read, params: &Params, sender: SyncSender<Message>) {
    let mut frames = FrameReader::new(reader, params);
    let mut group = Vec::new();
    let mut group_bytes = 0;
    let mut enough_bytes = FIRST_GROUP_BYTES;
    let ending = loop {
        match frames.next_block() {
            Err(error) => break Err(error),
            Ok(None) => break Ok(frames.skipped_bytes()),
            Ok(Some((block, frame_bytes))) => {
                group.push(prepare(block, frame_bytes, params));
                group_bytes += frame_bytes;
            }
        }
        if group_bytes >= enough_bytes {
            group_bytes = 0;
            enough_bytes = GROUP_BYTES.min(2 * enough_bytes);
            let full = std::mem::take(&mut group);
            if sender.send(Message::Group(full)).is_err() {
                return;
            }
        }
    };
    // Nobody listens only if the import has failed already.
    let _ = sender.send(Message::Group(group));
    let _ = sender.send(Message::End(ending));
}

/// All that can be checked and hashed of a block by itself.
fn prepare(block: Block, frame_bytes: usize, params: &Params) -> Prepared {
    let hash = block.block_hash();
    let checked = header::check_proof_of_work_of(&block.header, hash, params)
        .and_then(|()| block_alone::check_of(block, hash, params))
        .map(Arc::new);
    Prepared {
        hash,
        frame_bytes,
        checked,
    }
}

/// The connecting thread's state.
struct Importer<'a> {
    receiver: Receiver<Message>,
    ending: Option<Ending>,
    now: Timestamp,
    progress: &'a mut dyn FnMut(&ImportProgress),
    waiting: BTreeMap<BlockHash, Vec<Arc<CheckedBlock>>>,
    waiting_bytes: usize,
    /// At how many blocks read the next segment begins.
    segment_end: u64,
    report: ImportReport,
}

impl Feed for Importer<'_> {
    fn more(&mut self, chain: &mut Chain) -> Result<bool, StoreError> {
        if self.ending.is_some() || self.report.read.blocks >= self.segment_end {
            return Ok(false);
        }
        match self.receiver.recv() {
            Ok(Message::Group(group)) => {
                self.take(chain, group)?;
                (self.progress)(&self.report.read);
                return Ok(true);
            }
            Ok(Message::End(ending)) => self.ending = Some(ending),
            Err(_) => {
                let stopped = io::Error::other("the reading thread stopped");
                self.ending = Some(Err(stopped));
            }
        }
        Ok(false)
    }

    fn failed(&mut self, block: BlockPosition, rule: &RuleError) {
        self.reject(block.hash, rule.to_string());
    }

    fn is_over(&self) -> bool {
        self.ending.is_some()
    }
}

impl<'a> Importer<'a> {
    fn new(
        receiver: Receiver<Message>,
        now: Timestamp,
        progress: &'a mut dyn FnMut(&ImportProgress),
    ) -> Importer<'a> {
        Importer {
            receiver,
            ending: None,
            now,
            progress,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            segment_end: SEGMENT_BLOCKS,
            report: ImportReport::default(),
        }
    }

    fn run(mut self, chain: &mut Chain) -> Result<ImportReport, ImportError> {
        let signatures = SignatureCache::default();
        let ending = loop {
            let change = chain.activate_fed_and_flush(&mut self, &signatures)?;
            if let Some(reorg) = change {
                self.report.connected += reorg.connected.len() as u64;
            }
            self.segment_end = self.report.read.blocks + SEGMENT_BLOCKS;
            if let Some(ending) = self.ending.take() {
                break ending;
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

    fn take(&mut self, chain: &mut Chain, group: Vec<Prepared>) -> Result<(), StoreError> {
        for prepared in group {
            self.report.read.blocks += 1;
            self.report.read.bytes += prepared.frame_bytes as u64;
            match prepared.checked {
                Ok(block) => {
                    self.report.read.transactions += block.txids().len() as u64;
                    self.accept(chain, block)?;
                }
                Err(rule) => self.reject(prepared.hash, rule.to_string()),
            }
        }
        Ok(())
    }

    /// Takes a block, and then those that waited for it.
    fn accept(&mut self, chain: &mut Chain, block: Arc<CheckedBlock>) -> Result<(), StoreError> {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let hash = block.hash();
            match chain.accept_checked(block.clone(), self.now) {
                Ok(acceptance) => {
                    self.report.stored += u64::from(acceptance == Acceptance::Stored);
                    let children = self.waiting.remove(&hash).unwrap_or_default();
                    self.waiting_bytes -= children
                        .iter()
                        .map(|block| block.total_bytes())
                        .sum::<usize>();
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
        if self.waiting_bytes + block.total_bytes() > MAX_WAITING_BYTES {
            self.report.orphans += 1;
            return;
        }
        self.waiting_bytes += block.total_bytes();
        self.waiting.entry(parent).or_default().push(block);
    }

    fn reject(&mut self, hash: BlockHash, reason: String) {
        self.report.rejected += 1;
        if self.report.rejects.len() < MAX_NAMED_REJECTS {
            self.report.rejects.push((hash, reason));
        }
    }
}
