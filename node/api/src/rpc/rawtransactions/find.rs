//! `getrawtransaction`: where a transaction is, and what it spends.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use chain::tree::HeaderInfo;
use chain::{Coin, Height};

use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::blockchain::{known_header, read_body_and_spent};
use crate::rpc::error::Failure;
use crate::rpc::model::block::{confirmations, take};
use crate::rpc::model::transaction::{DecodedTransaction, Detail, LocatedTransaction, Place};
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;
use node_core::NodeCore;

/// Outputs that are looked at to find the block of a confirmed transaction.
const MAX_OUTPUTS_TRIED: u32 = 200;
/// How long a call waits for the index to come to a new tip.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);

/// A transaction with what is known of it.
struct Found {
    transaction: Transaction,
    spent: Option<Vec<Coin>>,
    place: Option<Place>,
}

pub(super) fn get(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let txid: Txid = args.hash(0)?;
    let verbosity = args.verbosity(1, 0)?;
    let block: Option<BlockHash> = args.opt_hash(2)?;
    let (found, in_active_chain) = match block {
        Some(hash) => {
            let (info, active) = node.read(|core| {
                let info = known_header(core.chain(), &hash)
                    .map_err(|_| Failure::not_found("Block hash not found"))?;
                Ok::<_, Failure>((info, core.chain().is_active(&hash)))
            })?;
            let found = in_block(node, &info, &txid)?.ok_or_else(|| {
                Failure::not_found("No such transaction found in the provided block. Use gettransaction for wallet transactions.")
            })?;
            (found, Some(active))
        }
        None => (anywhere(node, &txid)?, None),
    };
    if verbosity <= 0 {
        return reply(&serialize_hex(&found.transaction));
    }
    let detail = Detail {
        spent: found.spent.as_deref().filter(|_| verbosity >= 2),
        prevouts: true,
        hex: true,
    };
    reply(&LocatedTransaction {
        in_active_chain,
        transaction: DecodedTransaction::new(&found.transaction, detail),
        place: found.place,
    })
}

fn anywhere(node: &Api, txid: &Txid) -> Result<Found, Failure> {
    let unconfirmed = node.read(|core| match core.mempool().get(txid) {
        Some(entry) => {
            let transaction = Transaction::clone(&entry.transaction);
            let spent = coins_of(core, &transaction, &[])?;
            Ok::<_, Failure>(Some(Found {
                transaction,
                spent,
                place: None,
            }))
        }
        None => Ok(None),
    })?;
    if let Some(found) = unconfirmed {
        return Ok(found);
    }
    for info in blocks_to_look_into(node, txid)? {
        if let Some(found) = in_block(node, &info, txid)? {
            return Ok(found);
        }
    }
    Err(Failure::not_found(match node.indexer() {
        None => {
            "No such mempool transaction, nor a confirmed one with an unspent output. Name the block hash to look into a block, or start the node with --txindex."
        }
        Some(_) if !is_indexed(node) => {
            "No such mempool transaction. Blockchain transactions are still in the process of being indexed."
        }
        Some(_) => "No such mempool or blockchain transaction.",
    }))
}

/// Blocks in which a confirmed transaction may be: by the index, or because it is a genesis transaction, or has an
/// unspent output.
pub(in crate::rpc) fn blocks_to_look_into(
    node: &Api,
    txid: &Txid,
) -> Result<Vec<HeaderInfo>, Failure> {
    if let Some(indexer) = node.indexer()
        && is_indexed(node)
    {
        // The block may have left the active chain: it still holds the transaction.
        let place = indexer.find(txid);
        let info = node.read(|core| place.and_then(|place| core.chain().tree().get(&place.block)));
        return Ok(info
            .filter(|info| info.status.has_body)
            .into_iter()
            .collect());
    }
    node.read(|core| {
        let chain = core.chain();
        let mut blocks: Vec<HeaderInfo> = chain.at_height(Height::GENESIS).into_iter().collect();
        for vout in 0..MAX_OUTPUTS_TRIED {
            let coin = chain.coin(&OutPoint { txid: *txid, vout })?;
            if let Some(info) = coin.and_then(|coin| chain.at_height(coin.height)) {
                blocks.push(info);
                break;
            }
        }
        Ok(blocks)
    })
}

/// Whether the index is at the tip, or comes there within moments.
fn is_indexed(node: &Api) -> bool {
    let Some(indexer) = node.indexer() else {
        return false;
    };
    let (tip, committed) = node.read(|core| {
        let chain = core.chain();
        (chain.tip().hash, chain.flushed_tip().hash)
    });
    // It follows what is committed, which near the tip would be in a second.
    if tip != committed && node.act(|core, _, out| core.commit_near_tip(out)).is_err() {
        return false;
    }
    indexer.wait_for(&tip, INDEX_PATIENCE)
}

fn in_block(node: &Api, info: &HeaderInfo, txid: &Txid) -> Result<Option<Found>, Failure> {
    let (body, coins) = read_body_and_spent(node, info)?;
    let Some(index) = body.txids().iter().position(|known| known == txid) else {
        return Ok(None);
    };
    let transaction = body.block().txdata[index].clone();
    let mut rest = coins.as_deref();
    for earlier in body.block().txdata.iter().take(index).skip(1) {
        take(&mut rest, earlier.input.len());
    }
    let spent = if index > 0 {
        take(&mut rest, transaction.input.len())
    } else {
        None
    };
    let confirmations = node.read(|core| confirmations(core.chain(), info));
    Ok(Some(Found {
        spent: spent.map(<[Coin]>::to_vec),
        transaction,
        place: Some(Place {
            blockhash: info.hash,
            confirmations: confirmations.max(0),
            time: (confirmations > 0).then_some(info.header.time),
            blocktime: (confirmations > 0).then_some(info.header.time),
        }),
    }))
}

/// The coins that an unconfirmed transaction spends, of the chain, the mempool and `others`; `None` if one is missing.
pub(super) fn coins_of(
    core: &NodeCore,
    transaction: &Transaction,
    others: &[Arc<Transaction>],
) -> Result<Option<Vec<Coin>>, Failure> {
    let unconfirmed = |txid: &Txid| match core.mempool().get(txid) {
        Some(entry) => Some(Arc::clone(&entry.transaction)),
        None => others.iter().find(|tx| tx.compute_txid() == *txid).cloned(),
    };
    let mut coins = Vec::with_capacity(transaction.input.len());
    for input in &transaction.input {
        let outpoint = input.previous_output;
        let coin = match unconfirmed(&outpoint.txid) {
            Some(parent) => {
                let output = parent.output.get(outpoint.vout as usize);
                output.map(|output| Coin {
                    output: output.clone(),
                    height: core.chain().tip().height.next(),
                    coinbase: false,
                })
            }
            None => core.chain().coin(&outpoint)?,
        };
        match coin {
            Some(coin) => coins.push(coin),
            None => return Ok(None),
        }
    }
    Ok(Some(coins))
}
