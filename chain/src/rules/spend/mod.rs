//! The two ways to spend: P2TR key path (BIP 340, 341) and P2WPKH (BIP 143).
//!
//! There is no script interpreter. An output of any other kind cannot be spent at all: it is refused by name, never
//! taken for anyone-can-spend. For the two kinds, the verdict is that of Bitcoin Core's consensus, which is laxer than its relay policy: high-S
//! signatures, uncompressed and hybrid keys, odd signature-hash bytes of version 0, and the taproot annex are all valid.

mod cache;
mod der;
mod p2tr;
mod p2wpkh;
mod sighash_v0;
mod sighash_v1;

use std::borrow::Borrow;
use std::sync::LazyLock;

use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::sighash::SighashCache;
use bitcoin::{Script, Transaction, TxOut, Txid};

pub use cache::SignatureCache;

use crate::coins::Coin;
use crate::rules::error::{RuleError, SpendError, Unsupported};

/// The curve's tables, for verification only; no secrets, so no blinding.
static CURVE: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// Checks the witness and signature of every input of `tx`. `spent[i]` is the output that `tx.input[i]` spends.
///
/// # Errors
///
/// [`RuleError::Spend`] of the first input that fails.
pub fn check_inputs(tx: &Transaction, spent: &[TxOut]) -> Result<(), RuleError> {
    check_all(tx, &spent.iter().collect::<Vec<_>>(), || tx.compute_txid())
}

/// As [`check_inputs`], on coins.
///
/// # Errors
///
/// [`RuleError::Spend`] of the first input that fails.
pub fn check_coins(tx: &Transaction, txid: Txid, spent: &[Coin]) -> Result<(), RuleError> {
    match spent {
        // The common case needs no list.
        [coin] => check_all(tx, &[&coin.output], || txid),
        coins => check_all(
            tx,
            &coins.iter().map(|coin| &coin.output).collect::<Vec<_>>(),
            || txid,
        ),
    }
}

fn check_all(
    tx: &Transaction,
    spent: &[&TxOut],
    txid: impl FnOnce() -> Txid,
) -> Result<(), RuleError> {
    debug_assert_eq!(tx.input.len(), spent.len(), "one output for each input");
    let mut hashes = InputHashes::new(tx, spent);
    for input in 0..tx.input.len() {
        if let Err(failure) = check_input(&mut hashes, input) {
            return Err(RuleError::Spend {
                txid: txid(),
                input,
                failure,
            });
        }
    }
    Ok(())
}

/// What signatures sign, with the parts that inputs share computed once.
struct InputHashes<'a, O: Borrow<TxOut>> {
    tx: &'a Transaction,
    spent: &'a [O],
    v0: sighash_v0::SharedHashes,
    v1: sighash_v1::SharedHashes,
    /// For taproot signatures that sign less than all, or an annex.
    v1_others: Option<SighashCache<&'a Transaction>>,
}

impl<'a, O: Borrow<TxOut>> InputHashes<'a, O> {
    fn new(tx: &'a Transaction, spent: &'a [O]) -> Self {
        InputHashes {
            tx,
            spent,
            v0: Default::default(),
            v1: Default::default(),
            v1_others: None,
        }
    }
}

/// Checks one input in the order of Core's `VerifyScript`.
fn check_input<O: Borrow<TxOut>>(
    hashes: &mut InputHashes<'_, O>,
    index: usize,
) -> Result<(), SpendError> {
    let output = hashes.spent[index].borrow();
    let kind = SpendKind::of(&output.script_pubkey)?;
    if is_false(kind.program()) {
        return Err(SpendError::EvaluatesToFalse);
    }
    let input = &hashes.tx.input[index];
    if !input.script_sig.is_empty() {
        return Err(SpendError::ScriptSigNotEmpty);
    }
    match kind {
        SpendKind::P2wpkh(key_hash) => p2wpkh::check(hashes, index, key_hash),
        SpendKind::P2tr(output_key) => p2tr::check(hashes, index, output_key),
    }
}

/// Which of the two kinds an output is.
enum SpendKind {
    P2wpkh([u8; 20]),
    P2tr([u8; 32]),
}

impl SpendKind {
    fn of(script: &Script) -> Result<SpendKind, SpendError> {
        let bytes = script.as_bytes();
        if script.is_p2tr() {
            return Ok(SpendKind::P2tr(
                bytes[2..].try_into().expect("a P2TR script has 34 bytes"),
            ));
        }
        if script.is_p2wpkh() {
            let program = bytes[2..].try_into().expect("a P2WPKH script has 22 bytes");
            return Ok(SpendKind::P2wpkh(program));
        }
        match script
            .witness_version()
            .map(bitcoin::WitnessVersion::to_num)
        {
            Some(0) if !script.is_p2wsh() => Err(SpendError::ProgramLength),
            Some(version) => Err(Unsupported::WitnessProgram { version }.into()),
            None => Err(Unsupported::Script.into()),
        }
    }

    fn program(&self) -> &[u8] {
        match self {
            SpendKind::P2wpkh(program) => program,
            SpendKind::P2tr(program) => program,
        }
    }
}

/// Whether Script takes these bytes for false: zero, or negative zero. A witness program is on the stack when the output's
/// script ends, so such a program fails before its witness is looked at.
fn is_false(bytes: &[u8]) -> bool {
    match bytes.split_last() {
        Some((last, others)) => others.iter().all(|byte| *byte == 0) && matches!(last, 0 | 0x80),
        None => true,
    }
}

#[cfg(test)]
mod tests;
