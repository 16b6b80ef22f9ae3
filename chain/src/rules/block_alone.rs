//! Rules that a body decides by itself, and those that need only its place: height and median time past.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{
    Block, BlockHash, Transaction, TxMerkleNode, Txid, Weight, WitnessCommitment, WitnessMerkleNode,
};

use crate::block::{BodyDigest, CheckedBlock};
use crate::params::Params;
use crate::rules::MAX_BLOCK_SIGOPS_COST;
use crate::rules::error::{DisplayRoot, RuleError};
use crate::rules::merkle::merkle_root;
use crate::rules::transaction::{self, legacy_sigops};
use crate::units::{Height, Timestamp};

/// What a witness commitment output's script begins with: OP_RETURN, a push of 36 bytes, and BIP 141's tag.
const WITNESS_COMMITMENT_TAG: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Checks what a body says by itself, as Core's `CheckBlock` without proof of work, and in its order: merkle root and
/// mutation, size, coinbase, each transaction's own sanity, signature operations.
///
/// What needs the height is in [`check_contextual`].
///
/// # Errors
///
/// The first rule that is broken.
pub fn check(block: Block, params: &Params) -> Result<CheckedBlock, RuleError> {
    let hash = block.block_hash();
    check_of(block, hash, params)
}

/// As [`check`], for a caller that knows the block's hash already.
pub(crate) fn check_of(
    block: Block,
    hash: BlockHash,
    params: &Params,
) -> Result<CheckedBlock, RuleError> {
    let digest = BodyDigest::of(&block);
    check_merkle_root(&block, &digest.txids)?;
    check_stripped_weight(&block, digest.stripped_bytes, params)?;
    check_one_coinbase_first(&block)?;
    for (tx, txid) in block.txdata.iter().zip(&digest.txids) {
        transaction::check_alone_of(tx, *txid, params)?;
    }
    check_legacy_sigops(&block)?;
    Ok(CheckedBlock::new(block, hash, digest))
}

/// What a body check may know of the ancestors.
#[derive(Clone, Copy, Debug)]
pub struct BodyContext {
    /// The block's height.
    pub height: Height,
    /// Median time past of the parent (BIP 113).
    pub parent_median_time_past: Timestamp,
}

/// Checks finality, BIP 34, witness commitment and weight, as Core's `ContextualCheckBlock`, in its order.
///
/// # Errors
///
/// The first rule that is broken.
pub fn check_contextual(
    block: &CheckedBlock,
    context: &BodyContext,
    params: &Params,
) -> Result<(), RuleError> {
    check_all_final(block, context)?;
    check_coinbase_height(&block.block().txdata[0], context.height, params)?;
    check_witness_commitment(block)?;
    check_weight(block, params)
}

/// Checks that the header commits to exactly these transactions (its merkle root, and no repetition that leaves the root
/// unchanged: CVE-2012-2459).
///
/// # Errors
///
/// [`RuleError::MerkleRootMismatch`], [`RuleError::RepeatedMerkleBranch`]. Neither says anything of the header.
pub fn check_merkle_root(block: &Block, txids: &[Txid]) -> Result<(), RuleError> {
    let root = merkle_root(txids.iter().map(|txid| txid.to_byte_array()).collect());
    let got = root.hash.map(TxMerkleNode::from_byte_array);
    let expected = block.header.merkle_root;
    // The root of nothing counts as zero.
    if got.unwrap_or(TxMerkleNode::all_zeros()) != expected {
        return Err(RuleError::MerkleRootMismatch {
            got: DisplayRoot(got),
            expected,
        });
    }
    if root.repeated {
        return Err(RuleError::RepeatedMerkleBranch);
    }
    Ok(())
}

/// Checks that there are transactions, and that they fit even if all bytes counted four times.
///
/// # Errors
///
/// [`RuleError::NoTransactions`], [`RuleError::BlockTooLong`].
fn check_stripped_weight(
    block: &Block,
    stripped_bytes: usize,
    params: &Params,
) -> Result<(), RuleError> {
    let count = block.txdata.len();
    if count == 0 {
        return Err(RuleError::NoTransactions);
    }
    let got = Weight::from_non_witness_data_size(stripped_bytes as u64);
    let limit = params.max_block_weight;
    if got > limit || Weight::from_non_witness_data_size(count as u64) > limit {
        return Err(RuleError::BlockTooLong { got, limit });
    }
    Ok(())
}

/// Checks that the first transaction is a coinbase and no other is.
///
/// # Errors
///
/// [`RuleError::CoinbaseMissing`], [`RuleError::SecondCoinbase`].
fn check_one_coinbase_first(block: &Block) -> Result<(), RuleError> {
    if !block.txdata[0].is_coinbase() {
        let ambiguous = block.txdata.iter().any(|tx| tx.base_size() == 64);
        return Err(RuleError::CoinbaseMissing { ambiguous });
    }
    match block
        .txdata
        .iter()
        .skip(1)
        .position(Transaction::is_coinbase)
    {
        Some(skipped) => Err(RuleError::SecondCoinbase { index: skipped + 1 }),
        None => Ok(()),
    }
}

/// Checks the signature operations that can be counted without coins.
///
/// # Errors
///
/// [`RuleError::TooManySigops`].
fn check_legacy_sigops(block: &Block) -> Result<(), RuleError> {
    let mut got = 0;
    for (index, tx) in block.txdata.iter().enumerate() {
        got += Weight::WITNESS_SCALE_FACTOR * legacy_sigops(tx);
        if got > MAX_BLOCK_SIGOPS_COST {
            return Err(RuleError::TooManySigops {
                got,
                limit: MAX_BLOCK_SIGOPS_COST,
                index,
            });
        }
    }
    Ok(())
}

/// Checks every transaction's nLockTime, the coinbase's too (BIP 113).
///
/// # Errors
///
/// [`RuleError::NotFinal`].
fn check_all_final(block: &CheckedBlock, context: &BodyContext) -> Result<(), RuleError> {
    let (height, median_time_past) = (context.height, context.parent_median_time_past);
    let locked = block
        .block()
        .txdata
        .iter()
        .position(|tx| !transaction::is_final(tx, height, median_time_past));
    match locked {
        Some(index) => Err(RuleError::NotFinal {
            txid: block.txids()[index],
            lock_time: block.block().txdata[index].lock_time.to_consensus_u32(),
            height,
            median_time_past,
        }),
        None => Ok(()),
    }
}

/// Checks that the coinbase's script begins with the height (BIP 34), from the height on that the network says.
///
/// # Errors
///
/// [`RuleError::CoinbaseHeight`].
pub fn check_coinbase_height(
    coinbase: &Transaction,
    height: Height,
    params: &Params,
) -> Result<(), RuleError> {
    let prefix = height_script(height);
    let script = coinbase.input[0].script_sig.as_bytes();
    if height >= params.bip34_height && !script.starts_with(prefix.as_bytes()) {
        return Err(RuleError::CoinbaseHeight { height });
    }
    Ok(())
}

/// The script that a coinbase begins with at `height`: one byte up to height 16 (OP_1..OP_16), then a minimal push of
/// the little-endian number, as Core's `CScript() << height`.
#[must_use]
pub fn height_script(height: Height) -> bitcoin::ScriptBuf {
    bitcoin::script::Builder::new()
        .push_int(i64::from(height.0))
        .into_script()
}

/// Checks the witness commitment (BIP 141): if the coinbase has one, it fits; if not, there are no witnesses.
///
/// # Errors
///
/// [`RuleError::WitnessReservedValue`], [`RuleError::WitnessCommitmentMismatch`], [`RuleError::UnexpectedWitness`].
/// None says anything of the header.
pub fn check_witness_commitment(block: &CheckedBlock) -> Result<(), RuleError> {
    let transactions = &block.block().txdata;
    let Some(expected) = witness_commitment_in(&transactions[0]) else {
        return match transactions.iter().position(has_witness) {
            Some(index) => Err(RuleError::UnexpectedWitness {
                txid: block.txids()[index],
            }),
            None => Ok(()),
        };
    };
    let witness = &transactions[0].input[0].witness;
    let reserved_value = match (witness.len(), witness.nth(0)) {
        (1, Some(item)) if item.len() == 32 => item,
        (items, _) => return Err(RuleError::WitnessReservedValue { items }),
    };
    let got = witness_commitment(block.wtxids(), reserved_value);
    if got != expected {
        return Err(RuleError::WitnessCommitmentMismatch { got, expected });
    }
    Ok(())
}

fn has_witness(tx: &Transaction) -> bool {
    tx.input.iter().any(|input| !input.witness.is_empty())
}

/// The witness commitment in a coinbase: that of the last output which looks like one.
#[must_use]
pub fn witness_commitment_in(coinbase: &Transaction) -> Option<WitnessCommitment> {
    let script = coinbase
        .output
        .iter()
        .rev()
        .map(|output| output.script_pubkey.as_bytes())
        .find(|script| script.len() >= 38 && script.starts_with(&WITNESS_COMMITMENT_TAG))?;
    Some(WitnessCommitment::from_slice(&script[6..38]).expect("a slice of 32 bytes"))
}

/// The commitment to a block's witnesses. The coinbase, first in `wtxids`, counts as zeros.
#[must_use]
pub fn witness_commitment(wtxids: &[bitcoin::Wtxid], reserved_value: &[u8]) -> WitnessCommitment {
    let mut leaves: Vec<[u8; 32]> = wtxids.iter().map(|wtxid| wtxid.to_byte_array()).collect();
    if let Some(coinbase) = leaves.first_mut() {
        *coinbase = [0; 32];
    }
    // Repetition is harmless here: the same repetition would show among the txids.
    let root = merkle_root(leaves).hash.unwrap_or_default();
    let root = WitnessMerkleNode::from_byte_array(root);
    let mut bytes = root.to_byte_array().to_vec();
    bytes.extend_from_slice(reserved_value);
    WitnessCommitment::from_raw_hash(sha256d::Hash::hash(&bytes))
}

/// The output script that carries a witness commitment.
#[must_use]
pub fn witness_commitment_script(commitment: &WitnessCommitment) -> bitcoin::ScriptBuf {
    let mut script = WITNESS_COMMITMENT_TAG.to_vec();
    script.extend_from_slice(commitment.as_ref());
    bitcoin::ScriptBuf::from_bytes(script)
}

/// Checks the block's weight with its witnesses.
///
/// # Errors
///
/// [`RuleError::WeightAboveLimit`].
fn check_weight(block: &CheckedBlock, params: &Params) -> Result<(), RuleError> {
    let (got, limit) = (block.weight(), params.max_block_weight);
    if got > limit {
        return Err(RuleError::WeightAboveLimit { got, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
