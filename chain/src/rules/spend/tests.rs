use bitcoin::hashes::{Hash, hash160};
use bitcoin::hex::FromHex;
use bitcoin::secp256k1::{All, Message, Secp256k1, XOnlyPublicKey, ecdsa, schnorr};
use bitcoin::sighash::{Annex, EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Witness};
use proptest::prelude::*;

use super::*;
use crate::fixtures::{Key, Payment};
use crate::rules::vectors;

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

// P2TR

/// Alice's signature of input 0 with any type and annex; `None` appends no type byte.
fn taproot_signature(
    tx: &Transaction,
    spent: &[TxOut],
    hash_type: TapSighashType,
    annex: Option<&[u8]>,
) -> Vec<u8> {
    let annex = annex.map(|bytes| Annex::new(bytes).expect("begins with 0x50"));
    let sighash = SighashCache::new(tx)
        .taproot_signature_hash(0, &Prevouts::All(spent), annex, None, hash_type)
        .expect("an output beside the input");
    let signature = curve().sign_schnorr_no_aux_rand(&sighash.into(), &alice().signing_pair());
    let mut bytes = signature.serialize().to_vec();
    if hash_type != TapSighashType::Default {
        bytes.push(hash_type as u8);
    }
    bytes
}

/// Case 22: every type that BIP 341 defines, and every byte that it does not.
#[test]
fn taproot_takes_seven_signature_hash_types() {
    let (mut tx, spent) = unsigned(2);
    for byte in 0..=255u8 {
        let defined = TapSighashType::from_consensus_u8(byte).ok();
        let hash_type = defined.unwrap_or(TapSighashType::All);
        let mut signature = taproot_signature(&tx, &spent, hash_type, None);
        signature.truncate(64);
        signature.push(byte);
        tx.input[0].witness = Witness::from_slice(&[&signature]);
        let expected = match byte {
            1..=3 | 0x81..=0x83 => Ok(()),
            _ => Err(SpendError::SchnorrHashType),
        };
        assert_eq!(check_one(&tx, &spent, 0), expected, "type {byte:#04x}");
    }
    let signature = taproot_signature(&tx, &spent, TapSighashType::Default, None);
    assert_eq!(signature.len(), 64);
    tx.input[0].witness = Witness::from_slice(&[&signature]);
    assert_eq!(check_one(&tx, &spent, 0), Ok(()));
}

/// Case 22: the type is part of what is signed.
#[test]
fn a_taproot_signature_is_of_one_type() {
    let (tx, spent) = unsigned(2);
    let mut signature = taproot_signature(&tx, &spent, TapSighashType::All, None);
    for other in [2, 3, 0x81, 0x82, 0x83] {
        signature[64] = other;
        assert_eq!(
            with_witness(&[&signature], 0),
            Err(SpendError::SchnorrSignature)
        );
    }
    assert_eq!(
        with_witness(&[&signature[..64]], 0),
        Err(SpendError::SchnorrSignature)
    );
}

#[test]
fn taproot_single_needs_an_output_beside_the_input() {
    let (mut tx, mut spent) = unsigned(1);
    tx.input.swap(0, 1);
    spent.swap(0, 1);
    for hash_type in [0x03, 0x83] {
        let mut signature = vec![7; 64];
        signature.push(hash_type);
        tx.input[1].witness = Witness::from_slice(&[&signature]);
        assert_eq!(check_one(&tx, &spent, 1), Err(SpendError::SchnorrHashType));
    }
    tx.input[1].witness = Witness::from_slice(&[[7; 64]]);
    assert_eq!(check_one(&tx, &spent, 1), Err(SpendError::SchnorrSignature));
}

/// What each type leaves out may change afterwards.
#[test]
fn taproot_types_leave_out_what_they_say() {
    let check_after = |hash_type, change: fn(&mut Transaction)| {
        let (mut tx, spent) = unsigned(2);
        let signature = taproot_signature(&tx, &spent, hash_type, None);
        tx.input[0].witness = Witness::from_slice(&[&signature]);
        change(&mut tx);
        check_one(&tx, &spent, 0).is_ok()
    };
    let other_output: fn(&mut Transaction) = |tx| tx.output[1].value = Amount::ZERO;
    let own_output: fn(&mut Transaction) = |tx| tx.output[0].value = Amount::ZERO;
    let other_input: fn(&mut Transaction) = |tx| tx.input[1].sequence.0 += 1;
    for (hash_type, expected) in [
        (TapSighashType::Default, [false, false, false]),
        (TapSighashType::All, [false, false, false]),
        (TapSighashType::None, [true, true, false]),
        (TapSighashType::Single, [true, false, false]),
        (TapSighashType::AllPlusAnyoneCanPay, [false, false, true]),
        (TapSighashType::NonePlusAnyoneCanPay, [true, true, true]),
        (TapSighashType::SinglePlusAnyoneCanPay, [true, false, true]),
    ] {
        let got = [other_output, own_output, other_input].map(|c| check_after(hash_type, c));
        assert_eq!(got, expected, "{hash_type}");
    }
}

/// Case 22: 63, 64, 65, 66 bytes.
#[test]
fn a_schnorr_signature_has_64_or_65_bytes() {
    for bytes in [0, 1, 63, 66, 520, 5_000] {
        assert_eq!(
            with_witness(&[&vec![1; bytes]], 0),
            Err(SpendError::SchnorrSize),
            "{bytes}"
        );
    }
}

/// Case 22: a bad S, and an R that is not on the curve.
#[test]
fn schnorr_signatures_with_bad_numbers_are_refused() {
    let (tx, _) = signed(2);
    let good = item(&tx, 0, 0);
    for at in [0, 31, 32, 63] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(with_witness(&[&bad], 0), Err(SpendError::SchnorrSignature));
    }
    let mut s_too_big = good.clone();
    s_too_big[32..].fill(0xff);
    assert_eq!(
        with_witness(&[&s_too_big], 0),
        Err(SpendError::SchnorrSignature)
    );
    let mut r_too_big = good.clone();
    r_too_big[..32].fill(0xff);
    assert_eq!(
        with_witness(&[&r_too_big], 0),
        Err(SpendError::SchnorrSignature)
    );
}

/// Case 22: the wrong key, and an output key that is not on the curve.
#[test]
fn a_schnorr_signature_is_of_the_output_key() {
    let (tx, mut spent) = signed(2);
    spent[0].script_pubkey = Key::p2tr("carol").script();
    assert_eq!(check_one(&tx, &spent, 0), Err(SpendError::SchnorrSignature));
    let not_on_curve = [&[0x51, 0x20][..], &[0xff; 32]].concat();
    spent[0].script_pubkey = ScriptBuf::from_bytes(not_on_curve);
    assert_eq!(check_one(&tx, &spent, 0), Err(SpendError::SchnorrSignature));
}

/// Case 23: an annex is valid, and signed for.
#[test]
fn a_taproot_annex_is_signed() {
    let (mut tx, spent) = unsigned(2);
    for annex in [&[0x50][..], &[0x50, 1, 2, 3], &[0x50; 600]] {
        let signature = taproot_signature(&tx, &spent, TapSighashType::Default, Some(annex));
        tx.input[0].witness = Witness::from_slice(&[&signature, annex]);
        assert_eq!(check_one(&tx, &spent, 0), Ok(()));
        let other: &[u8] = &[0x50, 9];
        tx.input[0].witness = Witness::from_slice(&[&signature, other]);
        assert_eq!(check_one(&tx, &spent, 0), Err(SpendError::SchnorrSignature));
        tx.input[0].witness = Witness::from_slice(&[&signature]);
        assert_eq!(check_one(&tx, &spent, 0), Err(SpendError::SchnorrSignature));
    }
}

#[test]
fn an_annex_alone_is_a_signature() {
    assert_eq!(
        with_witness(&[&[0x50; 64]], 0),
        Err(SpendError::SchnorrSignature)
    );
    assert_eq!(with_witness(&[&[0x50, 1]], 0), Err(SpendError::SchnorrSize));
}

/// Case 23: script path, empty witness, and items that are neither.
#[test]
fn only_the_key_path_unlocks_taproot() {
    let (tx, _) = signed(2);
    let signature = item(&tx, 0, 0);
    assert_eq!(with_witness(&[], 0), Err(SpendError::WitnessEmpty));
    let cases: [(&[&[u8]], SpendError); 6] = [
        (&[&signature, &[]], SpendError::ControlBlockSize),
        (&[&signature, &[0xc0; 32]], SpendError::ControlBlockSize),
        (&[&signature, &[0xc0; 34]], SpendError::ControlBlockSize),
        (
            &[&signature, &[0xc0; 33 + 32 * 129]],
            SpendError::ControlBlockSize,
        ),
        (&[&signature, &[0xc0; 33]], SpendError::ProgramMismatch),
        (
            &[&signature, &[0xc0; 33], &[0x50]],
            SpendError::ProgramMismatch,
        ),
    ];
    for (items, expected) in cases {
        assert_eq!(with_witness(items, 0), Err(expected));
    }
}

/// Case 23: a script that the output does commit to is refused by name: here Core would run it.
#[test]
fn a_committed_script_is_refused_by_name() {
    let script = ScriptBuf::from_bytes(vec![0x51]);
    let internal_key = alice().pair().x_only_public_key().0;
    for leaf_version in [0xc0, 0xc2] {
        let version = bitcoin::taproot::LeafVersion::from_consensus(leaf_version).expect("even");
        let tree = bitcoin::taproot::TaprootBuilder::new()
            .add_leaf_with_ver(0, script.clone(), version)
            .map(|tree| tree.finalize(&curve(), internal_key).expect("complete"))
            .expect("one leaf");
        let control = tree
            .control_block(&(script.clone(), version))
            .expect("the leaf");
        let (mut tx, mut spent) = unsigned(1);
        spent[0].script_pubkey = ScriptBuf::new_p2tr_tweaked(tree.output_key());
        tx.input[0].witness = Witness::from_slice(&[script.to_bytes(), control.serialize()]);
        let expected = Err(Unsupported::ScriptPath.into());
        assert_eq!(
            check_one(&tx, &spent, 0),
            expected,
            "leaf version {leaf_version:#x}"
        );
    }
}

// P2WPKH

/// Bob's signature of input 1 with any type byte.
fn ecdsa_signature(tx: &Transaction, spent: &[TxOut], hash_type: u8) -> Vec<u8> {
    let key_hash = spent[1].script_pubkey.as_bytes()[2..]
        .try_into()
        .expect("20 bytes");
    let digest = sighash_v0::SharedHashes::default().p2wpkh(tx, 1, &spent[1], &key_hash, hash_type);
    let message = Message::from_digest(digest.to_byte_array());
    let signature = curve().sign_ecdsa(&message, &bob().pair().secret_key());
    let mut bytes = signature.serialize_der().to_vec();
    bytes.push(hash_type);
    bytes
}

fn bobs_key() -> Vec<u8> {
    bob().pair().public_key().serialize().to_vec()
}

/// Case 24: consensus takes every type byte in version 0, and it is part of what is signed.
#[test]
fn version_0_takes_every_signature_hash_byte() {
    for outputs in [1, 2] {
        let (mut tx, spent) = unsigned(outputs);
        for byte in 0..=255u8 {
            let mut signature = ecdsa_signature(&tx, &spent, byte);
            tx.input[1].witness = Witness::from_slice(&[signature.clone(), bobs_key()]);
            assert_eq!(check_one(&tx, &spent, 1), Ok(()), "type {byte:#04x}");
            *signature.last_mut().expect("a type byte") ^= 0x40;
            tx.input[1].witness = Witness::from_slice(&[signature, bobs_key()]);
            assert_eq!(check_one(&tx, &spent, 1), Err(SpendError::EvaluatesToFalse));
        }
    }
}

/// Where the library knows the type, both compute the same.
#[test]
fn version_0_hashes_equal_those_of_the_library() {
    for outputs in [0, 1, 2, 3] {
        let (tx, spent) = unsigned(outputs);
        for byte in [1, 2, 3, 0x81, 0x82, 0x83] {
            let expected = SighashCache::new(&tx)
                .p2wpkh_signature_hash(
                    1,
                    &spent[1].script_pubkey,
                    spent[1].value,
                    EcdsaSighashType::from_consensus(byte.into()),
                )
                .expect("P2WPKH");
            let key_hash = spent[1].script_pubkey.as_bytes()[2..]
                .try_into()
                .expect("20 bytes");
            let got =
                sighash_v0::SharedHashes::default().p2wpkh(&tx, 1, &spent[1], &key_hash, byte);
            assert_eq!(
                got.to_byte_array(),
                expected.to_byte_array(),
                "{byte:#x}, {outputs} outputs"
            );
        }
    }
}

/// Case 24: a high S is against policy, not against consensus.
#[test]
fn a_high_s_is_valid() {
    let (tx, _) = signed(2);
    let der = item(&tx, 1, 0);
    let low = ecdsa::Signature::from_der(&der[..der.len() - 1]).expect("DER");
    let mut compact = low.serialize_compact();
    let s = bitcoin::secp256k1::SecretKey::from_slice(&compact[32..]).expect(HALF_ORDER_AND_MORE);
    compact[32..].copy_from_slice(&s.negate().secret_bytes());
    let high = ecdsa::Signature::from_compact(&compact).expect("in range");
    let mut bytes = high.serialize_der().to_vec();
    bytes.push(1);
    assert_ne!(bytes, der);
    assert_eq!(with_witness(&[&bytes, &bobs_key()], 1), Ok(()));
}

/// Bob is paid to the hash of `key`, some form of his public key, and spends with it.
fn spend_with_key_form(key: &[u8]) -> Result<(), SpendError> {
    let (mut tx, mut spent) = unsigned(2);
    let hash = hash160::Hash::hash(key).to_byte_array();
    spent[1].script_pubkey = ScriptBuf::from_bytes([&[0x00, 0x14][..], &hash].concat());
    let signature = ecdsa_signature(&tx, &spent, 1);
    tx.input[1].witness = Witness::from_slice(&[&signature, key]);
    check_one(&tx, &spent, 1)
}

/// Case 24: uncompressed and hybrid keys are against policy, not against consensus.
#[test]
fn every_form_of_a_key_is_valid() {
    let key = bob().pair().public_key();
    assert_eq!(spend_with_key_form(&key.serialize()), Ok(()));
    let uncompressed = key.serialize_uncompressed();
    assert_eq!(spend_with_key_form(&uncompressed), Ok(()));
    let parity = uncompressed[64] & 1;
    let mut hybrid = uncompressed;
    hybrid[0] = 6 | parity;
    assert_eq!(spend_with_key_form(&hybrid), Ok(()));
    hybrid[0] = 6 | (parity ^ 1);
    assert_eq!(
        spend_with_key_form(&hybrid),
        Err(SpendError::EvaluatesToFalse)
    );
}

#[test]
fn bytes_that_are_no_key_do_not_sign() {
    let key = bobs_key();
    let long = [&key[..], &[0]].concat();
    let mut unknown_form = key.clone();
    unknown_form[0] = 5;
    let not_on_curve = [&[2][..], &[0xff; 32]].concat();
    for bytes in [
        &[][..],
        &key[..32],
        &long,
        &unknown_form,
        &not_on_curve,
        &[4; 33],
        &[2; 65],
    ] {
        assert_eq!(
            spend_with_key_form(bytes),
            Err(SpendError::EvaluatesToFalse),
            "{bytes:02x?}"
        );
    }
}

/// Case 24: wrong key hash, missing and extra items, items that are too long.
#[test]
fn a_p2wpkh_witness_is_a_signature_and_the_key() {
    let (tx, _) = signed(2);
    let (signature, key) = (item(&tx, 1, 0), item(&tx, 1, 1));
    let mismatch = Err(SpendError::ProgramMismatch);
    assert_eq!(with_witness(&[], 1), mismatch);
    assert_eq!(with_witness(&[&signature], 1), mismatch);
    assert_eq!(with_witness(&[&signature, &key, &[]], 1), mismatch);
    let carol = Key::p2wpkh("carol").pair().public_key().serialize();
    assert_eq!(
        with_witness(&[&signature, &carol], 1),
        Err(SpendError::WrongKey)
    );
    assert_eq!(
        with_witness(&[&[1; 521], &key], 1),
        Err(SpendError::ItemTooLong)
    );
    assert_eq!(
        with_witness(&[&[1; 520], &key], 1),
        Err(SpendError::NotStrictDer)
    );
    assert_eq!(
        with_witness(&[&signature, &[1; 521]], 1),
        Err(SpendError::ItemTooLong)
    );
}

/// Case 24: no signature, not DER, DER with padding, DER of numbers out of range.
#[test]
fn an_ecdsa_signature_is_strict_der() {
    let (tx, _) = signed(2);
    let (signature, key) = (item(&tx, 1, 0), item(&tx, 1, 1));
    let with = |signature: &[u8]| with_witness(&[signature, &key], 1);
    assert_eq!(
        with(&[]),
        Err(SpendError::EvaluatesToFalse),
        "empty is well-formed"
    );
    assert_eq!(with(&[1]), Err(SpendError::NotStrictDer));
    assert_eq!(
        with(&signature[..signature.len() - 1]),
        Err(SpendError::NotStrictDer)
    );
    let padded = [&signature[..], &[1]].concat();
    assert_eq!(with(&padded), Err(SpendError::NotStrictDer));
    assert_eq!(
        with(&[0x30, 6, 2, 1, 0, 2, 1, 0, 1]),
        Err(SpendError::EvaluatesToFalse),
        "zeros"
    );
    let mut above_order = vec![0x30, 70, 2, 33, 0];
    above_order.extend([0xff; 32]);
    above_order.extend([2, 33, 0]);
    above_order.extend([0xff; 32]);
    above_order.push(1);
    assert_eq!(with(&above_order), Err(SpendError::EvaluatesToFalse));
}

// Both, and neither

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

// Published vectors

fn bytes(hex: &str) -> Vec<u8> {
    Vec::from_hex(hex).expect("hex")
}

fn transaction(hex: &str) -> Transaction {
    bitcoin::consensus::encode::deserialize_hex(hex).expect("a transaction")
}

/// Vectors 15 to 18 have messages that are not 32 bytes long, which no transaction signs.
#[test]
fn vectors_of_bip_340() {
    let Some(text) = vectors::read("bips/bip-0340-test-vectors.csv") else {
        return;
    };
    let mut checked = 0;
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let Ok(message) = <[u8; 32]>::from_hex(columns[4]) else {
            continue;
        };
        let message = Message::from_digest(message);
        let signature = schnorr::Signature::from_slice(&bytes(columns[5])).expect("64 bytes");
        let valid = XOnlyPublicKey::from_slice(&bytes(columns[2]))
            .is_ok_and(|key| CURVE.verify_schnorr(&signature, &message, &key).is_ok());
        assert_eq!(valid, columns[6] == "TRUE", "vector {}", columns[0]);
        checked += 1;
    }
    assert_eq!(checked, 15);
}

#[test]
fn vectors_of_bip_341() {
    let Some(text) = vectors::read("bips/bip-0341-wallet-test-vectors.json") else {
        return;
    };
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let case = &json["keyPathSpending"][0];
    let tx = transaction(case["auxiliary"]["fullySignedTx"].as_str().expect("hex"));
    let spent: Vec<TxOut> = case["given"]["utxosSpent"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|utxo| TxOut {
            value: Amount::from_sat(utxo["amountSats"].as_u64().expect("satoshis")),
            script_pubkey: ScriptBuf::from_bytes(bytes(
                utxo["scriptPubKey"].as_str().expect("hex"),
            )),
        })
        .collect();
    let mut checked = 0;
    for input in case["inputSpending"].as_array().expect("a list") {
        let index = input["given"]["txinIndex"].as_u64().expect("an index") as usize;
        assert_eq!(check_one(&tx, &spent, index), Ok(()), "input {index}");
        let mut tx = tx.clone();
        let mut signature = item(&tx, index, 0);
        signature[10] ^= 1;
        tx.input[index].witness = Witness::from_slice(&[signature]);
        assert_eq!(
            check_one(&tx, &spent, index),
            Err(SpendError::SchnorrSignature)
        );
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[test]
fn vectors_of_bip_143() {
    let Some(text) = vectors::read("bips/bip-0143-p2wpkh.json") else {
        return;
    };
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let field = |name: &str| json[name].as_str().expect("text");
    let tx = transaction(field("signed_tx"));
    let index = json["input_index"].as_u64().expect("an index") as usize;
    let output = TxOut {
        value: Amount::from_sat(json["value_sat"].as_u64().expect("satoshis")),
        script_pubkey: ScriptBuf::from_bytes(bytes(field("script_pubkey"))),
    };
    let key_hash = output.script_pubkey.as_bytes()[2..]
        .try_into()
        .expect("20 bytes");
    let digest = sighash_v0::SharedHashes::default().p2wpkh(&tx, index, &output, &key_hash, 1);
    assert_eq!(digest.to_byte_array().to_vec(), bytes(field("sighash")));
    let spent = vec![output; 2];
    assert_eq!(check_one(&tx, &spent, index), Ok(()));
}
