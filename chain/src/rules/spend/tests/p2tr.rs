//! P2TR by key, and what is refused of the script path.

use super::*;

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

proptest! {
    /// The common message is hashed here, the others by the `bitcoin` crate: both say the same of any transaction.
    #[test]
    fn the_common_message_is_that_of_the_other_implementation(
        version in any::<i32>(),
        lock_time in any::<u32>(),
        inputs in proptest::collection::vec((any::<[u8; 32]>(), any::<u32>(), any::<u32>()), 1..5),
        spent in proptest::collection::vec((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300)), 5),
        outputs in proptest::collection::vec((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..5),
    ) {
        let output = |(sat, script): (u64, Vec<u8>)| TxOut {
            value: Amount::from_sat(sat),
            script_pubkey: ScriptBuf::from_bytes(script),
        };
        let input = |(txid, vout, sequence)| bitcoin::TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array(txid), vout },
            sequence: bitcoin::Sequence(sequence),
            ..Default::default()
        };
        let tx = Transaction {
            version: bitcoin::transaction::Version(version),
            lock_time: bitcoin::absolute::LockTime::from_consensus(lock_time),
            input: inputs.into_iter().map(input).collect(),
            output: outputs.into_iter().map(output).collect(),
        };
        let spent: Vec<TxOut> = spent.into_iter().take(tx.input.len()).map(output).collect();
        let mut ours = sighash_v1::SharedHashes::default();
        let mut theirs = SighashCache::new(&tx);
        for index in 0..tx.input.len() {
            for hash_type in [TapSighashType::Default, TapSighashType::All] {
                let expected = theirs
                    .taproot_signature_hash(index, &Prevouts::All(&spent), None, None, hash_type)
                    .expect("defined for every input");
                prop_assert_eq!(ours.all(&tx, &spent, index, hash_type as u8), expected);
            }
        }
    }
}
