//! The form of transactions before BIP 144, without witnesses. One without inputs can only be told in it: there the count of inputs,
//! 0, would be taken for the mark of the other form.

use bitcoin::consensus::{Decodable, Encodable};
use bitcoin::{Transaction, TxIn, TxOut, absolute, transaction};

/// Reads all of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Option<Transaction> {
    let mut rest = bytes;
    let read = Transaction {
        version: transaction::Version::consensus_decode(&mut rest).ok()?,
        input: Vec::<TxIn>::consensus_decode(&mut rest).ok()?,
        output: Vec::<TxOut>::consensus_decode(&mut rest).ok()?,
        lock_time: absolute::LockTime::consensus_decode(&mut rest).ok()?,
    };
    rest.is_empty().then_some(read)
}

/// The bytes of a transaction that has no witnesses.
pub(super) fn encode(transaction: &Transaction) -> Vec<u8> {
    let mut bytes = Vec::new();
    let parts: [&dyn Fn(&mut Vec<u8>) -> _; 4] = [
        &|out| transaction.version.consensus_encode(out),
        &|out| transaction.input.consensus_encode(out),
        &|out| transaction.output.consensus_encode(out),
        &|out| transaction.lock_time.consensus_encode(out),
    ];
    for part in parts {
        part(&mut bytes).expect("memory takes all");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_without_inputs_is_read_as_it_is_written() {
        let empty = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![],
            output: vec![TxOut {
                value: bitcoin::Amount::from_sat(7),
                script_pubkey: bitcoin::ScriptBuf::new(),
            }],
        };
        let bytes = encode(&empty);
        assert_eq!(bytes[4..6], [0, 1], "no inputs, one output");
        assert_eq!(decode(&bytes), Some(empty));
        assert_eq!(decode(&bytes[1..]), None);
    }
}
