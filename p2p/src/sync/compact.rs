//! Rebuilding an announced block from the mempool (BIP 152). Pure: it cannot blame anyone, because a wrong result may
//! be an accident of 48-bit short ids.

use std::sync::Arc;

use bitcoin::bip152::{HeaderAndShortIds, ShortId};
use bitcoin::block::Header;
use bitcoin::{Block, Transaction};

use super::PoolView;
use crate::wire::limits::MAX_BLOCK_TRANSACTIONS;

/// An announcement that no block can be rebuilt from. The whole body is asked for instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{got} transactions announced, a block has 1 to {MAX_BLOCK_TRANSACTIONS}")]
    Count { got: usize },
    #[error("prefilled transaction at position {index} of {count}")]
    PrefilledOutOfRange { index: usize, count: usize },
    #[error("two transactions of the block have the same short id")]
    SameShortIds,
}

/// A block of which some transactions are missing.
#[derive(Debug)]
pub(super) struct PartialBlock {
    header: Header,
    slots: Vec<Option<Arc<Transaction>>>,
}

impl PartialBlock {
    /// Fills in what was sent along and what the mempool has.
    pub(super) fn rebuild(
        announcement: &HeaderAndShortIds,
        pool: &dyn PoolView,
    ) -> Result<PartialBlock, Unusable> {
        let mut slots = place_prefilled(announcement)?;
        let mut wanted = wanted_ids(announcement, &slots)?;
        fill_from_pool(announcement, &mut wanted, &mut slots, pool);
        Ok(PartialBlock {
            header: announcement.header,
            slots,
        })
    }

    /// Positions of what is missing, ascending.
    pub(super) fn missing(&self) -> Vec<u32> {
        let empty = self
            .slots
            .iter()
            .zip(0..)
            .filter(|(slot, _)| slot.is_none());
        empty.map(|(_, index)| index).collect()
    }

    /// Puts transactions into the empty places, in order. `false` if there are more or fewer than places.
    pub(super) fn fill(&mut self, transactions: Vec<Transaction>) -> bool {
        let mut transactions = transactions.into_iter();
        for slot in self.slots.iter_mut().filter(|slot| slot.is_none()) {
            match transactions.next() {
                Some(tx) => *slot = Some(Arc::new(tx)),
                None => return false,
            }
        }
        transactions.next().is_none()
    }

    /// The block, if nothing is missing.
    pub(super) fn finish(self) -> Option<Block> {
        let txdata: Option<Vec<Transaction>> = self
            .slots
            .into_iter()
            .map(|slot| slot.map(Arc::unwrap_or_clone))
            .collect();
        Some(Block {
            header: self.header,
            txdata: txdata?,
        })
    }
}

fn place_prefilled(
    announcement: &HeaderAndShortIds,
) -> Result<Vec<Option<Arc<Transaction>>>, Unusable> {
    let count = announcement.short_ids.len() + announcement.prefilled_txs.len();
    if count == 0 || count > MAX_BLOCK_TRANSACTIONS {
        return Err(Unusable::Count { got: count });
    }
    let mut slots = vec![None; count];
    let mut next = 0;
    for prefilled in &announcement.prefilled_txs {
        let index = next + usize::from(prefilled.idx);
        let slot = slots
            .get_mut(index)
            .ok_or(Unusable::PrefilledOutOfRange { index, count })?;
        *slot = Some(Arc::new(prefilled.tx.clone()));
        next = index + 1;
    }
    Ok(slots)
}

/// A short id that is looked for.
struct Wanted {
    id: ShortId,
    slot: usize,
    /// A second transaction of the mempool has the same id: which is meant is unknown, so it is asked for.
    ambiguous: bool,
}

/// The short ids with their places, sorted by id.
fn wanted_ids(
    announcement: &HeaderAndShortIds,
    slots: &[Option<Arc<Transaction>>],
) -> Result<Vec<Wanted>, Unusable> {
    let empty = slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| slot.is_none())
        .map(|(at, _)| at);
    let mut wanted: Vec<Wanted> = announcement
        .short_ids
        .iter()
        .zip(empty)
        .map(|(id, slot)| Wanted {
            id: *id,
            slot,
            ambiguous: false,
        })
        .collect();
    wanted.sort_unstable_by_key(|wanted| wanted.id);
    if wanted.windows(2).any(|pair| pair[0].id == pair[1].id) {
        return Err(Unusable::SameShortIds);
    }
    Ok(wanted)
}

fn fill_from_pool(
    announcement: &HeaderAndShortIds,
    wanted: &mut [Wanted],
    slots: &mut [Option<Arc<Transaction>>],
    pool: &dyn PoolView,
) {
    if wanted.is_empty() {
        return;
    }
    let keys = ShortId::calculate_siphash_keys(&announcement.header, announcement.nonce);
    pool.for_each(&mut |tx, wtxid| {
        let id = ShortId::with_siphash_keys(&wtxid, keys);
        if let Ok(at) = wanted.binary_search_by_key(&id, |wanted| wanted.id) {
            let Wanted {
                slot, ambiguous, ..
            } = &mut wanted[at];
            match &slots[*slot] {
                None if !*ambiguous => slots[*slot] = Some(Arc::clone(tx)),
                _ => {
                    *ambiguous = true;
                    slots[*slot] = None;
                }
            }
        }
    });
}
