//! What the common taproot key signature signs (BIP 341): all inputs and outputs, and no annex.
//!
//! The `bitcoin` crate hashes this too, and all the rest; it takes twice as long, which is a fortieth of the whole check.

use std::borrow::Borrow;

use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::{TapSighash, Transaction, TxOut};

const HASH_BYTES: usize = 32;

/// Hashes of all outpoints, amounts, scripts, sequences and outputs, in this order.
const SHARED_BYTES: usize = 5 * HASH_BYTES;

/// Epoch, type, version, lock time; the shared hashes; kind of spend, index.
const MESSAGE_BYTES: usize = 10 + SHARED_BYTES + 5;

/// The hashes that all inputs of a transaction share, computed when first needed.
#[derive(Debug, Default)]
pub(super) struct SharedHashes(Option<[u8; SHARED_BYTES]>);

impl SharedHashes {
    /// What the signature of input `index` signs. `hash_type` is 0 (the default) or 1 (all): both sign everything, and the byte
    /// itself.
    pub(super) fn all<O: Borrow<TxOut>>(
        &mut self,
        tx: &Transaction,
        spent: &[O],
        index: usize,
        hash_type: u8,
    ) -> TapSighash {
        let shared = self.0.get_or_insert_with(|| hash_shared(tx, spent));
        let index = u32::try_from(index).expect("a transaction has fewer inputs");
        let mut message = [0; MESSAGE_BYTES];
        message[1] = hash_type;
        message[2..6].copy_from_slice(&tx.version.0.to_le_bytes());
        message[6..10].copy_from_slice(&tx.lock_time.to_consensus_u32().to_le_bytes());
        message[10..170].copy_from_slice(shared);
        message[171..].copy_from_slice(&index.to_le_bytes());
        let mut engine = TapSighash::engine();
        engine.input(&message);
        TapSighash::from_engine(engine)
    }
}

fn hash_shared<O: Borrow<TxOut>>(tx: &Transaction, spent: &[O]) -> [u8; SHARED_BYTES] {
    let inputs = tx.input.iter();
    let spent = || spent.iter().map(Borrow::borrow);
    let hashes = [
        hash_each(inputs.clone(), |input, engine| {
            let mut outpoint = [0; 36];
            outpoint[..32].copy_from_slice(input.previous_output.txid.as_byte_array());
            outpoint[32..].copy_from_slice(&input.previous_output.vout.to_le_bytes());
            engine.input(&outpoint);
        }),
        hash_each(spent(), |output: &TxOut, engine| {
            engine.input(&output.value.to_sat().to_le_bytes());
        }),
        hash_each(spent(), |output: &TxOut, engine| {
            write(&output.script_pubkey, engine);
        }),
        hash_each(inputs, |input, engine| {
            engine.input(&input.sequence.0.to_le_bytes());
        }),
        hash_each(tx.output.iter(), write),
    ];
    let mut shared = [0; SHARED_BYTES];
    shared.copy_from_slice(hashes.as_flattened());
    shared
}

fn hash_each<T>(
    items: impl Iterator<Item = T>,
    write: impl Fn(T, &mut sha256::HashEngine),
) -> [u8; HASH_BYTES] {
    let mut engine = sha256::Hash::engine();
    items.for_each(|item| write(item, &mut engine));
    sha256::Hash::from_engine(engine).to_byte_array()
}

fn write(value: &impl Encodable, engine: &mut sha256::HashEngine) {
    value
        .consensus_encode(engine)
        .expect("a hash engine takes every byte");
}
