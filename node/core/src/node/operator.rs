//! What an operator may order: chain surgery, single blocks.

use bitcoin::BlockHash;
use chain::{InvalidateError, StoreError};
use p2p::PeerNum;
use p2p::sync::{Input as EngineInput, PeerSync, SyncProgress};

use super::payments::Payments;
use super::{NodeCore, Output};
use crate::now::Now;

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no such block.
    #[error("block {0} is not known; check the hash")]
    UnknownBlock(BlockHash),
    /// There is no such peer.
    #[error("peer {} is not connected; getpeerinfo lists those that are", .0.0)]
    UnknownPeer(PeerNum),
    /// Genesis is beyond question.
    #[error("the genesis block cannot be invalidated; start a network with another --genesis")]
    Genesis,
    /// The chain cannot be taken back so far.
    #[error(transparent)]
    NoWayBack(InvalidateError),
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NodeCore {
    /// Marks a block and its descendants invalid, and goes to the best chain without them (`invalidateblock`):
    /// [`NodeCore::mark_invalid`] and [`NodeCore::carry_on`] in one, for hosts that need not act in between.
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn invalidate_block(
        &mut self,
        now: Now,
        hash: &BlockHash,
        out: &mut Vec<Output>,
    ) -> Result<(), OperatorError> {
        self.mark_invalid(now, hash, out)?;
        self.carry_on_to_the_end(now, out)
    }

    /// Marks a block and its descendants invalid. [`NodeCore::carry_on`] leaves them.
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn mark_invalid(
        &mut self,
        now: Now,
        hash: &BlockHash,
        out: &mut Vec<Output>,
    ) -> Result<(), OperatorError> {
        self.check_known(hash)?;
        if *hash == self.chain.params().genesis_hash {
            return Err(OperatorError::Genesis);
        }
        match self.chain.invalidate(hash) {
            Ok(()) => Ok(()),
            Err(InvalidateError::Store(error)) => Err(self.fail_with(error, out).into()),
            Err(refusal) => {
                // A body that was just found damaged is fetched again.
                self.settle(now, out);
                Err(OperatorError::NoWayBack(refusal))
            }
        }
    }

    /// Forgets that a block, its ancestors and descendants were found invalid (`reconsiderblock`).
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn reconsider_block(
        &mut self,
        now: Now,
        hash: &BlockHash,
        out: &mut Vec<Output>,
    ) -> Result<(), OperatorError> {
        self.mark_open(hash)?;
        self.carry_on_to_the_end(now, out)
    }

    /// The first half of [`NodeCore::reconsider_block`]; [`NodeCore::carry_on`] is the other.
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn mark_open(&mut self, hash: &BlockHash) -> Result<(), OperatorError> {
        self.check_known(hash)?;
        self.chain.reconsider(hash);
        Ok(())
    }

    /// Treats a block as if it had been seen before all others of equal work (`preciousblock`).
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn prefer_block(
        &mut self,
        now: Now,
        hash: &BlockHash,
        out: &mut Vec<Output>,
    ) -> Result<(), OperatorError> {
        self.mark_preferred(hash)?;
        self.carry_on_to_the_end(now, out)
    }

    /// The first half of [`NodeCore::prefer_block`]; [`NodeCore::carry_on`] is the other.
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn mark_preferred(&mut self, hash: &BlockHash) -> Result<(), OperatorError> {
        self.check_known(hash)?;
        self.chain.prefer(hash);
        Ok(())
    }

    fn check_known(&self, hash: &BlockHash) -> Result<(), OperatorError> {
        self.check_writable()?;
        match self.chain.tree().get(hash) {
            Some(_) => Ok(()),
            None => Err(OperatorError::UnknownBlock(*hash)),
        }
    }

    fn carry_on_to_the_end(
        &mut self,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), OperatorError> {
        while self.walk_on(now, out)? {}
        self.end_order(now, out)
    }

    /// Carries out what an operator ordered, one step: goes to the best chain, and commits, so that his word survives a crash.
    /// `true`: there is more to do.
    ///
    /// # Errors
    ///
    /// When storage fails: the node stops.
    pub fn carry_on(&mut self, now: Now, out: &mut Vec<Output>) -> Result<bool, OperatorError> {
        if self.walk_on(now, out)? || self.ask_host_to_flush() {
            return Ok(true);
        }
        self.end_order(now, out)?;
        Ok(false)
    }

    /// One step to the best chain, or of what follows from it. `false`: there was nothing to do.
    fn walk_on(&mut self, now: Now, out: &mut Vec<Output>) -> Result<bool, OperatorError> {
        self.check_writable()?;
        if !self.chain.is_at_best() {
            self.activate_step(now, out);
            self.check_writable()?;
            if self.activation_due {
                return Ok(true);
            }
        }
        let follows = self.payments.is_changing_deeply();
        if follows {
            self.with_payments(now, out, Payments::continue_deep_change);
        }
        Ok(follows)
    }

    fn end_order(&mut self, now: Now, out: &mut Vec<Output>) -> Result<(), OperatorError> {
        self.tell_header_tip(out);
        self.commit_all(out)?;
        self.drive(now, EngineInput::ChainChanged, out);
        self.settle(now, out);
        Ok(())
    }

    /// Fetches a block's body by hash from one peer, and from nobody else (`getblockfrompeer`).
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownBlock`] if its header is not known, [`OperatorError::UnknownPeer`] if there is no such peer.
    pub fn fetch_block(
        &mut self,
        now: Now,
        hash: &BlockHash,
        peer: PeerNum,
        out: &mut Vec<Output>,
    ) -> Result<(), OperatorError> {
        self.check_known(hash)?;
        if self.peers().get(peer).is_none() {
            return Err(OperatorError::UnknownPeer(peer));
        }
        self.engine.want_block_from(*hash, peer);
        self.drive(now, EngineInput::Tick, out);
        self.settle(now, out);
        Ok(())
    }

    /// The state of synchronisation as a whole.
    #[must_use]
    pub fn sync_progress(&self) -> SyncProgress {
        self.engine.progress()
    }

    /// One peer's part in synchronisation.
    #[must_use]
    pub fn sync_peer(&self, peer: PeerNum) -> Option<PeerSync> {
        self.engine.peer(peer)
    }
}
