//! [`answer`]: what a peer's request is answered with. Reads only, and never more than the limits allow.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Transaction, Txid};
use chain::{Chain, Height, StoreError};

use super::served::ServedBlocks;
use super::{ChainView, PoolView};
use crate::Mono;
use crate::wire::limits::{
    MAX_BLOCKS_PER_REQUEST, MAX_HEADERS, MAX_LOCATOR, MAX_MEMPOOL_IDS, MAX_PEER_ADDRESSES,
    MAX_RESPONSE_BYTES, MAX_TRANSACTIONS_PER_REQUEST,
};
use crate::wire::{BlockBytes, Request, Response};

/// Room for tag and counts beside the items of a response.
const OVERHEAD_BYTES: usize = 16;

/// How a response to a request of a peer is made: reads only. `None`: the request is not to be answered (over a limit).
///
/// `peers` are the addresses worth passing on, best first. `served` is what the node keeps from one question to the next.
///
/// # Errors
///
/// [`StoreError`] when a body could not be read; fatal for the node.
pub fn answer(
    now: Mono,
    request: &Request,
    chain: &Chain,
    pool: &impl PoolView,
    peers: &[String],
    served: &mut ServedBlocks,
) -> Result<Option<Response>, StoreError> {
    Ok(match request {
        Request::Status(_) => Some(Response::Status(ChainView::tip(chain))),
        Request::Headers { locator, stop } if locator.len() <= MAX_LOCATOR => {
            Some(Response::Headers(headers_after(chain, locator, stop)))
        }
        Request::Blocks(hashes) if hashes.len() <= MAX_BLOCKS_PER_REQUEST => {
            Some(Response::Blocks(blocks(chain, hashes)?))
        }
        Request::BlockTransactions { block, indexes } => {
            block_transactions(now, chain, block, indexes, served)?.map(Response::BlockTransactions)
        }
        Request::MempoolIds => Some(Response::MempoolIds(pool.txids(MAX_MEMPOOL_IDS))),
        Request::Transactions(txids) if txids.len() <= MAX_TRANSACTIONS_PER_REQUEST => {
            Some(Response::Transactions(transactions(pool, txids)))
        }
        Request::Peers => Some(Response::Peers(
            peers.iter().take(MAX_PEER_ADDRESSES).cloned().collect(),
        )),
        Request::Headers { .. } | Request::Blocks(_) | Request::Transactions(_) => None,
    })
}

/// Headers of the active chain after the first locator hash that is on it; after genesis if none is.
fn headers_after(
    chain: &Chain,
    locator: &[BlockHash],
    stop: &BlockHash,
) -> Vec<bitcoin::block::Header> {
    let shared = locator.iter().find(|hash| chain.is_active(hash));
    let start = shared
        .and_then(|hash| chain.tree().get(hash))
        .map_or(Height::GENESIS, |h| h.height);
    let mut headers = Vec::new();
    let mut height = start.next();
    while headers.len() < MAX_HEADERS {
        let Some(info) = chain.at_height(height) else {
            break;
        };
        headers.push(info.header);
        if *stop != BlockHash::all_zeros() && info.hash == *stop {
            break;
        }
        height = height.next();
    }
    headers
}

/// Whether a block is known to break a rule, or to follow one that does: nobody is served with it, even if it was announced
/// before its signatures were checked.
fn is_invalid(chain: &Chain, hash: &BlockHash) -> bool {
    let known = chain.tree().get(hash);
    known.is_some_and(|info| !info.status.may_be_valid())
}

/// A prefix of what was asked: up to the first that is missing, and as far as one response holds.
fn blocks(chain: &Chain, hashes: &[BlockHash]) -> Result<Vec<BlockBytes>, StoreError> {
    let mut blocks = Vec::new();
    let mut bytes = OVERHEAD_BYTES;
    for hash in hashes {
        if is_invalid(chain, hash) {
            break;
        }
        let Some(block) = chain.block(hash)? else {
            break;
        };
        bytes += block.block().total_size();
        if bytes > MAX_RESPONSE_BYTES {
            break;
        }
        blocks.push(BlockBytes::Ours(block));
    }
    Ok(blocks)
}

/// The transactions at `indexes`; empty if the block is not here or is only given as a whole, `None` if one of them is beyond its end.
fn block_transactions(
    now: Mono,
    chain: &Chain,
    hash: &BlockHash,
    indexes: &[u32],
    served: &mut ServedBlocks,
) -> Result<Option<Vec<Transaction>>, StoreError> {
    if is_invalid(chain, hash) {
        return Ok(Some(Vec::new()));
    }
    let Some(block) = served.get(now, chain, hash)? else {
        return Ok(Some(Vec::new()));
    };
    let all = &block.block().txdata;
    let pick = |index: &u32| all.get(usize::try_from(*index).ok()?).cloned();
    Ok(indexes.iter().map(pick).collect())
}

fn transactions(pool: &impl PoolView, txids: &[Txid]) -> Vec<Transaction> {
    let mut found = Vec::new();
    let mut bytes = OVERHEAD_BYTES;
    for tx in txids.iter().filter_map(|txid| pool.transaction(txid)) {
        bytes += tx.total_size();
        if bytes > MAX_RESPONSE_BYTES {
            break;
        }
        found.push(Transaction::clone(&tx));
    }
    found
}
