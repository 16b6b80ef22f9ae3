//! `rebroadcast` and `rescan`: getting back what a wallet should have.

use bdk_wallet::Wallet;
use bdk_wallet::chain::ChainPosition;
use bitcoin::Transaction;
use serde_json::json;
use std::sync::Arc;

use super::{open, show, sync_over_reorgs, sync_shown};
use crate::cli::CommonArgs;
use crate::session::{Session, anew};
use crate::sync::Resent;

/// Sends again what is in no block and not in the node's mempool. Every reading of the chain does so; this one tells.
pub(crate) fn rebroadcast(common: &CommonArgs) -> anyhow::Result<()> {
    let (mut session, node) = open(common)?;
    let Resent { taken, refused } = sync_over_reorgs(common, &mut session, &node)?;
    session.save()?;
    let mut text = String::new();
    for txid in &taken {
        text += &format!("sent again {txid}\n");
    }
    for (txid, reason) in &refused {
        text += &format!("refused    {txid}: {reason}\n");
    }
    if text.is_empty() {
        text = "nothing to send: every payment is in a block or in the node's mempool".to_owned();
    }
    show(
        common,
        &json!({ "sent": taken, "refused": refused }),
        text.trim_end(),
    )?;
    Ok(())
}

/// Reads the whole chain again, with a wider look-ahead if wished.
pub(crate) fn rescan(common: &CommonArgs, gap: u32) -> anyhow::Result<()> {
    let (mut session, node) = open(common)?;
    let mut wallet = fresh(&session, gap)?;
    sync_shown(common, &mut wallet, &node)?;
    session.replace_wallet(wallet)?;
    let tip = session.wallet.latest_checkpoint().height();
    let count = session.wallet.transactions().count();
    show(
        common,
        &json!({ "height": tip, "transactions": count }),
        &format!("read {} blocks, found {count} transactions", tip + 1),
    )?;
    Ok(())
}

/// The same wallet as if nothing had been read: its addresses stay given away, its open payments stay known.
fn fresh(session: &Session, gap: u32) -> anyhow::Result<Wallet> {
    let old = &session.wallet;
    let genesis = old.local_chain().genesis_hash();
    let mut wallet = anew(old, genesis, gap)?;
    let open: Vec<(Arc<Transaction>, u64)> = old
        .transactions()
        .filter(|tx| matches!(tx.chain_position, ChainPosition::Unconfirmed { .. }))
        .map(|tx| (tx.tx_node.tx.clone(), tx.tx_node.last_seen.unwrap_or(0)))
        .collect();
    wallet.apply_unconfirmed_txs(open);
    Ok(wallet)
}
