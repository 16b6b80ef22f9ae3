//! `history` and `utxos`.

use bdk_wallet::chain::ChainPosition;
use bitcoin::Address;
use serde_json::json;

use super::{open_synced, show};
use crate::amount;
use crate::cli::CommonArgs;
use crate::keys::NETWORK;
use crate::lost::{self, Record, Standing};
use crate::session::Session;

pub(crate) fn history(common: &CommonArgs) -> anyhow::Result<()> {
    let (session, _) = open_synced(common)?;
    let wallet = &session.wallet;
    let tip = wallet.latest_checkpoint().height();
    let mut rows = Vec::new();
    let mut text = String::new();
    for record in lost::records(wallet) {
        let (sent, received) = (record.sent, record.received);
        let (sign, change) = if received >= sent {
            ("+", received - sent)
        } else {
            ("-", sent - received)
        };
        let confirmations = match &record.standing {
            Standing::Confirmed(block) => tip + 1 - block.height.min(tip),
            _ => 0,
        };
        let label = label(&session, &record);
        text += &format!(
            "{sign}{:>16} BTC  {:14} {}{}{}\n",
            amount::show(change),
            record.standing.text(),
            record.txid,
            if label.is_empty() { "" } else { "  " },
            label,
        );
        let mut row = record.json();
        row["change"] = json!(format!("{sign}{}", amount::show(change)));
        row["sent"] = json!(amount::show(sent));
        row["received"] = json!(amount::show(received));
        row["fee"] = json!(wallet.calculate_fee(&record.tx).ok().map(amount::show));
        row["confirmations"] = json!(confirmations);
        row["label"] = json!(label);
        rows.push(row);
    }
    if rows.is_empty() {
        text = "no payments yet; `mend wallet address` shows where to be paid".to_owned();
    }
    show(common, &json!(rows), text.trim_end())?;
    Ok(())
}

/// The labels of a transaction and of our addresses that it pays to.
fn label(session: &Session, record: &Record) -> String {
    let addresses = record
        .tx
        .output
        .iter()
        .filter_map(|output| Address::from_script(&output.script_pubkey, NETWORK).ok())
        .map(|address| address.to_string());
    let found: Vec<&str> = std::iter::once(record.txid.to_string())
        .chain(addresses)
        .filter_map(|target| session.file.labels.get(&target).map(String::as_str))
        .collect();
    found.join(", ")
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
    show(common, &json!(rows), text.trim_end())?;
    Ok(())
}
