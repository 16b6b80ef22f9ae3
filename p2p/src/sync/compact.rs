//! Rebuilding an announced block from the mempool (BIP 152). Pure: it cannot blame anyone, because a wrong result may
//! be an accident of 48-bit short ids.

use std::sync::Arc;

use bitcoin::bip152::{HeaderAndShortIds, ShortId};
use bitcoin::block::Header;
use bitcoin::{Block, Transaction};
use chain::pause;

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
            .inspect(|_| pause::point())
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

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::bip152::PrefilledTransaction;
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, OutPoint, ScriptBuf, TxIn, TxOut, Txid, Wtxid, transaction};

    use super::*;

    fn tx(n: u64) -> Transaction {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint {
                    txid: Txid::all_zeros(),
                    vout: 7,
                },
                ..TxIn::default()
            }],
            output: vec![TxOut {
                value: Amount::from_sat(n),
                script_pubkey: ScriptBuf::new(),
            }],
        }
    }

    fn block(count: u64) -> Block {
        let mut block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        block.txdata = (0..count).map(tx).collect();
        block
    }

    fn announced(block: &Block) -> HeaderAndShortIds {
        HeaderAndShortIds::from_block(block, 99, 2, &[]).expect("a good block")
    }

    /// Transactions under ids that need not be theirs.
    struct Pool(Vec<(Wtxid, Transaction)>);

    impl Pool {
        fn of(numbers: impl IntoIterator<Item = u64>) -> Pool {
            let named = |tx: Transaction| (tx.compute_wtxid(), tx);
            Pool(numbers.into_iter().map(tx).map(named).collect())
        }
    }

    impl PoolView for Pool {
        fn for_each(&self, each: &mut dyn FnMut(&Arc<Transaction>, Wtxid)) {
            for (wtxid, tx) in &self.0 {
                each(&Arc::new(tx.clone()), *wtxid);
            }
        }
        fn knows(&self, _: &Txid) -> bool {
            false
        }
        fn transaction(&self, _: &Txid) -> Option<Arc<Transaction>> {
            None
        }
    }

    #[test]
    fn all_known_is_rebuilt_at_once() {
        let block = block(50);
        let pool = Pool::of((1..200).rev());
        let partial = PartialBlock::rebuild(&announced(&block), &pool).expect("usable");
        assert!(partial.missing().is_empty());
        assert_eq!(partial.finish(), Some(block));
    }

    #[test]
    fn what_is_missing_is_named_and_filled_in() {
        let block = block(10);
        let pool = Pool::of((1..10).filter(|n| *n != 3 && *n != 9));
        let mut partial = PartialBlock::rebuild(&announced(&block), &pool).expect("usable");
        assert_eq!(partial.missing(), [3, 9]);
        assert!(partial.fill(vec![tx(3), tx(9)]));
        assert_eq!(partial.finish(), Some(block));
    }

    #[test]
    fn case_45_more_or_fewer_than_asked_is_noticed() {
        let block = block(4);
        for given in [vec![tx(1)], vec![tx(1), tx(2), tx(3), tx(4)]] {
            let partial = PartialBlock::rebuild(&announced(&block), &Pool::of([]));
            assert!(!partial.expect("usable").fill(given));
        }
        let partial = PartialBlock::rebuild(&announced(&block), &Pool::of([])).expect("usable");
        assert_eq!(partial.finish(), None);
    }

    #[test]
    fn case_52_two_of_the_mempool_under_one_short_id_are_both_doubted() {
        let block = block(3);
        let mut pool = Pool::of([1, 2]);
        let clash = (tx(1).compute_wtxid(), tx(100));
        pool.0.push(clash.clone());
        let partial = PartialBlock::rebuild(&announced(&block), &pool).expect("usable");
        assert_eq!(partial.missing(), [1]);
        // A third one does not settle it.
        pool.0.push(clash);
        let partial = PartialBlock::rebuild(&announced(&block), &pool).expect("usable");
        assert_eq!(partial.missing(), [1]);
    }

    #[test]
    fn case_52_the_same_short_id_twice_cannot_be_rebuilt() {
        let mut announced = announced(&block(5));
        announced.short_ids[3] = announced.short_ids[0];
        let refused = PartialBlock::rebuild(&announced, &Pool::of([])).expect_err("ambiguous");
        assert_eq!(refused, Unusable::SameShortIds);
    }

    #[test]
    fn case_52_prefilled_places_out_of_range_are_refused() {
        for (places, ok) in [
            ([0, 0], true),
            ([0, 3], true),
            ([1, 2], true),
            ([0, 4], false),
        ] {
            let mut announced = announced(&block(4));
            announced.prefilled_txs = places
                .iter()
                .map(|idx| PrefilledTransaction {
                    idx: *idx,
                    tx: tx(7),
                })
                .collect();
            let rebuilt = PartialBlock::rebuild(&announced, &Pool::of([]));
            assert_eq!(rebuilt.is_ok(), ok, "{places:?}: {rebuilt:?}");
        }
        let mut far = announced(&block(4));
        far.prefilled_txs[0].idx = u16::MAX;
        let refused = PartialBlock::rebuild(&far, &Pool::of([])).expect_err("out of range");
        assert_eq!(
            refused,
            Unusable::PrefilledOutOfRange {
                index: 65_535,
                count: 4
            }
        );
    }

    #[test]
    fn nothing_announced_is_no_block() {
        let mut empty = announced(&block(1));
        empty.prefilled_txs.clear();
        let refused = PartialBlock::rebuild(&empty, &Pool::of([])).expect_err("empty");
        assert_eq!(refused, Unusable::Count { got: 0 });
    }
}
