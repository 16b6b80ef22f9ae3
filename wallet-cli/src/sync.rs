//! Bringing a wallet up to the node's tip: blocks first, across reorgs, then the mempool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, bail};
use bdk_bitcoind_rpc::Emitter;
use bdk_wallet::Wallet;
use bdk_wallet::chain::local_chain::{ApplyHeaderError, CannotConnectError};
use bdk_wallet::chain::{BlockId, ChainPosition};
use bitcoin::{Block, Transaction, Txid};
use rpc_client::RpcError;
use serde_json::json;

use crate::lost;
use crate::node::{Node, Sent};

/// Core's error code for a transaction that is in the chain already.
const ALREADY_CONFIRMED: i64 = -27;

/// What became of payments that were in no block and not in the node's mempool.
#[derive(Debug, Default)]
pub(crate) struct Resent {
    /// The node took them.
    pub(crate) taken: Vec<Txid>,
    /// The node refused them, for this reason.
    pub(crate) refused: BTreeMap<Txid, String>,
}

/// The height of the last block that the wallet and the node's best chain share.
///
/// BDK replaces a left block when another comes at its height. After a reorg to a chain that is not longer (blocks
/// declared invalid, or a node that is behind) none comes, so the wallet looks for itself.
pub(crate) fn agreement(wallet: &Wallet, node: &Node) -> anyhow::Result<u32> {
    for checkpoint in wallet.latest_checkpoint().iter() {
        match node.ask("getblockhash", &json!([checkpoint.height()])) {
            Ok(hash) if hash == checkpoint.hash().to_string() => return Ok(checkpoint.height()),
            // Another block, or none so high.
            Ok(_) | Err(RpcError::Rpc { .. }) => {}
            Err(error) => return Err(error).context("cannot compare the wallet with the node"),
        }
    }
    Ok(0)
}

/// Reads all blocks since the wallet's last agreement with the node, then its mempool.
///
/// A payment that lost its block or its place in the mempool is sent again. `progress` is told the height after each
/// block. Nothing is written: the caller saves the wallet.
pub(crate) fn sync(
    wallet: &mut Wallet,
    node: &Node,
    mut progress: impl FnMut(u32),
) -> anyhow::Result<Resent> {
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
    let waiting: BTreeSet<Txid> = mempool
        .update
        .iter()
        .map(|(tx, _)| tx.compute_txid())
        .collect();
    wallet.apply_unconfirmed_txs(mempool.update);
    let resent = resend(wallet, node, &waiting)?;
    let refused = resent.refused.keys().map(|txid| (*txid, unix_now()));
    let evicted = mempool
        .evicted
        .into_iter()
        .filter(|(txid, _)| !resent.taken.contains(txid));
    wallet.apply_evicted_txs(evicted.chain(refused));
    Ok(resent)
}

/// Whether a reading failed because the node left blocks that it had just told: they are then not found, or do not connect.
pub(crate) fn is_of_a_reorg(error: &anyhow::Error) -> bool {
    use bdk_bitcoind_rpc::bitcoincore_rpc::{Error, jsonrpc};
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(Error::JsonRpc(jsonrpc::Error::Rpc(_)))
        ) || matches!(cause.downcast_ref(), Some(RpcError::Rpc { .. }))
            || cause.is::<CannotConnectError>()
            || cause.is::<ApplyHeaderError>()
    })
}

/// Sends lost payments, and again those whose parents were taken since.
fn resend(wallet: &mut Wallet, node: &Node, waiting: &BTreeSet<Txid>) -> anyhow::Result<Resent> {
    let mut resent = Resent::default();
    let mut lost = lost::payments(wallet, waiting);
    loop {
        let count = lost.len();
        let mut still_lost = Vec::new();
        for tx in lost {
            let txid = tx.compute_txid();
            match node.broadcast(&tx) {
                Sent::Taken => {
                    resent.refused.remove(&txid);
                    resent.taken.push(txid);
                    let evicted = wallet.tx_graph().get_last_evicted(txid).unwrap_or(0);
                    wallet.apply_unconfirmed_txs([(tx, unix_now().max(evicted + 1))]);
                }
                // A block with it came in between; the next reading finds it there.
                Sent::Refused(RpcError::Rpc {
                    code: ALREADY_CONFIRMED,
                    ..
                }) => {}
                Sent::Refused(RpcError::Rpc { message, .. }) => {
                    resent.refused.insert(txid, message);
                    still_lost.push(tx);
                }
                Sent::Refused(error) => {
                    return Err(error).context("cannot send a lost payment again");
                }
                Sent::Unknown(problem) => bail!("cannot send a lost payment again: {problem}"),
            }
        }
        if still_lost.is_empty() || still_lost.len() == count {
            return Ok(resent);
        }
        lost = still_lost;
    }
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs())
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
