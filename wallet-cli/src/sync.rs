//! Bringing a wallet up to the node's tip: blocks first, across reorgs, then the mempool.

use anyhow::Context;
use bdk_bitcoind_rpc::Emitter;
use bdk_wallet::Wallet;
use bdk_wallet::chain::{BlockId, ChainPosition};
use bitcoin::{Block, Transaction};
use serde_json::json;
use std::sync::Arc;

use crate::node::Node;

/// Reads all blocks since the wallet's last agreement with the node, then its mempool.
///
/// `progress` is told the height after each block. Nothing is written: the caller saves the wallet.
pub(crate) fn sync(
    wallet: &mut Wallet,
    node: &Node,
    mut progress: impl FnMut(u32),
) -> anyhow::Result<()> {
    read_genesis(wallet, node)?;
    let unconfirmed: Vec<Arc<Transaction>> = wallet
        .transactions()
        .filter(|tx| matches!(tx.chain_position, ChainPosition::Unconfirmed { .. }))
        .map(|tx| tx.tx_node.tx.clone())
        .collect();
    let mut emitter = Emitter::new(node, wallet.latest_checkpoint(), 0, unconfirmed);
    while let Some(event) = emitter
        .next_block()
        .context("cannot read a block from the node")?
    {
        let height = event.block_height();
        wallet
            .apply_block_connected_to(&event.block, height, event.connected_to())
            .context("the node's block does not connect to the wallet's chain")?;
        progress(height);
    }
    let mempool = emitter
        .mempool()
        .context("cannot read the node's mempool")?;
    wallet.apply_unconfirmed_txs(mempool.update);
    wallet.apply_evicted_txs(mempool.evicted);
    Ok(())
}

/// Genesis may fund accounts, and the emitter starts above it: it is read once, with an empty wallet.
fn read_genesis(wallet: &mut Wallet, node: &Node) -> anyhow::Result<()> {
    let checkpoint = wallet.latest_checkpoint();
    if checkpoint.height() > 0 {
        return Ok(());
    }
    let id = BlockId {
        height: 0,
        hash: checkpoint.hash(),
    };
    let value = node.ask("getblock", &json!([id.hash.to_string(), 0]))?;
    let hex = value
        .as_str()
        .context("the node's answer to getblock is not text")?;
    let block: Block = bitcoin::consensus::encode::deserialize_hex(hex)
        .context("the node's genesis block cannot be decoded")?;
    wallet
        .apply_block_connected_to(&block, 0, id)
        .context("genesis does not fit the wallet")
}
