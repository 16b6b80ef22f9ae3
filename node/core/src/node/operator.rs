//! What an operator may order: chain surgery, networking, single blocks.

use bitcoin::BlockHash;
use chain::{InvalidateError, Reorg, StoreError};
use p2p::PeerNum;
use p2p::sync::{Input as EngineInput, PeerSync, SyncProgress};

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
    /// Marks a block and its descendants invalid, and goes to the best chain without them (`invalidateblock`).
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn invalidate_block(
        &mut self,
        now: Now,
        hash: &BlockHash,
        out: &mut Vec<Output>,
    ) -> Result<Option<Reorg>, OperatorError> {
        self.check_known(hash)?;
        if *hash == self.chain.params().genesis_hash {
            return Err(OperatorError::Genesis);
        }
        let reorg = match self.chain.invalidate(hash) {
            Ok(reorg) => reorg,
            Err(InvalidateError::Store(error)) => return Err(self.fail_with(error, out).into()),
            Err(refusal) => {
                // A body that was just found damaged is fetched again.
                self.settle(now, out);
                return Err(OperatorError::NoWayBack(refusal));
            }
        };
        if let Some(reorg) = &reorg {
            self.follow(now, reorg, out);
        }
        self.activate_all(now, out)?;
        Ok(reorg)
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
        self.check_known(hash)?;
        self.chain.reconsider(hash);
        self.activate_all(now, out)
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
        self.check_known(hash)?;
        self.chain.prefer(hash);
        self.activate_all(now, out)
    }

    fn check_known(&self, hash: &BlockHash) -> Result<(), OperatorError> {
        self.check_writable()?;
        match self.chain.tree().get(hash) {
            Some(_) => Ok(()),
            None => Err(OperatorError::UnknownBlock(*hash)),
        }
    }

    /// Connects all the way, and commits: an operator's word survives a crash.
    fn activate_all(&mut self, now: Now, out: &mut Vec<Output>) -> Result<(), OperatorError> {
        loop {
            self.activate_step(now, out);
            if !self.activation_due || self.failed.is_some() {
                break;
            }
        }
        self.check_writable()?;
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
        if self.peers.get(peer).is_none() {
            return Err(OperatorError::UnknownPeer(peer));
        }
        self.engine.want_block_from(*hash, peer);
        self.drive(now, EngineInput::Tick, out);
        self.settle(now, out);
        Ok(())
    }

    /// Networking on or off: off ends all connections (`setnetworkactive`).
    pub fn set_network_active(&mut self, now: Now, active: bool, out: &mut Vec<Output>) {
        if self.network_active != active {
            self.network_active = active;
            out.push(Output::SetActive(active));
            if active {
                self.dialer.retry_all(now.mono);
            }
        }
        self.settle(now, out);
    }

    /// Whether networking is on.
    #[must_use]
    pub fn is_network_active(&self) -> bool {
        self.network_active
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
