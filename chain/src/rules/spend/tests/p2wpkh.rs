//! P2WPKH: lax where consensus is.

use super::*;

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
