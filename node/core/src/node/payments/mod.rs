//! [`Payments`]: transactions that wait for a block, those that wait for their parents, and what the next block may hold.
//!
//! | file | concern |
//! |---|---|
//! | `incoming` | transactions of wallets and peers, and orphans whose parents come |
//! | `costly` | those with many signatures, one at a time |
//! | `package` | several of a wallet at once |
//! | `follow`, `deep` | following the chain, at once or in steps |
//! | `template` | what the next block may hold |
//!
//! *Invariants*: it reads the chain that it is given and changes nothing outside of itself. What is to be told it puts into
//! [`Scope::out`]. What follows for a peer, and a failure of storage, it gives back.

mod costly;
mod deep;
mod follow;
mod given;
mod incoming;
mod package;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bitcoin::Transaction;
use chain::rules::spend::SignatureCache;
use chain::{Chain, Timestamp};
use p2p::wire::Gossip;
use p2p::{PeerNum, SplitMix64};

use super::output::{Output, tell_changes};
use crate::mempool::{Mempool, MempoolError, Orphans};

pub(super) use given::{FromPeer, Waiting, Way};
pub(super) use template::chain_ahead;
pub use template::{BlockTemplate, ChainAhead, TemplateTransaction};

/// Transactions that are not in a block.
#[derive(Debug)]
pub(super) struct Payments {
    pool: Mempool,
    orphans: Orphans,
    costly: costly::Costly,
    /// Who gave an orphan that turned out to be invalid.
    culprits: Vec<(PeerNum, MempoolError)>,
    signatures: Arc<SignatureCache>,
    templates: template::TemplateCache,
    /// The mempool follows a change of chains in steps.
    deep: Option<deep::DeepChange>,
}

/// What transactions are judged by at one moment, and where it goes what is to be told of them.
pub(super) struct Scope<'a> {
    /// The chain on whose tip they must be valid.
    pub(super) chain: &'a Chain,
    /// The wall clock.
    pub(super) now: Timestamp,
    /// There is no room for more.
    pub(super) disk_low: bool,
    /// Names for what is told again.
    pub(super) nonces: &'a mut SplitMix64,
    /// What is to be told.
    pub(super) out: &'a mut Vec<Output>,
}

impl Scope<'_> {
    /// Gossips what others may have heard before, under a name of this node's own.
    pub(super) fn publish_again(&mut self, transaction: Arc<Transaction>) {
        let salt = self.nonces.draw();
        self.out
            .push(Output::Publish(Gossip::Again { transaction, salt }));
    }
}

impl Payments {
    /// None yet. Valid signatures are noted in `signatures`.
    pub(super) fn new(pool: Mempool, signatures: Arc<SignatureCache>) -> Payments {
        Payments {
            pool,
            orphans: Orphans::default(),
            costly: costly::Costly::default(),
            culprits: Vec::new(),
            signatures,
            templates: template::TemplateCache::default(),
            deep: None,
        }
    }

    /// Those that wait for a block.
    pub(super) fn pool(&self) -> &Mempool {
        &self.pool
    }

    /// How many wait for their parents.
    pub(super) fn orphan_count(&self) -> usize {
        self.orphans.len()
    }

    /// Takes note of who gave orphans that turned out to be invalid when their parents came.
    pub(super) fn take_culprits(&mut self) -> Vec<(PeerNum, MempoolError)> {
        std::mem::take(&mut self.culprits)
    }

    /// Signatures that were checked.
    pub(super) fn signatures(&self) -> &Arc<SignatureCache> {
        &self.signatures
    }

    /// Drops what has waited too long.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.pool.next_expiry().is_some_and(|due| due <= now) {
            let mut changes = Vec::new();
            self.pool.expire(now, &mut changes);
            tell_changes(&changes, out);
        }
    }
}
