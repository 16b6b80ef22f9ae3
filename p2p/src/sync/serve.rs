//! [`answer`]: what a peer's request is answered with. Reads only, and never more than the limits allow.
//!
//! Bodies that lie on disk are read here and decoded by the host: that takes ten times as long, and nobody need wait for it.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Transaction, Txid};
use chain::{Chain, Height, StoreError, StoredBlock};

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

/// What a request is answered with.
#[derive(Debug)]
pub enum Answer {
    /// This. `None`: the request is not to be answered (over a limit).
    Made(Option<Response>),
    /// These blocks, once they are opened.
    Blocks(StoredBlocks),
}

/// Bodies as they lie on disk, in the order asked.
#[derive(Debug)]
pub struct StoredBlocks(Vec<StoredBlock>);

/// What came of [`StoredBlocks`].
#[derive(Debug)]
pub struct OpenedBlocks {
    /// The blocks up to the first that is damaged.
    pub response: Response,
    /// The one that is damaged: [`Chain::block`] takes note of it.
    pub damaged: Option<BlockHash>,
}

impl StoredBlocks {
    /// Decodes the bodies and checks each against its hash: milliseconds for each megabyte. The chain is not needed.
    #[must_use]
    pub fn open(self) -> OpenedBlocks {
        let mut blocks = Vec::with_capacity(self.0.len());
        let mut damaged = None;
        for stored in self.0 {
            let hash = stored.hash();
            let Some(block) = stored.open() else {
                damaged = Some(hash);
                break;
            };
            blocks.push(BlockBytes::Ours(block));
        }
        OpenedBlocks {
            response: Response::Blocks(blocks),
            damaged,
        }
    }
}

/// How a response to a request of a peer is made: reads only.
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
) -> Result<Answer, StoreError> {
    let made = match request {
        Request::Status(_) => Some(Response::Status(ChainView::tip(chain))),
        Request::Headers { locator, stop } if locator.len() <= MAX_LOCATOR => {
            Some(Response::Headers(headers_after(chain, locator, stop)))
        }
        Request::Blocks(hashes) if hashes.len() <= MAX_BLOCKS_PER_REQUEST => {
            return blocks(chain, hashes);
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
    };
    Ok(Answer::Made(made))
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

/// A prefix of what was asked: up to the first that is missing, and as far as one response holds. Made at once if nothing is to be
/// decoded: fresh blocks are asked for by everyone at the same time.
fn blocks(chain: &Chain, hashes: &[BlockHash]) -> Result<Answer, StoreError> {
    let mut blocks = Vec::new();
    let mut bytes = OVERHEAD_BYTES;
    for hash in hashes {
        if is_invalid(chain, hash) {
            break;
        }
        let Some(block) = chain.stored_block(hash)? else {
            break;
        };
        bytes += block.size();
        if bytes > MAX_RESPONSE_BYTES {
            break;
        }
        blocks.push(block);
    }
    let is_decoded = blocks.iter().all(StoredBlock::is_decoded);
    let blocks = StoredBlocks(blocks);
    Ok(if is_decoded {
        Answer::Made(Some(blocks.open().response))
    } else {
        Answer::Blocks(blocks)
    })
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

#[cfg(test)]
mod tests {
    use chain::fixtures::TestChain;

    use super::*;

    #[test]
    fn bodies_on_disk_are_left_to_the_host_to_open() {
        let mut net = TestChain::new();
        net.mine_many("b", 3);
        let hashes: Vec<_> = ["b1", "b2", "b3"].map(|name| net.hash(name)).into();
        let fresh = blocks(net.chain(), &hashes).unwrap();
        assert!(matches!(fresh, Answer::Made(Some(Response::Blocks(blocks))) if blocks.len() == 3));
        net.chain_mut().flush().unwrap();
        let Answer::Blocks(stored) = blocks(net.chain(), &hashes).unwrap() else {
            panic!("nothing is decoded here");
        };
        let opened = stored.open();
        let Response::Blocks(blocks) = opened.response else {
            panic!("blocks were asked for");
        };
        let given: Vec<_> = blocks.iter().map(BlockBytes::hash).collect();
        assert_eq!((given, opened.damaged), (hashes, None));
    }
}
