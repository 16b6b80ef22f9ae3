//! Version 1 witness programs of 32 bytes by key: one Schnorr signature (BIP 340, 341).

use std::borrow::Borrow;

use bitcoin::secp256k1::{Message, XOnlyPublicKey, schnorr};
use bitcoin::sighash::{Annex, Prevouts, SighashCache};
use bitcoin::taproot::ControlBlock;
use bitcoin::{Script, TapSighash, TapSighashType, TxOut, Witness};

use super::{CURVE, InputHashes};
use crate::rules::error::{SpendError, Unsupported};

/// The first byte of an annex.
const ANNEX_TAG: u8 = 0x50;

/// Sizes of a control block: a leaf version with parity and a key, and up to 128 hashes.
const CONTROL_BASE_SIZE: usize = 33;
const CONTROL_NODE_SIZE: usize = 32;
const CONTROL_MAX_NODES: usize = 128;

/// Checks the witness of input `index`.
pub(super) fn check<O: Borrow<TxOut>>(
    hashes: &mut InputHashes<'_, O>,
    index: usize,
    output_key: [u8; 32],
) -> Result<(), SpendError> {
    let witness = &hashes.tx.input[index].witness;
    match witness_of(witness) {
        TaprootWitness::Empty => Err(SpendError::WitnessEmpty),
        TaprootWitness::Key { signature, annex } => {
            check_key_path(hashes, index, output_key, signature, annex)
        }
        TaprootWitness::Script { script, control } => {
            Err(refuse_script_path(script, control, output_key))
        }
    }
}

/// What a taproot witness says, read from its end: annex, control block, script.
enum TaprootWitness<'a> {
    Empty,
    Key {
        signature: &'a [u8],
        annex: Option<&'a [u8]>,
    },
    Script {
        script: &'a [u8],
        control: &'a [u8],
    },
}

fn witness_of(witness: &Witness) -> TaprootWitness<'_> {
    let last = witness.last().unwrap_or_default();
    let annex = (witness.len() >= 2 && last.first() == Some(&ANNEX_TAG)).then_some(last);
    let items = witness.len() - usize::from(annex.is_some());
    let from_end = |n: usize| {
        items
            .checked_sub(n)
            .and_then(|i| witness.nth(i))
            .unwrap_or_default()
    };
    match items {
        0 => TaprootWitness::Empty,
        1 => TaprootWitness::Key {
            signature: from_end(1),
            annex,
        },
        _ => TaprootWitness::Script {
            script: from_end(2),
            control: from_end(1),
        },
    }
}

fn check_key_path<O: Borrow<TxOut>>(
    hashes: &mut InputHashes<'_, O>,
    index: usize,
    output_key: [u8; 32],
    signature: &[u8],
    annex: Option<&[u8]>,
) -> Result<(), SpendError> {
    let (signature, hash_type) = split_signature(signature)?;
    let digest = sighash(hashes, index, annex, hash_type).ok_or(SpendError::SchnorrHashType)?;
    let signature = schnorr::Signature::from_slice(signature);
    let key = XOnlyPublicKey::from_slice(&output_key);
    match (signature, key) {
        (Ok(signature), Ok(key))
            if CURVE
                .verify_schnorr(&signature, &Message::from(digest), &key)
                .is_ok() =>
        {
            Ok(())
        }
        _ => Err(SpendError::SchnorrSignature),
    }
}

/// The 64 bytes of the signature and its type: the default, or a 65th byte, which must not say the default again.
fn split_signature(signature: &[u8]) -> Result<(&[u8], TapSighashType), SpendError> {
    match signature.len() {
        64 => Ok((signature, TapSighashType::Default)),
        65 => match TapSighashType::from_consensus_u8(signature[64]) {
            Ok(TapSighashType::Default) | Err(_) => Err(SpendError::SchnorrHashType),
            Ok(hash_type) => Ok((&signature[..64], hash_type)),
        },
        _ => Err(SpendError::SchnorrSize),
    }
}

/// What the signature signs; `None` for SINGLE without an output beside the input.
fn sighash<O: Borrow<TxOut>>(
    hashes: &mut InputHashes<'_, O>,
    index: usize,
    annex: Option<&[u8]>,
    hash_type: TapSighashType,
) -> Option<TapSighash> {
    let (tx, spent) = (hashes.tx, hashes.spent);
    if let (None, TapSighashType::Default | TapSighashType::All) = (annex, hash_type) {
        return Some(hashes.v1.all(tx, spent, index, hash_type as u8));
    }
    let annex = annex.map(|bytes| Annex::new(bytes).expect("begins with the annex tag"));
    hashes
        .v1_others
        .get_or_insert_with(|| SighashCache::new(tx))
        .taproot_signature_hash(index, &Prevouts::All(spent), annex, None, hash_type)
        .ok()
}

/// Refuses a spend by script. Where the output does not even commit to the script, that is Core's verdict too; else it is ours.
fn refuse_script_path(script: &[u8], control: &[u8], output_key: [u8; 32]) -> SpendError {
    let nodes = control.len().checked_sub(CONTROL_BASE_SIZE);
    let nodes = nodes
        .filter(|bytes| bytes % CONTROL_NODE_SIZE == 0)
        .map(|b| b / CONTROL_NODE_SIZE);
    if nodes.is_none_or(|nodes| nodes > CONTROL_MAX_NODES) {
        return SpendError::ControlBlockSize;
    }
    let committed = match (
        ControlBlock::decode(control),
        XOnlyPublicKey::from_slice(&output_key),
    ) {
        (Ok(control), Ok(output_key)) => {
            control.verify_taproot_commitment(&CURVE, output_key, Script::from_bytes(script))
        }
        // A leaf version that the library does not decode may be committed to nevertheless.
        (Err(bitcoin::taproot::TaprootError::InvalidTaprootLeafVersion(_)), Ok(_)) => true,
        _ => false,
    };
    if committed {
        Unsupported::ScriptPath.into()
    } else {
        SpendError::ProgramMismatch
    }
}
