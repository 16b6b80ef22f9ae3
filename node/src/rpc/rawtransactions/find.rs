//! `getrawtransaction`: where a transaction is, and what it spends.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use chain::tree::HeaderInfo;
use chain::{Coin, Height};

use crate::core::NodeCore;
use crate::host::NodeHandle;
use crate::rpc::args::Args;
use crate::rpc::blockchain::{known_header, no_body};
use crate::rpc::error::Failure;
use crate::rpc::model::block::{confirmations, spent_coins, take};
use crate::rpc::model::transaction::{DecodedTransaction, Detail, LocatedTransaction, Place};
use crate::rpc::request::Reply;
use crate::rpc::server::reply;

/// Outputs that are looked at to find the block of a confirmed transaction.
const MAX_OUTPUTS_TRIED: u32 = 200;

/// A transaction with what is known of it.
struct Found {
    transaction: Transaction,
    spent: Option<Vec<Coin>>,
    place: Option<Place>,
}

pub(super) fn get(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let txid: Txid = args.hash(0)?;
    let verbosity = args.verbosity(1, 0)?;
    let block: Option<BlockHash> = args.opt_hash(2)?;
    let (found, in_active_chain) = node.read(|core| {
        let info = match &block {
            Some(hash) => Some(known_header(core.chain(), hash).map_err(|_| {
                Failure::not_found("Block hash not found")
            })?),
            None => None,
        };
        let active = info.map(|info| core.chain().is_active(&info.hash));
        let found = match info {
            Some(info) => in_block(core, &info, &txid)?.ok_or_else(|| {
                Failure::not_found("No such transaction found in the provided block. Use gettransaction for wallet transactions.")
            })?,
            None => anywhere(core, &txid)?,
        };
        Ok::<_, Failure>((found, active))
    })?;
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

fn anywhere(core: &NodeCore, txid: &Txid) -> Result<Found, Failure> {
    if let Some(entry) = core.mempool().get(txid) {
        let transaction = Transaction::clone(&entry.transaction);
        let spent = coins_of(core, &transaction)?;
        return Ok(Found {
            transaction,
            spent,
            place: None,
        });
    }
    let genesis = core.chain().at_height(Height::GENESIS);
    if let Some(info) = genesis
        && let Some(found) = in_block(core, &info, txid)?
    {
        return Ok(found);
    }
    for vout in 0..MAX_OUTPUTS_TRIED {
        let coin = core.chain().coin(&OutPoint { txid: *txid, vout })?;
        if let Some(info) = coin.and_then(|coin| core.chain().at_height(coin.height))
            && let Some(found) = in_block(core, &info, txid)?
        {
            return Ok(found);
        }
    }
    Err(Failure::not_found(
        "No such mempool transaction, nor a confirmed one with an unspent output. Name the block hash to look into a block.",
    ))
}

fn in_block(core: &NodeCore, info: &HeaderInfo, txid: &Txid) -> Result<Option<Found>, Failure> {
    let body = core.chain().block(&info.hash)?.ok_or_else(no_body)?;
    let Some(index) = body.txids().iter().position(|known| known == txid) else {
        return Ok(None);
    };
    let transaction = body.block().txdata[index].clone();
    let coins = spent_coins(core.chain(), info)?;
    let mut rest = coins.as_deref();
    for earlier in body.block().txdata.iter().take(index).skip(1) {
        take(&mut rest, earlier.input.len());
    }
    let spent = if index > 0 {
        take(&mut rest, transaction.input.len())
    } else {
        None
    };
    Ok(Some(Found {
        spent: spent.map(<[Coin]>::to_vec),
        transaction,
        place: Some(Place {
            blockhash: info.hash,
            confirmations: confirmations(core.chain(), info).max(0),
            time: info.header.time,
            blocktime: info.header.time,
        }),
    }))
}

/// The coins that an unconfirmed transaction spends, of the chain and the mempool.
pub(super) fn coins_of(
    core: &NodeCore,
    transaction: &Transaction,
) -> Result<Option<Vec<Coin>>, Failure> {
    let mut coins = Vec::with_capacity(transaction.input.len());
    for input in &transaction.input {
        let outpoint = input.previous_output;
        let coin = match core.mempool().get(&outpoint.txid) {
            Some(parent) => {
                let output = parent.transaction.output.get(outpoint.vout as usize);
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
