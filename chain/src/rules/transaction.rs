//! Rules of one transaction: by itself, and on the coins that it spends (without signatures).

use bitcoin::{Amount, OutPoint, Transaction, Txid, Weight};

use crate::coins::Coin;
use crate::params::Params;
use crate::rules::error::RuleError;
use crate::script::is_spendable_kind;
use crate::units::{Height, Timestamp};

/// nLockTime below this is a height, else Unix seconds.
const LOCK_TIME_THRESHOLD: u32 = 500_000_000;

/// BIP 68: this bit of a sequence number switches its lock off.
const SEQUENCE_LOCK_DISABLED: u32 = 1 << 31;
/// BIP 68: this bit makes the lock count time instead of blocks.
const SEQUENCE_LOCK_IS_TIME: u32 = 1 << 22;
/// BIP 68: the bits that hold the count.
const SEQUENCE_LOCK_MASK: u32 = 0xffff;
/// BIP 68: a count of time is in units of 2^9 = 512 seconds.
const SEQUENCE_LOCK_TIME_SHIFT: u32 = 9;

/// Inputs above this number are compared by sorting them.
const FEW_INPUTS: usize = 16;

/// Checks a transaction by itself, as Core's `CheckTransaction` and in its order.
///
/// # Errors
///
/// The first rule that is broken.
pub fn check_alone(tx: &Transaction, params: &Params) -> Result<(), RuleError> {
    check_alone_of(tx, tx.compute_txid(), params)
}

/// As [`check_alone`], for a caller that knows the transaction's id already.
///
/// # Errors
///
/// The first rule that is broken.
pub fn check_alone_of(tx: &Transaction, txid: Txid, params: &Params) -> Result<(), RuleError> {
    if tx.input.is_empty() {
        return Err(RuleError::NoInputs);
    }
    if tx.output.is_empty() {
        return Err(RuleError::NoOutputs);
    }
    let stripped_size = tx.base_size();
    check_size(stripped_size, params)?;
    check_output_amounts(tx)?;
    check_inputs_differ(tx)?;
    check_input_shape(tx)?;
    if params.forbid_64_byte_transactions && stripped_size == 64 {
        return Err(RuleError::SixtyFourBytes { txid });
    }
    Ok(())
}

fn check_size(stripped_size: usize, params: &Params) -> Result<(), RuleError> {
    let got = Weight::from_non_witness_data_size(stripped_size as u64);
    let limit = params.max_block_weight;
    if got > limit {
        return Err(RuleError::TransactionTooLong { got, limit });
    }
    Ok(())
}

/// Checks that each output, and their sum, lies between zero and all money.
fn check_output_amounts(tx: &Transaction) -> Result<(), RuleError> {
    let mut sum = Amount::ZERO;
    for (index, output) in tx.output.iter().enumerate() {
        let amount = output.value;
        let amount_sat = amount.to_sat() as i64;
        if amount_sat < 0 {
            return Err(RuleError::NegativeOutput { index, amount_sat });
        }
        if amount > Amount::MAX_MONEY {
            return Err(RuleError::OutputTooLarge { index, amount });
        }
        sum = sum_of_money(sum, amount).ok_or(RuleError::OutputSumTooLarge)?;
    }
    Ok(())
}

/// The sum, `None` if it is more than can exist.
fn sum_of_money(a: Amount, b: Amount) -> Option<Amount> {
    a.checked_add(b).filter(|sum| *sum <= Amount::MAX_MONEY)
}

/// Checks that no coin is spent twice (CVE-2018-17144).
fn check_inputs_differ(tx: &Transaction) -> Result<(), RuleError> {
    let repeated = if tx.input.len() <= FEW_INPUTS {
        tx.input.iter().enumerate().find_map(|(i, input)| {
            let outpoint = input.previous_output;
            tx.input[..i]
                .iter()
                .any(|earlier| earlier.previous_output == outpoint)
                .then_some(outpoint)
        })
    } else {
        let mut outpoints: Vec<OutPoint> =
            tx.input.iter().map(|input| input.previous_output).collect();
        outpoints.sort_unstable();
        outpoints
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    };
    match repeated {
        Some(outpoint) => Err(RuleError::DuplicateInput { outpoint }),
        None => Ok(()),
    }
}

/// Checks the length of a coinbase's script; in other transactions, that each input names a coin.
fn check_input_shape(tx: &Transaction) -> Result<(), RuleError> {
    if tx.is_coinbase() {
        let got = tx.input[0].script_sig.len();
        return if (2..=100).contains(&got) {
            Ok(())
        } else {
            Err(RuleError::CoinbaseScriptLength { got })
        };
    }
    match tx
        .input
        .iter()
        .position(|input| input.previous_output.is_null())
    {
        Some(index) => Err(RuleError::NullInput { index }),
        None => Ok(()),
    }
}

/// Checks amounts and coinbase maturity, as Core's `CheckTxInputs`. `coins[i]` is what `tx.input[i]` spends; gives the fee.
///
/// # Errors
///
/// [`RuleError::ImmatureCoinbase`], [`RuleError::InputSumTooLarge`], [`RuleError::OutputsExceedInputs`].
pub fn check_amounts(
    tx: &Transaction,
    coins: &[Coin],
    height: Height,
    params: &Params,
) -> Result<Amount, RuleError> {
    debug_assert_eq!(tx.input.len(), coins.len(), "one coin for each input");
    let mut inputs = Amount::ZERO;
    for coin in coins {
        let age = height.0.saturating_sub(coin.height.0);
        if coin.coinbase && age < params.coinbase_maturity {
            return Err(RuleError::ImmatureCoinbase {
                created: coin.height,
                spent: height,
                maturity: params.coinbase_maturity,
            });
        }
        inputs = sum_of_money(inputs, coin.output.value).ok_or(RuleError::InputSumTooLarge)?;
    }
    // `check_alone` bounds this sum.
    let outputs = tx.output.iter().map(|output| output.value).sum();
    inputs
        .checked_sub(outputs)
        .ok_or(RuleError::OutputsExceedInputs { inputs, outputs })
}

/// Adds a transaction's fee to a block's.
///
/// # Errors
///
/// [`RuleError::FeeSumTooLarge`].
pub fn add_fee(fees: Amount, fee: Amount) -> Result<Amount, RuleError> {
    sum_of_money(fees, fee).ok_or(RuleError::FeeSumTooLarge)
}

/// Whether nLockTime allows `tx` in a block at `height` whose parent has `median_time_past` (BIP 113).
#[must_use]
pub fn is_final(tx: &Transaction, height: Height, median_time_past: Timestamp) -> bool {
    let lock_time = tx.lock_time.to_consensus_u32();
    let reached = if lock_time < LOCK_TIME_THRESHOLD {
        height.0
    } else {
        median_time_past.0
    };
    lock_time == 0
        || lock_time < reached
        || tx
            .input
            .iter()
            .all(|input| input.sequence == bitcoin::Sequence::MAX)
}

/// Checks BIP 68 relative locks. `mtp_at(h)` is the median time past of this chain's block at height `h`.
///
/// # Errors
///
/// [`RuleError::SequenceLocked`].
pub fn check_sequence_locks(
    tx: &Transaction,
    coins: &[Coin],
    height: Height,
    parent_median_time_past: Timestamp,
    mtp_at: &dyn Fn(Height) -> Timestamp,
) -> Result<(), RuleError> {
    // The version is a signed number in the `bitcoin` crate; BIP 68 reads it as unsigned.
    if (tx.version.0 as u32) < 2 {
        return Ok(());
    }
    let (mut min_height, mut min_time, mut last) = (-1i64, -1i64, 0);
    for (index, (input, coin)) in tx.input.iter().zip(coins).enumerate() {
        let sequence = input.sequence.to_consensus_u32();
        if sequence & SEQUENCE_LOCK_DISABLED != 0 {
            continue;
        }
        let count = i64::from(sequence & SEQUENCE_LOCK_MASK);
        // A lock names the last moment that is too early, as nLockTime does: hence the ones.
        if sequence & SEQUENCE_LOCK_IS_TIME != 0 {
            let coin_time = mtp_at(coin.height.previous().unwrap_or(Height::GENESIS));
            let opens = i64::from(coin_time.0) + (count << SEQUENCE_LOCK_TIME_SHIFT) - 1;
            if opens > min_time {
                (min_time, last) = (opens, index);
            }
        } else {
            let opens = i64::from(coin.height.0) + count - 1;
            if opens > min_height {
                (min_height, last) = (opens, index);
            }
        }
    }
    if min_height >= i64::from(height.0) || min_time >= i64::from(parent_median_time_past.0) {
        let txid = tx.compute_txid();
        return Err(RuleError::SequenceLocked {
            txid,
            input: last,
            min_height,
            min_time,
        });
    }
    Ok(())
}

/// Signature operations of a transaction's scripts, counted the old way: every OP_CHECKMULTISIG is twenty.
#[must_use]
pub fn legacy_sigops(tx: &Transaction) -> u64 {
    let inputs = tx.input.iter().map(|input| input.script_sig.as_script());
    let outputs = tx
        .output
        .iter()
        .map(|output| output.script_pubkey.as_script());
    inputs
        .chain(outputs)
        // A push and a number, without operations.
        .filter(|script| !is_spendable_kind(script))
        .map(|script| script.count_sigops_legacy() as u64)
        .sum()
}

/// Cost of a transaction's signature operations (BIP 141): four for each in its own scripts, one for each P2WPKH input.
/// `coins` is empty for a coinbase. P2TR spends count nothing here.
#[must_use]
pub fn sigops_cost(tx: &Transaction, coins: &[Coin]) -> u64 {
    let witness = coins
        .iter()
        .filter(|coin| coin.output.script_pubkey.is_p2wpkh())
        .count() as u64;
    Weight::WITNESS_SCALE_FACTOR * legacy_sigops(tx) + witness
}

#[cfg(test)]
mod tests;
