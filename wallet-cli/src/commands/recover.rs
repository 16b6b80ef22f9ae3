//! `rebroadcast` and `rescan`: getting back what a wallet should have.

use bdk_wallet::chain::ChainPosition;
use bdk_wallet::{KeychainKind, Wallet};
use bitcoin::Transaction;
use serde_json::json;
use std::sync::Arc;

use super::{open, show, sync_shown};
use crate::cli::CommonArgs;
use crate::keys::NETWORK;
use crate::session::Session;
use crate::sync::Resent;

/// Sends again what is in no block and not in the node's mempool. Every reading of the chain does so; this one tells.
pub(crate) fn rebroadcast(common: &CommonArgs) -> anyhow::Result<()> {
    let (mut session, node) = open(common)?;
    let Resent { taken, refused } = sync_shown(common, &mut session.wallet, &node)?;
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
    let descriptors: Vec<String> = old
        .keychains()
        .map(|(_, descriptor)| descriptor.to_string())
        .collect();
    let params = match <[String; 2]>::try_from(descriptors) {
        Ok([receive, change]) => Wallet::create(receive, change),
        Err(descriptors) => Wallet::create_single(descriptors.concat()),
    };
    let mut wallet = params
        .network(NETWORK)
        .genesis_hash(session.file.genesis)
        .lookahead(gap)
        .create_wallet_no_persist()?;
    for keychain in [KeychainKind::External, KeychainKind::Internal] {
        if let Some(last) = old.derivation_index(keychain) {
            let _revealed = wallet.reveal_addresses_to(keychain, last);
        }
    }
    let open: Vec<(Arc<Transaction>, u64)> = old
        .transactions()
        .filter(|tx| matches!(tx.chain_position, ChainPosition::Unconfirmed { .. }))
        .map(|tx| (tx.tx_node.tx.clone(), tx.tx_node.last_seen.unwrap_or(0)))
        .collect();
    wallet.apply_unconfirmed_txs(open);
    Ok(wallet)
}
