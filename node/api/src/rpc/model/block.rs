//! Blocks and headers as Bitcoin Core shows them.

use std::sync::Arc;

use bitcoin::{BlockHash, TxMerkleNode, Txid};
use chain::tree::HeaderInfo;
use chain::{Chain, CheckedBlock, Coin, StoreError};
use serde::Serialize;

use super::transaction::{DecodedTransaction, Detail};
use super::{bits_hex, difficulty, target_hex, work_hex};

/// What is shown of a header.
#[derive(Clone, Debug, Serialize)]
pub struct HeaderFields {
    hash: BlockHash,
    confirmations: i64,
    height: u32,
    version: i32,
    #[serde(rename = "versionHex")]
    version_hex: String,
    merkleroot: TxMerkleNode,
    time: u32,
    mediantime: u32,
    nonce: u32,
    bits: String,
    target: String,
    difficulty: f64,
    chainwork: String,
    #[serde(rename = "nTx")]
    transactions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    previousblockhash: Option<BlockHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nextblockhash: Option<BlockHash>,
}

/// What is shown of a block.
#[derive(Clone, Debug, Serialize)]
pub struct BlockFields {
    #[serde(flatten)]
    header: HeaderFields,
    strippedsize: usize,
    size: usize,
    weight: u64,
    tx: Transactions,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Transactions {
    Ids(Vec<Txid>),
    Decoded(Vec<DecodedTransaction>),
}

/// Blocks on top of a block and itself; -1 when it is not on the active chain: that is how BDK sees a reorg.
pub fn confirmations(chain: &Chain, info: &HeaderInfo) -> i64 {
    if chain.is_active(&info.hash) {
        i64::from(chain.tip().height.0) - i64::from(info.height.0) + 1
    } else {
        -1
    }
}

impl HeaderFields {
    /// How a header is shown.
    pub fn new(chain: &Chain, info: &HeaderInfo) -> HeaderFields {
        let confirmations = confirmations(chain, info);
        let next = chain.at_height(info.height.next());
        let header = &info.header;
        HeaderFields {
            hash: info.hash,
            confirmations,
            height: info.height.0,
            version: header.version.to_consensus(),
            version_hex: format!("{:08x}", header.version.to_consensus()),
            merkleroot: header.merkle_root,
            time: header.time,
            mediantime: chain.tree().median_time_past(info.id).0,
            nonce: header.nonce,
            bits: bits_hex(header.bits),
            target: target_hex(header.bits),
            difficulty: difficulty(header.bits),
            chainwork: work_hex(info.chain_work),
            transactions: info.tx_count,
            previousblockhash: (info.height.0 > 0).then_some(header.prev_blockhash),
            nextblockhash: next.filter(|_| confirmations > 0).map(|next| next.hash),
        }
    }
}

/// All that is needed to show a block: taken from the chain in one go, and shown without holding it up.
#[derive(Debug)]
pub struct BlockParts {
    /// The header, and what the chain knows of it.
    pub header: HeaderFields,
    /// The body.
    pub body: Arc<CheckedBlock>,
    /// The coins that it spent, if they are known and wanted.
    pub spent: Option<Vec<Coin>>,
}

impl BlockParts {
    /// How it is shown: with the ids of its transactions (verbosity 1), the transactions (2), or these with what they spend (3).
    pub fn shown(self, verbosity: i64) -> BlockFields {
        let block = self.body.block();
        let tx = if verbosity <= 1 {
            Transactions::Ids(self.body.txids().to_vec())
        } else {
            Transactions::Decoded(decoded(&self.body, self.spent.as_deref(), verbosity >= 3))
        };
        let (size, weight) = (block.total_size(), block.weight().to_wu());
        let total = u64::try_from(size).unwrap_or(u64::MAX);
        BlockFields {
            // weight = 3 * stripped size + size (BIP 141)
            strippedsize: usize::try_from(weight.saturating_sub(total) / 3).unwrap_or(size),
            size,
            weight,
            tx,
            header: self.header,
        }
    }
}

/// The coins that a block spent, in input order; `None` if it was never connected, or spends none as genesis does.
///
/// # Errors
///
/// When storage fails.
pub fn spent_coins(chain: &Chain, info: &HeaderInfo) -> Result<Option<Vec<Coin>>, StoreError> {
    if info.height.0 == 0 {
        return Ok(None);
    }
    chain.undo(&info.hash)
}

fn decoded(body: &CheckedBlock, undo: Option<&[Coin]>, prevouts: bool) -> Vec<DecodedTransaction> {
    let mut undo = undo;
    let transactions = body.block().txdata.iter();
    transactions
        .map(|transaction| {
            let spent = if transaction.is_coinbase() {
                None
            } else {
                take(&mut undo, transaction.input.len())
            };
            let detail = Detail {
                spent,
                prevouts,
                hex: true,
            };
            DecodedTransaction::new(transaction, detail)
        })
        .collect()
}

/// The first `count` coins, taken off; `None` where the coins are not known.
pub fn take<'a>(undo: &mut Option<&'a [Coin]>, count: usize) -> Option<&'a [Coin]> {
    let (first, rest) = undo.and_then(|undo| undo.split_at_checked(count))?;
    *undo = Some(rest);
    Some(first)
}
