//! How large answers are: at most, by what was asked; and exactly.

use crate::wire::limits::{
    MAX_ADDRESS_BYTES, MAX_BLOCK_BYTES, MAX_BLOCKS_PER_REQUEST, MAX_HEADERS, MAX_MEMPOOL_IDS,
    MAX_PEER_ADDRESSES, MAX_RESPONSE_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS_PER_REQUEST,
};
use crate::wire::{Request, Response};

/// A tag and a count.
const OVERHEAD: usize = 16;
/// Hash, height and work.
const STATUS: usize = 128;

/// The bytes that an answer to `request` has at most. Nobody need read, hold or make room for more.
#[must_use]
pub fn largest_answer(request: &Request) -> usize {
    let most = match request {
        Request::Status(_) => STATUS,
        Request::Headers { .. } => MAX_HEADERS * 80,
        Request::Blocks(hashes) => hashes.len().min(MAX_BLOCKS_PER_REQUEST) * MAX_BLOCK_BYTES,
        Request::BlockTransactions { .. } => MAX_BLOCK_BYTES,
        Request::MempoolIds => MAX_MEMPOOL_IDS * 32,
        Request::Transactions(txids) => {
            txids.len().min(MAX_TRANSACTIONS_PER_REQUEST) * MAX_TRANSACTION_BYTES
        }
        Request::Peers => MAX_PEER_ADDRESSES * (MAX_ADDRESS_BYTES + 3),
    };
    (most + OVERHEAD).min(MAX_RESPONSE_BYTES)
}

/// About the bytes of an answer as it is encoded: never less, and a little more at most.
#[must_use]
pub fn size_of_answer(response: &Response) -> usize {
    OVERHEAD
        + match response {
            Response::Status(_) => STATUS,
            Response::Headers(headers) => headers.len() * 80,
            Response::Blocks(blocks) => blocks.iter().map(|b| b.block().total_size()).sum(),
            Response::BlockTransactions(transactions) | Response::Transactions(transactions) => {
                transactions.iter().map(|tx| tx.total_size()).sum()
            }
            Response::MempoolIds(txids) => txids.len() * 32,
            Response::Peers(addresses) => addresses.iter().map(|a| a.len() + 3).sum(),
        }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{BlockHash, Txid};

    use super::*;

    #[test]
    fn the_size_of_an_answer_is_that_of_its_bytes_or_a_little_more() {
        for response in [
            Response::Headers(vec![]),
            Response::MempoolIds(vec![Txid::all_zeros(); 3_000]),
            Response::Peers(vec!["/ip4/127.0.0.1/tcp/1".to_owned(); 7]),
        ] {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            let size = size_of_answer(&response);
            assert!((bytes.len()..bytes.len() + 64).contains(&size), "{size}");
        }
    }

    #[test]
    fn nobody_may_answer_a_small_question_with_megabytes() {
        assert!(largest_answer(&Request::Peers) < 50_000);
        assert!(
            largest_answer(&Request::Headers {
                locator: vec![],
                stop: BlockHash::all_zeros()
            }) < 161_000
        );
        let blocks = |n| largest_answer(&Request::Blocks(vec![BlockHash::all_zeros(); n]));
        assert!(blocks(1) < 4_100_000);
        assert_eq!(blocks(16), MAX_RESPONSE_BYTES);
    }
}
