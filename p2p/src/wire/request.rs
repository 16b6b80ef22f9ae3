//! Encoding of [`Request`]: one tag byte, then the fields.

use bitcoin::consensus::encode::VarInt;
use bitcoin::{BlockHash, Work};
use chain::Height;

use super::limits::{
    MAX_BLOCK_TRANSACTIONS, MAX_BLOCKS_PER_REQUEST, MAX_LOCATOR, MAX_REQUEST_BYTES,
    MAX_TRANSACTIONS_PER_REQUEST,
};
use super::reader::{Reader, put, put_count, put_list};
use super::{Request, TipStatus, WireError};

const STATUS: u8 = 0;
const HEADERS: u8 = 1;
const BLOCKS: u8 = 2;
const BLOCK_TRANSACTIONS: u8 = 3;
const MEMPOOL_IDS: u8 = 4;
const TRANSACTIONS: u8 = 5;
const PEERS: u8 = 6;

impl Request {
    /// The kind of request, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Request::Status(_) => "status",
            Request::Headers { .. } => "headers",
            Request::Blocks(_) => "blocks",
            Request::BlockTransactions { .. } => "block_transactions",
            Request::MempoolIds => "mempool_ids",
            Request::Transactions(_) => "transactions",
            Request::Peers => "peers",
        }
    }

    /// Appends the request to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Status(status) => {
                out.push(STATUS);
                put_status(out, status);
            }
            Request::Headers { locator, stop } => {
                out.push(HEADERS);
                put_list(out, locator);
                put(out, stop);
            }
            Request::Blocks(hashes) => {
                out.push(BLOCKS);
                put_list(out, hashes);
            }
            Request::BlockTransactions { block, indexes } => {
                out.push(BLOCK_TRANSACTIONS);
                put(out, block);
                put_count(out, indexes.len());
                for index in indexes {
                    put(out, &VarInt::from(*index));
                }
            }
            Request::MempoolIds => out.push(MEMPOOL_IDS),
            Request::Transactions(txids) => {
                out.push(TRANSACTIONS);
                put_list(out, txids);
            }
            Request::Peers => out.push(PEERS),
        }
    }

    /// Reads a request that fills `bytes` exactly.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is over a limit or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Request, WireError> {
        let mut reader = Reader::new(bytes, "request", MAX_REQUEST_BYTES)?;
        let request = match reader.take::<u8>("request tag")? {
            STATUS => Request::Status(take_status(&mut reader)?),
            HEADERS => Request::Headers {
                locator: reader.list("locator hashes", MAX_LOCATOR, 32)?,
                stop: reader.take("stop hash")?,
            },
            BLOCKS => Request::Blocks(reader.list("block hashes", MAX_BLOCKS_PER_REQUEST, 32)?),
            BLOCK_TRANSACTIONS => Request::BlockTransactions {
                block: reader.take("block hash")?,
                indexes: take_indexes(&mut reader)?,
            },
            MEMPOOL_IDS => Request::MempoolIds,
            TRANSACTIONS => Request::Transactions(reader.list(
                "transaction ids",
                MAX_TRANSACTIONS_PER_REQUEST,
                32,
            )?),
            PEERS => Request::Peers,
            tag => {
                return Err(WireError::UnknownTag {
                    what: "request",
                    tag,
                });
            }
        };
        reader.finish()?;
        Ok(request)
    }
}

pub(super) fn put_status(out: &mut Vec<u8>, status: &TipStatus) {
    put(out, &status.hash);
    put(out, &status.height.0);
    out.extend_from_slice(&status.chain_work.to_be_bytes());
}

pub(super) fn take_status(reader: &mut Reader<'_>) -> Result<TipStatus, WireError> {
    Ok(TipStatus {
        hash: reader.take::<BlockHash>("tip hash")?,
        height: Height(reader.take("tip height")?),
        chain_work: Work::from_be_bytes(reader.take("tip work")?),
    })
}

fn take_indexes(reader: &mut Reader<'_>) -> Result<Vec<u32>, WireError> {
    let count = reader.count("transaction indexes", MAX_BLOCK_TRANSACTIONS, 1)?;
    let mut indexes: Vec<u32> = Vec::with_capacity(count);
    for _ in 0..count {
        let index = reader.take::<VarInt>("transaction index")?.0;
        let ascends = indexes.last().is_none_or(|last| u64::from(*last) < index);
        match u32::try_from(index) {
            Ok(index) if ascends && (index as usize) < MAX_BLOCK_TRANSACTIONS => {
                indexes.push(index);
            }
            _ => {
                return Err(WireError::Malformed {
                    what: "transaction index",
                    problem: format!("{index} is not ascending or over {MAX_BLOCK_TRANSACTIONS}"),
                });
            }
        }
    }
    Ok(indexes)
}
