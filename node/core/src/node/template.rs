//! [`BlockTemplate`]: what the next block may hold.

use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::{Amount, Block, BlockHash, CompactTarget, ScriptBuf, Transaction, Weight};
use chain::assemble::{self, BlockFrame};
use chain::rules::MAX_BLOCK_SIGOPS_COST;
use chain::{Height, StoreError, Timestamp};

use super::NodeCore;
use crate::mempool::{Selection, SelectionLimits};
use crate::now::Now;

pub use crate::mempool::Selected as TemplateTransaction;

/// What blocks of ours say in their coinbase.
const TAG: &[u8] = b"/mend/";
/// Weight kept free for header, transaction count and a coinbase with outputs of a pool, as in Core.
const RESERVED_WEIGHT: Weight = Weight::from_wu(8_000);
/// Signature operation cost kept free for the coinbase, as in Core.
const RESERVED_SIGOPS: u64 = 400;

/// What the next block may hold. A value: it stays as it was when the tip moves on.
#[derive(Clone, Debug)]
pub struct BlockTemplate {
    /// The parent.
    pub parent: BlockHash,
    /// The height.
    pub height: Height,
    /// The bits.
    pub bits: CompactTarget,
    /// Earliest allowed time.
    pub min_time: Timestamp,
    /// Time to use now.
    pub time: Timestamp,
    /// Subsidy and fees.
    pub coinbase_value: Amount,
    /// Parents first, by fee rate.
    pub transactions: Arc<Vec<TemplateTransaction>>,
    /// The mempool's sequence number when they were selected.
    pub pool_sequence: u64,
}

impl BlockTemplate {
    /// A block that lacks only its nonce. Another `extra_nonce` gives another block.
    #[must_use]
    pub fn build(&self, payout: &ScriptBuf, extra_nonce: u64) -> Block {
        let transactions = self
            .transactions
            .iter()
            .map(|tx| (*tx.transaction).clone())
            .collect();
        assemble::block(&self.frame(), payout, extra_nonce, TAG, transactions)
    }

    /// The coinbase alone, with the commitment of [`BlockTemplate::commitment`].
    #[must_use]
    pub fn coinbase(
        &self,
        payout: &ScriptBuf,
        extra_nonce: u64,
        commitment: ScriptBuf,
    ) -> Transaction {
        assemble::coinbase(&self.frame(), payout, extra_nonce, TAG, commitment)
    }

    /// The script of the output that commits to the witnesses of the other transactions.
    #[must_use]
    pub fn commitment(&self) -> ScriptBuf {
        assemble::witness_commitment(self.transactions.iter().map(|tx| &*tx.transaction))
    }

    fn frame(&self) -> BlockFrame {
        BlockFrame {
            parent: self.parent,
            height: self.height,
            bits: self.bits,
            time: self.time,
            coinbase_value: self.coinbase_value,
        }
    }
}

/// The last selection, good as long as tip and mempool stay the same.
#[derive(Debug, Default)]
pub(super) struct TemplateCache {
    last: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    parent: BlockHash,
    sequence: u64,
    transactions: Arc<Vec<TemplateTransaction>>,
    fees: Amount,
}

impl TemplateCache {
    fn get_or_select(
        &self,
        parent: BlockHash,
        sequence: u64,
        select: impl FnOnce() -> Selection,
    ) -> (Arc<Vec<TemplateTransaction>>, Amount) {
        // A panic while the lock was held can only have left the older value.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*last
            && (cached.parent, cached.sequence) == (parent, sequence)
        {
            return (Arc::clone(&cached.transactions), cached.fees);
        }
        let selection = select();
        let transactions = Arc::new(selection.transactions);
        let fees = selection.sums.fee;
        *last = Some(Cached {
            parent,
            sequence,
            transactions: Arc::clone(&transactions),
            fees,
        });
        (transactions, fees)
    }
}

impl NodeCore {
    /// What the next block may hold. Never refused: not for want of peers, nor for an old tip. Cheap while nothing changed.
    ///
    /// # Errors
    ///
    /// None at present; storage may be asked one day.
    pub fn template(&self, now: Now) -> Result<BlockTemplate, StoreError> {
        let next = self.chain.next_block();
        let params = self.chain.params();
        let pool_sequence = self.mempool.sequence();
        let limits = SelectionLimits {
            weight: params
                .max_block_weight
                .checked_sub(RESERVED_WEIGHT)
                .unwrap_or(Weight::ZERO),
            sigops: MAX_BLOCK_SIGOPS_COST - RESERVED_SIGOPS,
        };
        let (transactions, fees) =
            self.templates
                .get_or_select(next.parent.hash, pool_sequence, || {
                    self.mempool.select(limits)
                });
        Ok(BlockTemplate {
            parent: next.parent.hash,
            height: next.height,
            bits: next.bits,
            min_time: next.min_time,
            time: next.min_time.max(now.wall),
            coinbase_value: params.subsidy_at(next.height) + fees,
            transactions,
            pool_sequence,
        })
    }
}
