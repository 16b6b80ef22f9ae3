//! `history` and `utxos`.

use bdk_wallet::chain::ChainPosition;
use serde_json::json;

use super::{open_synced, show};
use crate::amount;
use crate::cli::CommonArgs;

pub(crate) fn history(common: &CommonArgs) -> anyhow::Result<()> {
    let (session, _) = open_synced(common)?;
    let wallet = &session.wallet;
    let tip = wallet.latest_checkpoint().height();
    let mut rows = Vec::new();
    let mut text = String::new();
    let newest_first = wallet.transactions_sort_by(|a, b| b.chain_position.cmp(&a.chain_position));
    for tx in newest_first {
        let (sent, received) = wallet.sent_and_received(&tx.tx_node.tx);
        let (sign, change) = if received >= sent {
            ("+", received - sent)
        } else {
            ("-", sent - received)
        };
        let (state, height, confirmations) = match tx.chain_position {
            ChainPosition::Confirmed { anchor, .. } => {
                let height = anchor.block_id.height;
                ("confirmed", Some(height), tip + 1 - height.min(tip))
            }
            ChainPosition::Unconfirmed { .. } => ("pending", None, 0),
        };
        let place =
            height.map_or_else(|| "pending".to_owned(), |height| format!("height {height}"));
        text += &format!(
            "{sign}{:>16} BTC  {place:14} {}\n",
            amount::show(change),
            tx.tx_node.txid
        );
        rows.push(json!({
            "txid": tx.tx_node.txid,
            "change": format!("{sign}{}", amount::show(change)),
            "sent": amount::show(sent),
            "received": amount::show(received),
            "fee": wallet.calculate_fee(&tx.tx_node.tx).ok().map(amount::show),
            "state": state,
            "height": height,
            "confirmations": confirmations,
        }));
    }
    if rows.is_empty() {
        text = "no payments yet; `mend wallet address` shows where to be paid".to_owned();
    }
    show(common, &json!(rows), text.trim_end());
    Ok(())
}

pub(crate) fn utxos(common: &CommonArgs) -> anyhow::Result<()> {
    let (session, _) = open_synced(common)?;
    let mut rows = Vec::new();
    let mut text = String::new();
    for output in session.wallet.list_unspent() {
        let height = match output.chain_position {
            ChainPosition::Confirmed { anchor, .. } => Some(anchor.block_id.height),
            ChainPosition::Unconfirmed { .. } => None,
        };
        text += &format!(
            "{:>16} BTC  {}\n",
            amount::show(output.txout.value),
            output.outpoint
        );
        rows.push(json!({
            "outpoint": output.outpoint,
            "amount": amount::show(output.txout.value),
            "script": output.txout.script_pubkey,
            "height": height,
        }));
    }
    if rows.is_empty() {
        text = "no coins; `mend wallet address` shows where to be paid".to_owned();
    }
    show(common, &json!(rows), text.trim_end());
    Ok(())
}
