//! Version 0 witness programs of 20 bytes: one ECDSA signature (BIP 141, 143, 66).

use std::borrow::Borrow;

use bitcoin::TxOut;
use bitcoin::hashes::{Hash, hash160};
use bitcoin::secp256k1::{Message, PublicKey, ecdsa};

use super::der::is_strict_der;
use super::{CURVE, InputHashes};
use crate::rules::error::SpendError;

/// Longest item that Script takes.
const MAX_ITEM_SIZE: usize = 520;

/// Checks the witness of input `index`, in the order in which Core runs the implied script: two items, their sizes, the
/// key's hash, the signature's encoding, the signature.
pub(super) fn check<O: Borrow<TxOut>>(
    hashes: &mut InputHashes<'_, O>,
    index: usize,
    key_hash: [u8; 20],
) -> Result<(), SpendError> {
    let witness = &hashes.tx.input[index].witness;
    let (2, Some(signature), Some(key)) = (witness.len(), witness.nth(0), witness.nth(1)) else {
        return Err(SpendError::ProgramMismatch);
    };
    if signature.len() > MAX_ITEM_SIZE || key.len() > MAX_ITEM_SIZE {
        return Err(SpendError::ItemTooLong);
    }
    if hash160::Hash::hash(key).to_byte_array() != key_hash {
        return Err(SpendError::WrongKey);
    }
    // An empty signature is the proper way to fail.
    let Some((hash_type, der)) = signature.split_last() else {
        return Err(SpendError::EvaluatesToFalse);
    };
    if !is_strict_der(signature) {
        return Err(SpendError::NotStrictDer);
    }
    let spent = hashes.spent[index].borrow();
    let digest = hashes
        .v0
        .p2wpkh(hashes.tx, index, spent, &key_hash, *hash_type);
    if is_signed(digest.to_byte_array(), der, key) {
        Ok(())
    } else {
        Err(SpendError::EvaluatesToFalse)
    }
}

/// Whether `der` is a signature of `digest` by `key`. A high S is as good as a low one, which alone the library takes.
fn is_signed(digest: [u8; 32], der: &[u8], key: &[u8]) -> bool {
    let Some(key) = parse_key(key) else {
        return false;
    };
    let Ok(mut signature) = ecdsa::Signature::from_der_lax(der) else {
        return false;
    };
    signature.normalize_s();
    CURVE
        .verify_ecdsa(&Message::from_digest(digest), &signature, &key)
        .is_ok()
}

/// A compressed (33 bytes), uncompressed or hybrid (65 bytes) key. All three are valid in blocks; only relay policy wants
/// the first.
fn parse_key(key: &[u8]) -> Option<PublicKey> {
    match (key.first()?, key.len()) {
        (0x02 | 0x03, 33) | (0x04 | 0x06 | 0x07, 65) => PublicKey::from_slice(key).ok(),
        _ => None,
    }
}
