//! What became of every payment in the end.

use std::collections::BTreeSet;

use bitcoin::{Block, OutPoint, Txid};
use serde::Serialize;

use crate::pay::SentPayment;

/// Payments by what became of them. Every payment that a node took is in exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// In a block of the final chain.
    pub confirmed: usize,
    /// In the mempool of some node.
    pub waiting: usize,
    /// A coin that it spends was spent by another payment of the final chain.
    pub conflicted: usize,
    /// None of these. With a node that crashed, what only that node knew may be lost.
    pub lost: Vec<Txid>,
}

/// Sorts payments by their fates.
pub(super) fn sort(sent: &[SentPayment], chain: &[Block], mempools: &BTreeSet<Txid>) -> Fates {
    let transactions = || chain.iter().flat_map(|block| &block.txdata);
    let confirmed: BTreeSet<Txid> = transactions().map(|tx| tx.compute_txid()).collect();
    let spent: BTreeSet<OutPoint> = transactions()
        .flat_map(|tx| &tx.input)
        .map(|input| input.previous_output)
        .collect();
    let mut fates = Fates::default();
    let mut conflicted: BTreeSet<Txid> = BTreeSet::new();
    // In the order of sending: what spends the change of a payment that was lost to a conflict comes after it.
    for payment in sent {
        let is_hopeless = |coin: &OutPoint| spent.contains(coin) || conflicted.contains(&coin.txid);
        if confirmed.contains(&payment.txid) {
            fates.confirmed += 1;
        } else if mempools.contains(&payment.txid) {
            fates.waiting += 1;
        } else if payment.spends.iter().any(is_hopeless) {
            conflicted.insert(payment.txid);
            fates.conflicted += 1;
        } else {
            fates.lost.push(payment.txid);
        }
    }
    fates
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{ScriptBuf, Sequence, Transaction, TxIn, Witness};

    use super::*;

    fn coin(number: u8) -> OutPoint {
        OutPoint::new(Txid::from_byte_array([number; 32]), 0)
    }

    fn spending(coin: OutPoint) -> Transaction {
        Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: Vec::new(),
        }
    }

    fn sent(txid: Txid, spends: OutPoint) -> SentPayment {
        SentPayment {
            txid,
            from: 0,
            to: "1".to_owned(),
            amount_sat: 1,
            fee_sat: 1,
            node: 0,
            spends: vec![spends],
        }
    }

    #[test]
    fn every_payment_has_one_fate() {
        let in_chain = spending(coin(1));
        let mut block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        block.txdata.push(in_chain.clone());
        let txid = |number| Txid::from_byte_array([number; 32]);
        let payments = [
            sent(in_chain.compute_txid(), coin(1)),
            sent(txid(11), coin(1)),
            sent(txid(12), OutPoint::new(txid(11), 1)),
            sent(txid(13), coin(3)),
            sent(txid(14), coin(4)),
        ];
        let fates = sort(&payments, &[block], &BTreeSet::from([txid(13)]));
        let expected = Fates {
            confirmed: 1,
            waiting: 1,
            conflicted: 2,
            lost: vec![txid(14)],
        };
        assert_eq!(fates, expected);
    }
}
