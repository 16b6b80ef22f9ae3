//! [`CheckedBlock`]: a body that passed every rule it can pass by itself.

use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Block, BlockHash, Transaction, Txid, VarInt, Weight, Wtxid};
use rayon::prelude::*;

use crate::pause;

/// Hashing fewer transactions than this is not worth waking another thread: for a thousand it gains nothing.
const HASHES_WORTH_A_CORE: usize = 1_024;

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 80;

/// Bytes of a transaction's version, and of its lock time.
const ENDS_BYTES: usize = 4;

/// A block whose body passed [`rules::block_alone::check`], the only place that makes one.
///
/// [`rules::block_alone::check`]: crate::rules::block_alone::check
#[derive(Clone, Debug)]
pub struct CheckedBlock {
    block: Block,
    hash: BlockHash,
    digest: BodyDigest,
}

impl CheckedBlock {
    pub(crate) fn new(block: Block, hash: BlockHash, digest: BodyDigest) -> CheckedBlock {
        CheckedBlock {
            block,
            hash,
            digest,
        }
    }

    /// The block.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Gives the block back, without its proof of having been checked.
    pub fn into_block(self) -> Block {
        self.block
    }

    /// Its hash.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Its length, encoded with witnesses.
    pub fn total_bytes(&self) -> usize {
        self.digest.total_bytes
    }

    /// Its weight.
    pub fn weight(&self) -> Weight {
        self.digest.weight()
    }

    /// Transaction ids, in block order.
    pub fn txids(&self) -> &[Txid] {
        &self.digest.txids
    }

    /// Transaction ids with witnesses, in block order. The coinbase's is its real one, not the zeros that stand for it in the
    /// witness commitment.
    pub fn wtxids(&self) -> &[Wtxid] {
        &self.digest.wtxids
    }
}

/// What a walk over a body's encoded transactions gives.
#[derive(Clone, Debug)]
pub(crate) struct BodyDigest {
    /// In block order.
    pub(crate) txids: Vec<Txid>,
    /// In block order; the coinbase's as it is.
    pub(crate) wtxids: Vec<Wtxid>,
    /// Length of the block without witnesses.
    pub(crate) stripped_bytes: usize,
    /// Length of the block.
    pub(crate) total_bytes: usize,
}

impl BodyDigest {
    pub(crate) fn of(block: &Block) -> BodyDigest {
        let digests = TransactionDigest::of_all(&block.txdata);
        let frame_bytes = HEADER_BYTES + VarInt::from(digests.len()).size();
        let sum = |bytes: fn(&TransactionDigest) -> usize| digests.iter().map(bytes).sum::<usize>();
        BodyDigest {
            txids: digests.iter().map(|digest| digest.txid).collect(),
            wtxids: digests.iter().map(|digest| digest.wtxid).collect(),
            stripped_bytes: frame_bytes + sum(|digest| digest.stripped_bytes),
            total_bytes: frame_bytes + sum(|digest| digest.total_bytes),
        }
    }

    fn weight(&self) -> Weight {
        let stripped_bytes = self.stripped_bytes as u64;
        Weight::from_wu(
            (Weight::WITNESS_SCALE_FACTOR - 1) * stripped_bytes + self.total_bytes as u64,
        )
    }
}

struct TransactionDigest {
    txid: Txid,
    wtxid: Wtxid,
    stripped_bytes: usize,
    total_bytes: usize,
}

impl TransactionDigest {
    /// In the order of the transactions.
    fn of_all(transactions: &[Transaction]) -> Vec<TransactionDigest> {
        if transactions.len() < 2 * HASHES_WORTH_A_CORE {
            let mut encoded = Vec::new();
            return transactions
                .iter()
                .inspect(|_| pause::point())
                .map(|tx| TransactionDigest::of(&mut encoded, tx))
                .collect();
        }
        transactions
            .par_iter()
            .with_min_len(HASHES_WORTH_A_CORE)
            .map_init(Vec::new, TransactionDigest::of)
            .collect()
    }

    /// Encodes `tx` once, into `encoded`, and hashes it with and without its witnesses: fewer and longer pieces than if each
    /// field were hashed as it is encoded.
    fn of(encoded: &mut Vec<u8>, tx: &Transaction) -> TransactionDigest {
        encoded.clear();
        tx.consensus_encode(encoded)
            .expect("a vector takes every byte");
        let total_bytes = encoded.len();
        let stripped_bytes = tx.base_size();
        let wtxid = sha256d::Hash::hash(encoded);
        let txid = if stripped_bytes == total_bytes {
            wtxid
        } else {
            // Behind the version come a marker and a flag that the txid does not cover, nor does it the witnesses.
            let middle = ENDS_BYTES + 2;
            let mut engine = sha256d::Hash::engine();
            engine.input(&encoded[..ENDS_BYTES]);
            engine.input(&encoded[middle..middle + stripped_bytes - 2 * ENDS_BYTES]);
            engine.input(&encoded[total_bytes - ENDS_BYTES..]);
            sha256d::Hash::from_engine(engine)
        };
        TransactionDigest {
            txid: Txid::from_raw_hash(txid),
            wtxid: Wtxid::from_raw_hash(wtxid),
            stripped_bytes,
            total_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{OutPoint, ScriptBuf, TxIn, TxOut, Witness};
    use proptest::prelude::*;

    use super::*;
    use crate::params::Params;

    fn transaction() -> impl Strategy<Value = Transaction> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
        let witness = proptest::collection::vec(bytes(), 0..3);
        let inputs = proptest::collection::vec((any::<[u8; 32]>(), bytes(), witness), 0..4);
        let outputs = proptest::collection::vec((any::<u64>(), bytes()), 0..4);
        (any::<i32>(), inputs, outputs, any::<u32>()).prop_map(
            |(version, inputs, outputs, lock_time)| Transaction {
                version: bitcoin::transaction::Version(version),
                lock_time: bitcoin::absolute::LockTime::from_consensus(lock_time),
                input: inputs
                    .into_iter()
                    .map(|(txid, script, witness)| TxIn {
                        previous_output: OutPoint::new(Txid::from_byte_array(txid), 1),
                        script_sig: ScriptBuf::from_bytes(script),
                        witness: Witness::from_slice(&witness),
                        ..Default::default()
                    })
                    .collect(),
                output: outputs
                    .into_iter()
                    .map(|(sat, script)| TxOut {
                        value: bitcoin::Amount::from_sat(sat),
                        script_pubkey: ScriptBuf::from_bytes(script),
                    })
                    .collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn ids_and_sizes_are_those_of_the_other_implementation(
            txdata in proptest::collection::vec(transaction(), 0..5),
        ) {
            let header = Params::bitcoin_regtest().genesis.header;
            let block = Block { header, txdata };
            let digest = BodyDigest::of(&block);
            for (index, tx) in block.txdata.iter().enumerate() {
                prop_assert_eq!(digest.txids[index], tx.compute_txid());
                prop_assert_eq!(digest.wtxids[index], tx.compute_wtxid());
            }
            prop_assert_eq!(digest.total_bytes, block.total_size());
            prop_assert_eq!(digest.weight(), block.weight());
        }
    }
}
