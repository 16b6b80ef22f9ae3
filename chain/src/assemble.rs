//! Putting a block together: the coinbase and the commitments, for templates, miners and tests alike.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, PushBytesBuf, ScriptBuf};
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Witness, WitnessMerkleNode, opcodes, transaction,
};

use crate::units::{Height, Timestamp};

/// The reserved value of the witness commitment: 32 zero bytes, as everybody uses (BIP 141).
pub const WITNESS_RESERVED_VALUE: [u8; 32] = [0; 32];

/// What a block needs beside its transactions.
#[derive(Clone, Copy, Debug)]
pub struct BlockFrame {
    /// Hash of the parent.
    pub parent: BlockHash,
    /// Height of the block.
    pub height: Height,
    /// Bits that the difficulty rule demands.
    pub bits: CompactTarget,
    /// The header's time.
    pub time: Timestamp,
    /// What the coinbase may claim: subsidy and fees.
    pub coinbase_value: Amount,
}

/// The script of a coinbase input: the height as BIP 34 wants it, then the extra nonce and a tag.
///
/// Bitcoin Core wants `OP_1`..`OP_16` for heights 1 to 16 and a minimal push above; `Builder::push_int` gives both. The
/// extra nonce also keeps the script above the two bytes that consensus asks for.
pub fn coinbase_script(height: Height, extra_nonce: u64, tag: &[u8]) -> ScriptBuf {
    // 100 bytes are the limit of the whole script; height and extra nonce take at most 15.
    let tag = &tag[..tag.len().min(80)];
    let tag = PushBytesBuf::try_from(tag.to_vec()).unwrap_or_default();
    Builder::new()
        .push_int(i64::from(height.0))
        .push_slice(extra_nonce.to_le_bytes())
        .push_slice(tag)
        .into_script()
}

/// The output that commits to the witnesses of a block whose transactions after the coinbase are `transactions` (BIP 141).
pub fn witness_commitment<'a>(transactions: impl Iterator<Item = &'a Transaction>) -> ScriptBuf {
    let coinbase = [0u8; 32];
    let leaves = std::iter::once(WitnessMerkleNode::from_byte_array(coinbase)).chain(
        transactions
            .map(|tx| WitnessMerkleNode::from_byte_array(tx.compute_wtxid().to_byte_array())),
    );
    let root =
        bitcoin::merkle_tree::calculate_root(leaves).expect("there is at least the coinbase");
    let commitment = Block::compute_witness_commitment(&root, &WITNESS_RESERVED_VALUE);
    let mut bytes = [0u8; 36];
    bytes[..4].copy_from_slice(&[0xaa, 0x21, 0xa9, 0xed]);
    bytes[4..].copy_from_slice(commitment.as_byte_array());
    Builder::new()
        .push_opcode(opcodes::all::OP_RETURN)
        .push_slice(bytes)
        .into_script()
}

/// Where the eight bytes of the extra nonce lie in a coinbase of [`coinbase`] that is encoded without its witness.
#[must_use]
pub fn extra_nonce_offset(height: Height) -> usize {
    const VERSION: usize = 4;
    const COUNT: usize = 1;
    const OUTPOINT: usize = 36;
    const SCRIPT_LENGTH: usize = 1;
    const PUSH: usize = 1;
    let height = Builder::new().push_int(i64::from(height.0)).into_script();
    VERSION + COUNT + OUTPOINT + SCRIPT_LENGTH + height.len() + PUSH
}

/// The coinbase that pays `payout` and carries the output `commitment`, with the reserved value as its witness.
pub fn coinbase(
    frame: &BlockFrame,
    payout: &ScriptBuf,
    extra_nonce: u64,
    tag: &[u8],
    commitment: ScriptBuf,
) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: coinbase_script(frame.height, extra_nonce, tag),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[WITNESS_RESERVED_VALUE]),
        }],
        output: vec![
            TxOut {
                value: frame.coinbase_value,
                script_pubkey: payout.clone(),
            },
            TxOut {
                value: Amount::ZERO,
                script_pubkey: commitment,
            },
        ],
    }
}

/// A block with everything but a nonce: its proof of work is still to be found.
///
/// `transactions` are those after the coinbase, in an order in which each spends only what is there.
pub fn block(
    frame: &BlockFrame,
    payout: &ScriptBuf,
    extra_nonce: u64,
    tag: &[u8],
    transactions: Vec<Transaction>,
) -> Block {
    let commitment = witness_commitment(transactions.iter());
    let coinbase = coinbase(frame, payout, extra_nonce, tag, commitment);
    let mut txdata = Vec::with_capacity(transactions.len() + 1);
    txdata.push(coinbase);
    txdata.extend(transactions);
    let mut block = Block {
        header: Header {
            // The version bits are free for miners to roll (BIP 320).
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: frame.parent,
            merkle_root: TxMerkleNode::all_zeros(),
            time: frame.time.0,
            bits: frame.bits,
            nonce: 0,
        },
        txdata,
    };
    block.header.merkle_root = block
        .compute_merkle_root()
        .expect("there is at least the coinbase");
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_heights_are_single_opcodes_and_the_script_is_long_enough() {
        for height in 1..=17 {
            let script = coinbase_script(Height(height), 7, b"mend");
            let first = script.as_bytes()[0];
            if height <= 16 {
                assert_eq!(u32::from(first), 0x50 + height);
            } else {
                assert_eq!(script.as_bytes()[..2], [1, 17]);
            }
            assert!(script.len() >= 2 && script.len() <= 100);
        }
    }

    #[test]
    fn the_extra_nonce_lies_where_it_is_said_to() {
        for height in [1, 16, 17, 127, 128, 32_767, 32_768, 8_388_608] {
            let frame = BlockFrame {
                parent: BlockHash::all_zeros(),
                height: Height(height),
                bits: CompactTarget::from_consensus(0x207f_ffff),
                time: Timestamp(1),
                coinbase_value: Amount::from_sat(1),
            };
            let extra_nonce = 0x1122_3344_5566_7788_u64;
            let mut built = coinbase(
                &frame,
                &ScriptBuf::new(),
                extra_nonce,
                b"t",
                ScriptBuf::new(),
            );
            built.input[0].witness.clear();
            let bytes = bitcoin::consensus::serialize(&built);
            let at = extra_nonce_offset(Height(height));
            assert_eq!(bytes[at..at + 8], extra_nonce.to_le_bytes());
        }
    }

    #[test]
    fn a_built_block_commits_to_its_own_witnesses() {
        let frame = BlockFrame {
            parent: BlockHash::all_zeros(),
            height: Height(1),
            bits: CompactTarget::from_consensus(0x207f_ffff),
            time: Timestamp(1),
            coinbase_value: Amount::from_sat(1),
        };
        let built = block(&frame, &ScriptBuf::new(), 1, b"", vec![]);
        assert!(built.check_merkle_root() && built.check_witness_commitment());
        let other = block(&frame, &ScriptBuf::new(), 2, b"", vec![]);
        assert_ne!(built.header.merkle_root, other.header.merkle_root);
    }
}
