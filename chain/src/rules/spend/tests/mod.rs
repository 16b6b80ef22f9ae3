//! Both kinds of spend, and none.

mod p2tr;
mod p2wpkh;
mod published;

use bitcoin::hashes::{Hash, hash160};
use bitcoin::hex::FromHex;
use bitcoin::secp256k1::{All, Message, Secp256k1, XOnlyPublicKey, ecdsa, schnorr};
use bitcoin::sighash::{Annex, EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Witness};
use proptest::prelude::*;

use super::*;
use crate::fixtures::{Key, Payment};
use crate::rules::vectors;
use crate::script::is_spendable_kind;

const HALF_ORDER_AND_MORE: &str = "the curve's order less S is the other S";

fn curve() -> Secp256k1<All> {
    Secp256k1::new()
}

fn alice() -> Key {
    Key::p2tr("alice")
}

fn bob() -> Key {
    Key::p2wpkh("bob")
}

/// Two inputs (alice's P2TR, bob's P2WPKH) and as many outputs as asked for, not signed yet.
fn unsigned(outputs: u64) -> (Transaction, Vec<TxOut>) {
    let coin = |n| OutPoint {
        txid: Txid::hash(b"someone"),
        vout: n,
    };
    let output = |key: &Key| TxOut {
        value: Amount::from_sat(10_000),
        script_pubkey: key.script(),
    };
    let mut payment = Payment::new()
        .spend(coin(0), &output(&alice()), &alice())
        .sequence(5)
        .spend(coin(1), &output(&bob()), &bob())
        .sequence(6)
        .lock_time(7);
    for n in 0..outputs {
        payment = payment.pay(&bob(), Amount::from_sat(1_000 + n));
    }
    payment.unsigned()
}

fn signed(outputs: u64) -> (Transaction, Vec<TxOut>) {
    let (mut tx, spent) = unsigned(outputs);
    alice().sign(&mut tx, 0, &spent);
    bob().sign(&mut tx, 1, &spent);
    (tx, spent)
}

fn check_one(tx: &Transaction, spent: &[TxOut], index: usize) -> Result<(), SpendError> {
    check_input(&mut InputHashes::new(tx, spent), index)
}

fn with_witness(items: &[&[u8]], index: usize) -> Result<(), SpendError> {
    let (mut tx, spent) = signed(2);
    tx.input[index].witness = Witness::from_slice(items);
    check_one(&tx, &spent, index)
}

fn item(tx: &Transaction, input: usize, item: usize) -> Vec<u8> {
    tx.input[input].witness.nth(item).expect("an item").to_vec()
}

#[test]
fn signed_inputs_of_both_kinds_are_valid() {
    let (tx, spent) = signed(2);
    assert_eq!(check_inputs(&tx, &spent), Ok(()));
}

#[test]
fn a_changed_transaction_is_not_what_was_signed() {
    let (tx, spent) = signed(2);
    let changes: [fn(&mut Transaction); 6] = [
        |tx| tx.version.0 += 1,
        |tx| tx.lock_time = bitcoin::absolute::LockTime::ZERO,
        |tx| tx.output[1].value += Amount::ONE_SAT,
        |tx| tx.output.truncate(1),
        |tx| tx.input[0].sequence.0 += 1,
        |tx| tx.input[1].previous_output.vout += 1,
    ];
    for change in changes {
        let mut tx = tx.clone();
        change(&mut tx);
        assert_eq!(check_one(&tx, &spent, 0), Err(SpendError::SchnorrSignature));
        assert_eq!(check_one(&tx, &spent, 1), Err(SpendError::EvaluatesToFalse));
    }
    let mut other_amount = spent.clone();
    other_amount[1].value += Amount::ONE_SAT;
    assert_eq!(
        check_one(&tx, &other_amount, 0),
        Err(SpendError::SchnorrSignature)
    );
    assert_eq!(
        check_one(&tx, &other_amount, 1),
        Err(SpendError::EvaluatesToFalse)
    );
}

#[test]
fn the_first_bad_input_is_named() {
    let (mut tx, spent) = signed(1);
    tx.input[1].witness = Witness::new();
    let txid = tx.compute_txid();
    let failure = SpendError::ProgramMismatch;
    assert_eq!(
        check_inputs(&tx, &spent),
        Err(RuleError::Spend {
            txid,
            input: 1,
            failure
        })
    );
    tx.input[0].witness = Witness::new();
    let failure = SpendError::WitnessEmpty;
    assert_eq!(
        check_inputs(&tx, &spent),
        Err(RuleError::Spend {
            txid,
            input: 0,
            failure
        })
    );
}

/// Case 24: a scriptSig beside a native witness program.
#[test]
fn a_script_sig_must_be_empty() {
    for index in [0, 1] {
        let (mut tx, spent) = signed(2);
        tx.input[index].script_sig = ScriptBuf::from_bytes(vec![0x51]);
        assert_eq!(
            check_one(&tx, &spent, index),
            Err(SpendError::ScriptSigNotEmpty)
        );
    }
}

/// Case 25: every other script is refused by name, with and without a witness.
#[test]
fn other_outputs_are_refused_by_name() {
    let program =
        |version: u8, bytes: usize| [&[version, bytes as u8][..], &vec![7; bytes]].concat();
    let p2pkh = [&[0x76, 0xa9, 0x14][..], &[7; 20], &[0x88, 0xac]].concat();
    let p2sh = [&[0xa9, 0x14][..], &[7; 20], &[0x87]].concat();
    let unsupported = |version| SpendError::from(Unsupported::WitnessProgram { version });
    for (script, expected) in [
        (vec![], Unsupported::Script.into()),
        (vec![0x51], Unsupported::Script.into()),
        (p2pkh, Unsupported::Script.into()),
        (p2sh, Unsupported::Script.into()),
        (program(0x00, 32), unsupported(0)),
        (program(0x00, 21), SpendError::ProgramLength),
        (program(0x00, 2), SpendError::ProgramLength),
        (program(0x51, 20), unsupported(1)),
        (program(0x51, 33), unsupported(1)),
        (vec![0x51, 0x02, 0x4e, 0x73], unsupported(1)),
        (program(0x52, 32), unsupported(2)),
        (program(0x60, 40), unsupported(16)),
        (program(0x60, 41), Unsupported::Script.into()),
    ] {
        let (mut tx, mut spent) = signed(2);
        spent[0].script_pubkey = ScriptBuf::from_bytes(script.clone());
        assert_eq!(check_one(&tx, &spent, 0), Err(expected), "{script:02x?}");
        tx.input[0].witness = Witness::new();
        assert_eq!(check_one(&tx, &spent, 0), Err(expected), "{script:02x?}");
        assert!(!is_spendable_kind(&spent[0].script_pubkey));
    }
    assert!(is_spendable_kind(&alice().script()) && is_spendable_kind(&bob().script()));
}

/// A program that Script reads as false fails before its witness is looked at.
#[test]
fn a_program_of_zeros_is_false() {
    for (last, expected) in [
        (0x00, SpendError::EvaluatesToFalse),
        (0x80, SpendError::EvaluatesToFalse),
        (0x01, SpendError::WitnessEmpty),
    ] {
        let (mut tx, mut spent) = signed(2);
        let mut script = [&[0x51, 0x20][..], &[0; 32]].concat();
        script[33] = last;
        spent[0].script_pubkey = ScriptBuf::from_bytes(script);
        tx.input[0].witness = Witness::new();
        assert_eq!(check_one(&tx, &spent, 0), Err(expected));
    }
}

#[test]
fn every_reason_names_a_script_error() {
    assert_eq!(
        SpendError::SchnorrSize.script_error(),
        "Invalid Schnorr signature size"
    );
    assert_eq!(
        SpendError::EvaluatesToFalse.script_error(),
        "Script evaluated without error but finished with a false/empty top stack element"
    );
}

proptest! {
    /// No bit of a witness can be flipped, in either kind, without the spend becoming invalid.
    #[test]
    fn prop_every_bit_of_a_witness_matters(input in 0usize..2, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (mut tx, spent) = signed(2);
        let mut items = tx.input[input].witness.to_vec();
        let bytes = items.iter().map(Vec::len).sum();
        let byte = items.iter_mut().flatten().nth(at.index(bytes)).expect("a byte");
        *byte ^= 1 << bit;
        tx.input[input].witness = Witness::from_slice(&items);
        prop_assert!(check_one(&tx, &spent, input).is_err());
    }

    /// Whatever a witness holds, the check ends in a verdict.
    #[test]
    fn prop_any_witness_gets_a_verdict(
        input in 0usize..2,
        items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4),
    ) {
        let (mut tx, spent) = signed(1);
        tx.input[input].witness = Witness::from_slice(&items);
        prop_assert!(check_one(&tx, &spent, input).is_err());
    }
}
