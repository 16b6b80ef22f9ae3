//! [`BlockTemplate`]: what the next block may hold.

use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::{Amount, Block, BlockHash, CompactTarget, ScriptBuf, Transaction, Weight};
use chain::assemble::{self, BlockFrame};
use chain::rules::MAX_BLOCK_SIGOPS_COST;
use chain::{Chain, Height, NextBlock, Timestamp};
use thiserror::Error;

use super::Payments;
use crate::mempool::{Selection, SelectionLimits};

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
    /// Earliest allowed time with these bits.
    pub min_time: Timestamp,
    /// Latest allowed time with these bits: under a rule that eases late blocks, later ones need other bits.
    pub max_time: Timestamp,
    /// How far ahead of the clock that time may lie when the block is found, in seconds.
    pub max_ahead_s: u32,
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

/// No block that is made now would be taken: the chain is too far ahead of this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the next block's time must be {time} at least, {} s ahead of this machine's clock, and {limit_secs} s are allowed; \
     wait {} s, or set the clock right",
    time.0.saturating_sub(now.0),
    self.wait_s()
)]
pub struct ChainAhead {
    /// The earliest time that the next block may have.
    pub time: Timestamp,
    /// The clock.
    pub now: Timestamp,
    /// How far ahead of it that block may be, in seconds.
    pub limit_secs: u32,
}

impl ChainAhead {
    /// Seconds until a block can be made, if none comes before.
    #[must_use]
    pub fn wait_s(&self) -> u32 {
        let ahead_s = self.time.0.saturating_sub(self.now.0);
        ahead_s.saturating_sub(self.limit_secs)
    }
}

impl Payments {
    /// What the next block may hold, never with a time that this node would refuse. Given out however few the peers and however old
    /// the tip. Cheap while nothing changed.
    ///
    /// # Errors
    ///
    /// [`ChainAhead`] when the earliest time that the median allows is too far ahead of the clock.
    pub(in crate::node) fn template(
        &self,
        chain: &Chain,
        now: Timestamp,
    ) -> Result<BlockTemplate, ChainAhead> {
        let next = chain.next_block(now);
        check_not_ahead(&next, now)?;
        let params = chain.params();
        let pool_sequence = self.pool.sequence();
        let limits = SelectionLimits {
            weight: params
                .max_block_weight
                .checked_sub(RESERVED_WEIGHT)
                .unwrap_or(Weight::ZERO),
            sigops: MAX_BLOCK_SIGOPS_COST - RESERVED_SIGOPS,
        };
        let (transactions, fees) = if self.is_changing_deeply() {
            // The mempool is not of this tip yet.
            (Arc::default(), Amount::ZERO)
        } else {
            self.templates
                .get_or_select(next.parent.hash, pool_sequence, || self.pool.select(limits))
        };
        Ok(BlockTemplate {
            parent: next.parent.hash,
            height: next.height,
            bits: next.bits,
            min_time: next.min_time,
            max_time: next.max_time,
            max_ahead_s: next.max_ahead_s,
            time: next.time,
            coinbase_value: params.subsidy_at(next.height) + fees,
            transactions,
            pool_sequence,
        })
    }
}

/// Why no block can be made now, if none can.
pub(in crate::node) fn chain_ahead(chain: &Chain, now: Timestamp) -> Option<ChainAhead> {
    check_not_ahead(&chain.next_block(now), now).err()
}

fn check_not_ahead(next: &NextBlock, now: Timestamp) -> Result<(), ChainAhead> {
    let (time, limit_secs) = (next.time, next.max_ahead_s);
    if time > now.saturating_add_secs(limit_secs) {
        return Err(ChainAhead {
            time,
            now,
            limit_secs,
        });
    }
    Ok(())
}
