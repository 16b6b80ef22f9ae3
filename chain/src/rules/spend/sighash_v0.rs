//! What a version 0 witness signature signs (BIP 143), for every signature-hash byte.
//!
//! The `bitcoin` crate knows the six defined types only. Consensus knows 256: undefined bytes hash like the type that their
//! low bits name, and the byte itself is part of what is signed.

use bitcoin::consensus::Encodable;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Transaction, TxOut};

const NONE: u8 = 2;
const SINGLE: u8 = 3;
const BASE_TYPE_MASK: u8 = 0x1f;
const ANYONE_CAN_PAY: u8 = 0x80;

/// The hashes that all inputs of a transaction share, each computed when first needed.
#[derive(Debug, Default)]
pub(super) struct SharedHashes {
    outpoints: Option<sha256d::Hash>,
    sequences: Option<sha256d::Hash>,
    outputs: Option<sha256d::Hash>,
}

impl SharedHashes {
    /// What the signature with type byte `hash_type` signs for P2WPKH input `index`, which spends `spent` with the key hash
    /// `key_hash`.
    pub(super) fn p2wpkh(
        &mut self,
        tx: &Transaction,
        index: usize,
        spent: &TxOut,
        key_hash: &[u8; 20],
        hash_type: u8,
    ) -> sha256d::Hash {
        let base_type = hash_type & BASE_TYPE_MASK;
        let one_output = base_type == SINGLE;
        let all_outputs = !one_output && base_type != NONE;
        let all_inputs = hash_type & ANYONE_CAN_PAY == 0;
        let zero = sha256d::Hash::all_zeros();

        let outpoints = match all_inputs {
            true => *self.outpoints.get_or_insert_with(|| hash_outpoints(tx)),
            false => zero,
        };
        let sequences = match all_inputs && all_outputs {
            true => *self.sequences.get_or_insert_with(|| hash_sequences(tx)),
            false => zero,
        };
        let outputs = match tx.output.get(index) {
            _ if all_outputs => *self.outputs.get_or_insert_with(|| hash_of(&tx.output)),
            Some(output) if one_output => hash_of(std::slice::from_ref(output)),
            _ => zero,
        };

        let input = &tx.input[index];
        let mut engine = sha256d::Hash::engine();
        write(&tx.version, &mut engine);
        engine.input(outpoints.as_ref());
        engine.input(sequences.as_ref());
        write(&input.previous_output, &mut engine);
        // The script code: DUP HASH160 <key hash> EQUALVERIFY CHECKSIG, 25 bytes.
        engine.input(&[0x19, 0x76, 0xa9, 0x14]);
        engine.input(key_hash);
        engine.input(&[0x88, 0xac]);
        write(&spent.value, &mut engine);
        write(&input.sequence, &mut engine);
        engine.input(outputs.as_ref());
        write(&tx.lock_time, &mut engine);
        engine.input(&u32::from(hash_type).to_le_bytes());
        sha256d::Hash::from_engine(engine)
    }
}

fn hash_outpoints(tx: &Transaction) -> sha256d::Hash {
    let mut engine = sha256d::Hash::engine();
    tx.input
        .iter()
        .for_each(|input| write(&input.previous_output, &mut engine));
    sha256d::Hash::from_engine(engine)
}

fn hash_sequences(tx: &Transaction) -> sha256d::Hash {
    let mut engine = sha256d::Hash::engine();
    tx.input
        .iter()
        .for_each(|input| write(&input.sequence, &mut engine));
    sha256d::Hash::from_engine(engine)
}

fn hash_of(outputs: &[TxOut]) -> sha256d::Hash {
    let mut engine = sha256d::Hash::engine();
    outputs.iter().for_each(|output| write(output, &mut engine));
    sha256d::Hash::from_engine(engine)
}

fn write(value: &impl Encodable, engine: &mut bitcoin::hashes::sha256::HashEngine) {
    value
        .consensus_encode(engine)
        .expect("a hash engine takes every byte");
}
