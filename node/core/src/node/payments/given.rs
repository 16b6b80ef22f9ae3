//! What peers give: on which way it came, and what came of it.

use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use p2p::sync::GossipId;

use crate::mempool::{MempoolError, Sender};

/// What came of a transaction that a peer gave.
#[derive(Debug)]
pub(in crate::node) enum FromPeer {
    /// It was taken.
    Taken(Txid),
    /// It spends what is not here: [`Payments::keep_orphan`] may keep it.
    MissingInput(Arc<Transaction>),
    /// It has many signatures: [`Payments::put_off`] keeps it until its turn.
    Costly(Arc<Transaction>),
    /// Whoever had checked it would not have passed it on.
    Invalid(MempoolError),
    /// It was here, or was refused before, or is not wanted here.
    Ignored,
}

/// On which way a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Way {
    /// It was gossiped, and whether it is forwarded waits for a verdict.
    Gossip(GossipId),
    /// It was asked for.
    Answer,
    /// It waited for its parents.
    Orphanage,
}

/// One that waits to be judged.
#[derive(Debug)]
pub(in crate::node) struct Waiting {
    pub(in crate::node) transaction: Arc<Transaction>,
    pub(in crate::node) sender: Sender,
    pub(in crate::node) way: Way,
}
