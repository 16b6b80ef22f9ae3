//! `balance`: confirmed, pending, and coinbase outputs that are not spendable yet.

use bdk_wallet::chain::ChainPosition;
use serde_json::json;

use super::{open_synced, show};
use crate::amount;
use crate::cli::CommonArgs;
use crate::lost::{self, Standing};

/// Confirmations before a coinbase output may be spent (BDK has the same constant).
const COINBASE_MATURITY: u32 = 100;

pub(crate) fn balance(common: &CommonArgs) -> anyhow::Result<()> {
    let (session, _) = open_synced(common)?;
    let wallet = &session.wallet;
    let balance = wallet.balance();
    let tip = wallet.latest_checkpoint().height();
    // The first immature coin to ripen tells people that waiting helps, and how long.
    let next_mature_in = wallet
        .transactions()
        .filter(|tx| tx.tx_node.tx.is_coinbase())
        .filter_map(|tx| match tx.chain_position {
            ChainPosition::Confirmed { anchor, .. } => {
                // Spendable in the next block at depth 100, as in Bitcoin.
                (anchor.block_id.height + COINBASE_MATURITY).checked_sub(tip + 1)
            }
            ChainPosition::Unconfirmed { .. } => None,
        })
        .filter(|blocks| *blocks > 0)
        .min();
    let pending = balance.trusted_pending + balance.untrusted_pending;
    let mut text = format!(
        "confirmed  {} BTC\npending    {} BTC\nimmature   {} BTC",
        amount::show(balance.confirmed),
        amount::show(pending),
        amount::show(balance.immature)
    );
    if let Some(blocks) = next_mature_in {
        text += &format!(" (the first of it is spendable in {blocks} blocks)");
    }
    let reorged = lost::records(wallet)
        .iter()
        .filter(|record| matches!(record.standing, Standing::PendingAgain { .. }))
        .count();
    if reorged > 0 {
        text += &format!(
            "\n{reorged} payments lost their block in a reorg and are pending again; see `mend wallet history`"
        );
    }
    show(
        common,
        &json!({
            "height": tip,
            "confirmed": amount::show(balance.confirmed),
            "pending": amount::show(pending),
            "trusted_pending": amount::show(balance.trusted_pending),
            "untrusted_pending": amount::show(balance.untrusted_pending),
            "immature": amount::show(balance.immature),
            "immature_next_spendable_in_blocks": next_mature_in,
            "payments_pending_again": reorged,
            "total": amount::show(balance.total()),
        }),
        &text,
    )?;
    Ok(())
}
