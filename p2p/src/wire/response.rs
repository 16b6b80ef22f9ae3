//! Encoding of [`Response`]: one tag byte, then the fields.

use super::limits::{
    MAX_ADDRESS_BYTES, MAX_BLOCK_TRANSACTIONS, MAX_BLOCKS_PER_REQUEST, MAX_HEADERS,
    MAX_MEMPOOL_IDS, MAX_PEER_ADDRESSES, MAX_RESPONSE_BYTES, MAX_TRANSACTIONS_PER_REQUEST,
};
use super::reader::{Reader, put, put_count, put_list, put_text};
use super::request::{put_status, take_status};
use super::{BlockBytes, Response, WireError};

const STATUS: u8 = 0;
const HEADERS: u8 = 1;
const BLOCKS: u8 = 2;
const BLOCK_TRANSACTIONS: u8 = 3;
const MEMPOOL_IDS: u8 = 4;
const TRANSACTIONS: u8 = 5;
const PEERS: u8 = 6;

/// Bytes of a header.
const HEADER_BYTES: usize = 80;
/// Bytes of the smallest transaction: one input without script, one output without script.
const MIN_TRANSACTION_BYTES: usize = 10;
/// Bytes of the smallest block: a header and a count.
const MIN_BLOCK_BYTES: usize = HEADER_BYTES + 1;

impl Response {
    /// The kind of response, for metrics and logs: the same word as that of its request.
    pub fn kind(&self) -> &'static str {
        match self {
            Response::Status(_) => "status",
            Response::Headers(_) => "headers",
            Response::Blocks(_) => "blocks",
            Response::BlockTransactions(_) => "block_transactions",
            Response::MempoolIds(_) => "mempool_ids",
            Response::Transactions(_) => "transactions",
            Response::Peers(_) => "peers",
        }
    }

    /// Appends the response to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Response::Status(status) => {
                out.push(STATUS);
                put_status(out, status);
            }
            Response::Headers(headers) => {
                out.reserve(headers.len() * HEADER_BYTES + 4);
                out.push(HEADERS);
                put_list(out, headers);
            }
            Response::Blocks(blocks) => {
                out.push(BLOCKS);
                put_count(out, blocks.len());
                for block in blocks {
                    put(out, block.block());
                }
            }
            Response::BlockTransactions(transactions) => {
                out.push(BLOCK_TRANSACTIONS);
                put_list(out, transactions);
            }
            Response::MempoolIds(txids) => {
                out.reserve(txids.len() * 32 + 6);
                out.push(MEMPOOL_IDS);
                put_list(out, txids);
            }
            Response::Transactions(transactions) => {
                out.push(TRANSACTIONS);
                put_list(out, transactions);
            }
            Response::Peers(addresses) => {
                out.push(PEERS);
                put_count(out, addresses.len());
                for address in addresses {
                    put_text(out, address);
                }
            }
        }
    }

    /// Reads a response that fills `bytes` exactly. Whether it answers what was asked is for the caller to judge.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is over a limit or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Response, WireError> {
        let mut reader = Reader::new(bytes, "response", MAX_RESPONSE_BYTES)?;
        let response = match reader.take::<u8>("response tag")? {
            STATUS => Response::Status(take_status(&mut reader)?),
            HEADERS => Response::Headers(reader.list("headers", MAX_HEADERS, HEADER_BYTES)?),
            BLOCKS => Response::Blocks(take_blocks(&mut reader)?),
            BLOCK_TRANSACTIONS => Response::BlockTransactions(reader.list(
                "transactions",
                MAX_BLOCK_TRANSACTIONS,
                MIN_TRANSACTION_BYTES,
            )?),
            MEMPOOL_IDS => {
                Response::MempoolIds(reader.list("transaction ids", MAX_MEMPOOL_IDS, 32)?)
            }
            TRANSACTIONS => Response::Transactions(reader.list(
                "transactions",
                MAX_TRANSACTIONS_PER_REQUEST,
                MIN_TRANSACTION_BYTES,
            )?),
            PEERS => Response::Peers(take_addresses(&mut reader)?),
            tag => {
                return Err(WireError::UnknownTag {
                    what: "response",
                    tag,
                });
            }
        };
        reader.finish()?;
        Ok(response)
    }
}

fn take_blocks(reader: &mut Reader<'_>) -> Result<Vec<BlockBytes>, WireError> {
    let count = reader.count("blocks", MAX_BLOCKS_PER_REQUEST, MIN_BLOCK_BYTES)?;
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        blocks.push(BlockBytes::Theirs(Box::new(reader.take("block")?)));
    }
    Ok(blocks)
}

fn take_addresses(reader: &mut Reader<'_>) -> Result<Vec<String>, WireError> {
    let count = reader.count("addresses", MAX_PEER_ADDRESSES, 1)?;
    (0..count)
        .map(|_| reader.text("address", MAX_ADDRESS_BYTES))
        .collect()
}
