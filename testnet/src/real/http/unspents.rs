//! The coins of an address, confirmed and not.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Script, Transaction};
use rpc_client::amount_from;
use serde::Serialize;
use serde_json::{Value, json};

use super::Refusal;
use crate::real::Probe;

/// A coin in the words of regtest-client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unspent {
    #[serde(rename = "txId")]
    txid: String,
    vout: u32,
    /// -1 while it is in no block.
    height: i64,
    /// Satoshis.
    value: u64,
}

/// All coins locked to `script` that nothing spends, not even in the mempool.
pub(super) fn of_script(node: &Probe, script: &Script) -> Result<Vec<Unspent>, Refusal> {
    // In this order, a transaction that is confirmed meanwhile is seen twice rather than not at all.
    let waiting = node.mempool_transactions()?;
    let scan = json!(["start", [format!("raw({})", script.to_hex_string())]]);
    let confirmed = confirmed(&node.ask("scantxoutset", scan)?)
        .ok_or_else(|| Refusal::internal("the node's list of coins is not understood"))?;
    Ok(merge(confirmed, &waiting, script))
}

/// What `scantxoutset` found: heights and satoshis by outpoint.
fn confirmed(scanned: &Value) -> Option<BTreeMap<OutPoint, (i64, u64)>> {
    let coin = |coin: &Value| {
        let txid = coin["txid"].as_str()?.parse().ok()?;
        let vout = u32::try_from(coin["vout"].as_u64()?).ok()?;
        let value = amount_from(&coin["amount"])?.to_sat();
        Some((OutPoint { txid, vout }, (coin["height"].as_i64()?, value)))
    };
    scanned["unspents"].as_array()?.iter().map(coin).collect()
}

fn merge(
    confirmed: BTreeMap<OutPoint, (i64, u64)>,
    waiting: &[Transaction],
    script: &Script,
) -> Vec<Unspent> {
    let inputs = waiting.iter().flat_map(|transaction| &transaction.input);
    let spent: BTreeSet<OutPoint> = inputs.map(|input| input.previous_output).collect();
    let mut coins = BTreeMap::new();
    for transaction in waiting {
        let txid = transaction.compute_txid();
        for (vout, output) in (0..).zip(&transaction.output) {
            if *output.script_pubkey == *script {
                coins.insert(OutPoint { txid, vout }, (-1, output.value.to_sat()));
            }
        }
    }
    coins.extend(confirmed);
    coins
        .into_iter()
        .filter(|(outpoint, _)| !spent.contains(outpoint))
        .map(|(outpoint, (height, value))| Unspent {
            txid: outpoint.txid.to_string(),
            vout: outpoint.vout,
            height,
            value,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::hashes::Hash;
    use bitcoin::transaction::Version;
    use bitcoin::{Amount, ScriptBuf, TxIn, TxOut, Txid};

    use super::*;

    fn outpoint(number: u8) -> OutPoint {
        OutPoint {
            txid: Txid::from_byte_array([number; 32]),
            vout: 0,
        }
    }

    fn script() -> ScriptBuf {
        ScriptBuf::from_bytes(vec![0x51, 0x20])
    }

    /// Spends `from`, and pays 700 sat to [`script`] beside something else.
    fn paying(from: OutPoint) -> Transaction {
        let output = |value, script_pubkey| TxOut {
            value: Amount::from_sat(value),
            script_pubkey,
        };
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: from,
                ..TxIn::default()
            }],
            output: vec![output(1, ScriptBuf::new()), output(700, script())],
        }
    }

    #[test]
    fn what_waits_has_no_height_and_what_is_spent_is_not_listed() {
        let first = paying(outpoint(1));
        let second = paying(OutPoint {
            txid: first.compute_txid(),
            vout: 1,
        });
        let known = BTreeMap::from([(outpoint(1), (7, 50)), (outpoint(2), (8, 60))]);
        let listed = merge(known, &[first, second.clone()], &script());
        let mut shown: Vec<_> = listed.iter().map(|u| (u.height, u.value)).collect();
        shown.sort_unstable();
        assert_eq!(shown, [(-1, 700), (8, 60)]);
        let waits = listed.iter().find(|unspent| unspent.height == -1).unwrap();
        assert_eq!(waits.txid, second.compute_txid().to_string());
        assert_eq!(waits.vout, 1);
    }

    #[test]
    fn a_coin_that_was_confirmed_meanwhile_is_listed_once() {
        let payment = paying(outpoint(1));
        let coin = OutPoint {
            txid: payment.compute_txid(),
            vout: 1,
        };
        let known = BTreeMap::from([(coin, (9, 700))]);
        let listed = merge(known, &[payment], &script());
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].height, 9);
    }

    #[test]
    fn the_form_is_the_one_that_clients_read() {
        let scanned = json!({"unspents": [
            {"txid": "11".repeat(32), "vout": 3, "amount": 0.00000007, "height": 4},
        ]});
        let known = confirmed(&scanned).expect("read");
        let listed = merge(known, &[], &script());
        assert_eq!(
            json!(listed),
            json!([{"txId": "11".repeat(32), "vout": 3, "height": 4, "value": 7}])
        );
        assert!(confirmed(&json!({"unspents": [{}]})).is_none());
        assert!(confirmed(&json!(null)).is_none());
    }
}
