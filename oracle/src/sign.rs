//! Signatures of every kind that consensus allows, and of some that it does not.

use bitcoin::hashes::{Hash, hash160, sha256d};
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, SecretKey, ecdsa};
use bitcoin::sighash::{Annex, Prevouts, SighashCache};
use bitcoin::{
    ScriptBuf, TapSighashType, Transaction, TxOut, WPubkeyHash, Witness, consensus::serialize,
};

/// The order of the curve, big-endian.
const CURVE_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// How a public key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    Compressed,
    Uncompressed,
    Hybrid,
    /// As hybrid, with the other parity in its first byte: no key.
    WrongHybrid,
}

/// The bytes of a public key.
pub(crate) fn key_bytes(pair: &Keypair, form: KeyForm) -> Vec<u8> {
    let long = pair.public_key().serialize_uncompressed();
    let odd = long[64] & 1;
    let with_first = |first: u8| [&[first], &long[1..]].concat();
    match form {
        KeyForm::Compressed => pair.public_key().serialize().to_vec(),
        KeyForm::Uncompressed => long.to_vec(),
        KeyForm::Hybrid => with_first(6 + odd),
        KeyForm::WrongHybrid => with_first(7 - odd),
    }
}

/// The P2WPKH output script for a key of any form.
pub(crate) fn p2wpkh_script(key: &[u8]) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(hash160::Hash::hash(key)))
}

/// The digest of BIP 143 for P2WPKH, for any byte of a signature-hash type: written from the BIP, apart from the code under
/// test.
pub(crate) fn v0_digest(tx: &Transaction, index: usize, spent: &TxOut, hash_type: u8) -> [u8; 32] {
    let anyone_can_pay = hash_type & 0x80 != 0;
    let (none, single) = (hash_type & 0x1f == 2, hash_type & 0x1f == 3);
    let double = |bytes: Vec<u8>| sha256d::Hash::hash(&bytes).to_byte_array();
    let of_inputs =
        |part: &dyn Fn(&bitcoin::TxIn) -> Vec<u8>| double(tx.input.iter().flat_map(part).collect());
    let prevouts = if anyone_can_pay {
        [0; 32]
    } else {
        of_inputs(&|input| serialize(&input.previous_output))
    };
    let sequences = if anyone_can_pay || none || single {
        [0; 32]
    } else {
        of_inputs(&|input| serialize(&input.sequence))
    };
    let outputs = if none {
        [0; 32]
    } else if single {
        tx.output
            .get(index)
            .map_or([0; 32], |output| double(serialize(output)))
    } else {
        double(tx.output.iter().flat_map(serialize).collect())
    };
    let program = &spent.script_pubkey.as_bytes()[2..];
    let code = [&[0x76, 0xa9, 0x14], program, &[0x88, 0xac]].concat();
    let input = &tx.input[index];
    double(
        [
            serialize(&tx.version),
            prevouts.to_vec(),
            sequences.to_vec(),
            serialize(&input.previous_output),
            serialize(&ScriptBuf::from_bytes(code)),
            serialize(&spent.value),
            serialize(&input.sequence),
            outputs.to_vec(),
            serialize(&tx.lock_time),
            u32::from(hash_type).to_le_bytes().to_vec(),
        ]
        .concat(),
    )
}

/// DER of an ECDSA signature, and its type after it.
pub(crate) fn v0_signature(
    secret: &SecretKey,
    tx: &Transaction,
    index: usize,
    spent: &TxOut,
    hash_type: u8,
) -> Vec<u8> {
    let digest = v0_digest(tx, index, spent, hash_type);
    let signature = Secp256k1::new().sign_ecdsa(&Message::from_digest(digest), secret);
    let mut bytes = signature.serialize_der().to_vec();
    bytes.push(hash_type);
    bytes
}

/// The same signature with the other S.
pub(crate) fn with_other_s(signature: &[u8]) -> Vec<u8> {
    let (hash_type, der) = signature.split_last().expect("a signature");
    let compact = ecdsa::Signature::from_der(der)
        .expect("it is DER")
        .serialize_compact();
    let s = subtract(&CURVE_ORDER, compact[32..].try_into().expect("32 bytes"));
    let mut integers = Vec::new();
    for integer in [&compact[..32], &s] {
        let start = integer.iter().position(|byte| *byte != 0).unwrap_or(31);
        let mut integer = integer[start..].to_vec();
        if integer[0] >= 0x80 {
            integer.insert(0, 0);
        }
        integers.extend([2, integer.len() as u8]);
        integers.extend(integer);
    }
    let mut bytes = vec![0x30, integers.len() as u8];
    bytes.extend(integers);
    bytes.push(*hash_type);
    bytes
}

fn subtract(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let mut result = [0; 32];
    let mut borrow = 0i16;
    for i in (0..32).rev() {
        let digit = i16::from(a[i]) - i16::from(b[i]) - borrow;
        borrow = i16::from(digit < 0);
        result[i] = digit.rem_euclid(256) as u8;
    }
    result
}

/// A P2TR witness by key. The type is written out unless it is the default; SINGLE must have its output.
pub(crate) fn taproot_witness(
    pair: &Keypair,
    tx: &Transaction,
    index: usize,
    spent: &[TxOut],
    hash_type: TapSighashType,
    annex: Option<&[u8]>,
) -> Witness {
    let marked = annex.map(|bytes| Annex::new(bytes).expect("begins with 0x50"));
    let digest = SighashCache::new(tx)
        .taproot_signature_hash(index, &Prevouts::All(spent), marked, None, hash_type)
        .expect("one output for each input");
    let signature = Secp256k1::new().sign_schnorr_no_aux_rand(&Message::from(digest), pair);
    let mut bytes = signature.serialize().to_vec();
    if hash_type != TapSighashType::Default {
        bytes.push(hash_type as u8);
    }
    let mut witness = Witness::from_slice(&[bytes]);
    if let Some(annex) = annex {
        witness.push(annex);
    }
    witness
}
