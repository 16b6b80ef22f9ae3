//! Bitcoin Core's validation: a chain state of `libbitcoinkernel`, and what it says.

use std::path::Path;
use std::sync::{Arc, Mutex, Once};

use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, ScriptBuf, TxOut};
use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    Block, BlockSpentOutputs, BlockTreeEntry, BlockValidationResult, BlockValidationStateRef,
    ChainType, ChainstateManager, Context, ContextBuilder, Log, Logger, ProcessBlockResult,
};
use chain::{Coin, Height, Standing};

use crate::coins::CoinSet;
use crate::verdict::{Outcome, Verdict};

/// Lines that the kernel has logged and nobody has read. Its log is one for the whole process, and the only place where it
/// gives its reasons as words.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOG_CONNECTED: Once = Once::new();

struct Collect;

impl Log for Collect {
    fn log(&self, message: &str) {
        LOG.lock()
            .expect("nobody panics with the log")
            .push(message.to_owned());
    }
}

fn take_log() -> Vec<String> {
    std::mem::take(&mut *LOG.lock().expect("nobody panics with the log"))
}

/// When signatures are checked. The order shows where a block has a bad signature and something else wrong as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// By another thread, after everything else of the block, as in a node on more than one core. Of several bad ones any
    /// is named.
    Last,
    /// Transaction by transaction, as in a node on one core. Of several bad ones the first is named.
    InOrder,
}

/// One chain state on regtest.
pub(crate) struct Kernel {
    manager: ChainstateManager,
    /// What it said of blocks by its own types, not yet read.
    checked: Arc<Mutex<Vec<BlockValidationResult>>>,
    _context: Context,
}

impl Kernel {
    /// A chain state in `dir`, its databases in memory if `in_memory`.
    pub(crate) fn open(dir: &Path, signatures: Signatures, in_memory: bool) -> Kernel {
        LOG_CONNECTED.call_once(|| {
            // Dropping it would end the log.
            std::mem::forget(Logger::new(Collect).expect("the log can be read"));
        });
        let checked = Arc::new(Mutex::new(Vec::new()));
        let sink = checked.clone();
        let context = ContextBuilder::new()
            .chain_type(ChainType::Regtest)
            .with_block_checked_validation(move |_block, state: BlockValidationStateRef<'_>| {
                sink.lock()
                    .expect("nobody panics with it")
                    .push(state.result());
            })
            .build()
            .expect("the kernel has a regtest");
        let path = |name: &str| dir.join(name).to_str().expect("a plain path").to_owned();
        let threads = match signatures {
            Signatures::Last => 1,
            Signatures::InOrder => 0,
        };
        let manager = ChainstateManager::builder(&context, &path("core"), &path("core/blocks"))
            .expect("paths are plain")
            .worker_threads(threads)
            .chainstate_db_in_memory(in_memory)
            .block_tree_db_in_memory(in_memory)
            .build()
            .unwrap_or_else(|error| panic!("{error:?}: {:?}", take_log()));
        manager.import_blocks().expect("genesis can be connected");
        Kernel {
            manager,
            checked,
            _context: context,
        }
    }

    /// Hands a block in.
    pub(crate) fn submit(&mut self, bytes: &[u8]) -> Outcome {
        take_log();
        self.take_checked();
        let verdict = match Block::new(bytes) {
            Err(_) => Verdict::Undecodable,
            Ok(block) => match self.manager.process_block(&block) {
                ProcessBlockResult::NewBlock => Verdict::Stored,
                ProcessBlockResult::Duplicate => Verdict::Duplicate,
                ProcessBlockResult::Rejected => Verdict::Rejected {
                    reason: String::new(),
                    standing: self
                        .take_checked()
                        .last()
                        .and_then(|result| standing(*result)),
                },
            },
        };
        let log = take_log();
        let verdict = match verdict {
            Verdict::Rejected { standing, .. } => Verdict::Rejected {
                reason: log
                    .iter()
                    .find_map(|line| rejection(line))
                    .unwrap_or_else(|| panic!("no reason in {log:?}")),
                standing,
            },
            verdict => verdict,
        };
        Outcome {
            verdict,
            failed: log.iter().filter_map(|line| failed_block(line)).collect(),
            tip: self.tip(),
        }
    }

    fn take_checked(&self) -> Vec<BlockValidationResult> {
        std::mem::take(&mut *self.checked.lock().expect("nobody panics with it"))
    }

    /// The active tip.
    pub(crate) fn tip(&self) -> BlockHash {
        let hash = self.manager.active_chain().tip().block_hash().to_bytes();
        BlockHash::from_byte_array(hash)
    }

    /// All unspent coins: the blocks of its active chain with the coins that it says they spent. Every coin must have been
    /// there when it was spent.
    pub(crate) fn coins(&self) -> CoinSet {
        let mut coins = CoinSet::default();
        for entry in self.manager.active_chain().iter().skip(1) {
            let block = self.block(&entry);
            let spent = self
                .manager
                .read_spent_outputs(&entry)
                .expect("undo data are stored");
            let height = Height(u32::try_from(entry.height()).expect("not negative"));
            coins.apply(&block, height, &spent_coins(&spent));
        }
        coins
    }

    fn block(&self, entry: &BlockTreeEntry<'_>) -> bitcoin::Block {
        let block = self.manager.read_block_data(entry).expect("it is stored");
        let bytes = block.consensus_encode().expect("it can be encoded");
        deserialize(&bytes).expect("a valid block")
    }
}

fn spent_coins(spent: &BlockSpentOutputs) -> Vec<Coin> {
    spent
        .iter()
        .flat_map(|of_transaction| {
            of_transaction
                .coins()
                .map(|coin| Coin {
                    output: TxOut {
                        value: Amount::from_sat(coin.output().value().cast_unsigned()),
                        script_pubkey: ScriptBuf::from_bytes(
                            coin.output().script_pubkey().to_bytes(),
                        ),
                    },
                    height: Height(coin.confirmation_height()),
                    coinbase: coin.is_coinbase(),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn standing(result: BlockValidationResult) -> Option<Standing> {
    use BlockValidationResult as R;
    match result {
        R::Consensus | R::CachedInvalid | R::InvalidHeader | R::InvalidPrev => {
            Some(Standing::Never)
        }
        R::Mutated => Some(Standing::OtherBytes),
        R::TimeFuture => Some(Standing::NotYet),
        R::Unset | R::MissingPrev | R::HeaderLowWork => None,
    }
}

/// `... AcceptBlock FAILED (reason, explanation)`.
fn rejection(line: &str) -> Option<String> {
    let (_, state) = line.split_once("ProcessNewBlock: AcceptBlock FAILED (")?;
    Some(reason_of(state.trim_end().strip_suffix(')')?))
}

/// `... ConnectTip: ConnectBlock HASH failed, reason, explanation`.
fn failed_block(line: &str) -> Option<(BlockHash, String)> {
    let (_, rest) = line.split_once("ConnectTip: ConnectBlock ")?;
    let (hash, state) = rest.split_once(" failed, ")?;
    Some((hash.parse().ok()?, reason_of(state.trim_end())))
}

/// The reason without its explanation.
fn reason_of(state: &str) -> String {
    state
        .split_once(", ")
        .map_or(state, |(reason, _)| reason)
        .to_owned()
}
