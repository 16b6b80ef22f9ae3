//! `history` and `utxos`.

use bdk_wallet::chain::ChainPosition;
use bitcoin::{Address, Txid};
use serde_json::json;
use time::OffsetDateTime;

use super::label::printable;
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
        let time = record.time;
        let date = time.map_or_else(|| "-".to_owned(), date);
        text += &format!(
            "{date:16}  {sign}{:>16} BTC  {}  {:14}  {}\n",
            amount::show(change),
            short(record.txid),
            record.standing.text(),
            printable(&label),
        );
        let mut row = record.json();
        row["change"] = json!(format!("{sign}{}", amount::show(change)));
        row["sent"] = json!(amount::show(sent));
        row["received"] = json!(amount::show(received));
        row["fee"] = json!(wallet.calculate_fee(&record.tx).ok().map(amount::show));
        row["confirmations"] = json!(confirmations);
        row["label"] = json!(label);
        row["time"] = json!(time);
        rows.push(row);
    }
    if rows.is_empty() {
        text = "no payments yet; `mend wallet address` shows where to be paid".to_owned();
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    show(common, &json!(rows), &lines.join("\n"))?;
    Ok(())
}

/// The beginning of an id, which all commands take for the whole.
fn short(txid: Txid) -> String {
    txid.to_string().chars().take(12).collect()
}

/// Seconds since 1970 as day and minute, UTC.
fn date(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map_or_else(
        || "-".to_owned(),
        |at| {
            let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
            format!(
                "{year:04}-{month:02}-{day:02} {:02}:{:02}",
                at.hour(),
                at.minute()
            )
        },
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_210_096, "2024-02-29 12:34"),
            (4_102_444_800, "2100-01-01 00:00"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
