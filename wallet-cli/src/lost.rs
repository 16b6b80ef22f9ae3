//! Where each transaction of a wallet stands, above all those that a reorg or a mempool has thrown out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bdk_wallet::Wallet;
use bdk_wallet::chain::{BlockId, ChainPosition};
use bitcoin::{Amount, Transaction, Txid};
use serde_json::{Value, json};

/// Where a transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In a block of the best chain.
    Confirmed(BlockId),
    /// In the mempool, or believed to be there.
    Pending,
    /// Pending, and once confirmed by a block that the best chain has left.
    PendingAgain {
        /// The block that it was in.
        was: BlockId,
    },
    /// A coinbase of a block that the best chain has left: gone, unless the chain comes back.
    Orphaned {
        /// The block that made it.
        was: BlockId,
    },
    /// Another transaction spends the same coins.
    Replaced {
        /// That one.
        by: Txid,
    },
    /// No node that was asked has it, or it was refused.
    Dropped {
        /// The block that it was in, if any.
        was: Option<BlockId>,
    },
}

impl Standing {
    /// One word for programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Standing::Confirmed(_) => "confirmed",
            Standing::Pending => "pending",
            Standing::PendingAgain { .. } => "pending-again",
            Standing::Orphaned { .. } => "orphaned",
            Standing::Replaced { .. } => "replaced",
            Standing::Dropped { .. } => "dropped",
        }
    }

    /// A few words for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Standing::Confirmed(block) => format!("height {}", block.height),
            Standing::Pending => "pending".to_owned(),
            Standing::PendingAgain { was } => format!(
                "pending again (was in block {} at height {}, reorged)",
                was.hash, was.height
            ),
            Standing::Orphaned { was } => format!(
                "lost (mined in block {} at height {}, reorged)",
                was.hash, was.height
            ),
            Standing::Replaced { by } => format!("replaced by {by}"),
            Standing::Dropped { was: None } => {
                "dropped by the node; `mend wallet rebroadcast` tries again".to_owned()
            }
            Standing::Dropped { was: Some(was) } => format!(
                "dropped (was in block {} at height {}, reorged); `mend wallet rebroadcast` says why",
                was.hash, was.height
            ),
        }
    }

    /// The block that it was in before a reorg.
    pub(crate) fn lost_block(&self) -> Option<BlockId> {
        match self {
            Standing::PendingAgain { was } | Standing::Orphaned { was } => Some(*was),
            Standing::Dropped { was } => *was,
            _ => None,
        }
    }
}

/// One transaction of a wallet.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) tx: Arc<Transaction>,
    pub(crate) txid: Txid,
    pub(crate) standing: Standing,
    /// Our coins that it spends.
    pub(crate) sent: Amount,
    /// What it pays to us.
    pub(crate) received: Amount,
    /// For the order: the height of its block, or of the one it lost; none when it never had one.
    height: Option<u32>,
    seen_at: Option<u64>,
    /// When its block was made, or else when the wallet first saw it: seconds since 1970.
    pub(crate) time: Option<u64>,
}

impl Record {
    /// The fields that every list of payments has.
    pub(crate) fn json(&self) -> Value {
        let height = match &self.standing {
            Standing::Confirmed(block) => Some(block.height),
            _ => None,
        };
        let replaced_by = match &self.standing {
            Standing::Replaced { by } => Some(by),
            _ => None,
        };
        json!({
            "txid": self.txid,
            "state": self.standing.word(),
            "height": height,
            "lost_block": self.standing.lost_block().map(|was| json!({ "hash": was.hash, "height": was.height })),
            "replaced_by": replaced_by,
        })
    }
}

/// Every transaction that the wallet ever knew, newest first: those without a block, then by falling height.
pub(crate) fn records(wallet: &Wallet) -> Vec<Record> {
    let positions: BTreeMap<Txid, ChainPosition<_>> = wallet
        .transactions()
        .map(|tx| (tx.tx_node.txid, tx.chain_position))
        .collect();
    let graph = wallet.tx_graph();
    let mut records: Vec<Record> = graph
        .full_txs()
        .filter_map(|node| {
            let (sent, received) = wallet.sent_and_received(&node.tx);
            if sent + received == Amount::ZERO {
                return None;
            }
            let was = node
                .anchors
                .iter()
                .next_back()
                .map(|anchor| anchor.block_id);
            let standing = match positions.get(&node.txid) {
                Some(ChainPosition::Confirmed { anchor, .. }) => {
                    Standing::Confirmed(anchor.block_id)
                }
                Some(ChainPosition::Unconfirmed { .. }) => match was {
                    Some(was) => Standing::PendingAgain { was },
                    None => Standing::Pending,
                },
                None => {
                    let rival = graph
                        .direct_conflicts(&node.tx)
                        .map(|(_, txid)| txid)
                        .find(|txid| positions.contains_key(txid));
                    match (rival, was) {
                        (Some(by), _) => Standing::Replaced { by },
                        (None, Some(was)) if node.tx.is_coinbase() => Standing::Orphaned { was },
                        (None, was) => Standing::Dropped { was },
                    }
                }
            };
            let height = match &standing {
                Standing::Confirmed(block) => Some(block.height),
                Standing::Orphaned { was } => Some(was.height),
                _ => None,
            };
            let time = match positions.get(&node.txid) {
                Some(ChainPosition::Confirmed { anchor, .. }) => Some(anchor.confirmation_time),
                _ => node.first_seen.or(node.last_seen),
            };
            Some(Record {
                time,
                txid: node.txid,
                standing,
                sent,
                received,
                height,
                seen_at: node.last_seen,
                tx: node.tx,
            })
        })
        .collect();
    // `None` sorts first among heights, and it should: it is the newest.
    records.sort_by(|a, b| {
        a.height
            .is_some()
            .cmp(&b.height.is_some())
            .then(b.height.cmp(&a.height))
            .then(b.seen_at.cmp(&a.seen_at))
            .then(a.txid.cmp(&b.txid))
    });
    records
}

/// Payments to send again: in no block, not among `waiting` (the node's mempool), and nothing else spends their coins.
///
/// Those that others made to us are sent again only after they lost a block: before, they are their sender's business.
pub(crate) fn payments(wallet: &Wallet, waiting: &BTreeSet<Txid>) -> Vec<Arc<Transaction>> {
    let mut lost: Vec<Record> = records(wallet)
        .into_iter()
        .filter(|record| !waiting.contains(&record.txid))
        .filter(|record| match record.standing {
            Standing::PendingAgain { .. } | Standing::Dropped { was: Some(_) } => true,
            Standing::Pending | Standing::Dropped { was: None } => record.sent > Amount::ZERO,
            Standing::Confirmed(_) | Standing::Orphaned { .. } | Standing::Replaced { .. } => false,
        })
        .collect();
    // Parents were seen before their children.
    lost.reverse();
    lost.into_iter().map(|record| record.tx).collect()
}
