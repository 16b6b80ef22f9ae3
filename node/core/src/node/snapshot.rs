//! Starting from a snapshot of coins (`loadtxoutset`).

use chain::snapshot::{self, Snapshot, SnapshotError, SnapshotInfo};
use p2p::sync::Input as EngineInput;

use super::{NodeCore, Output};
use crate::events::NodeEvent;
use crate::now::Now;

/// Why a snapshot was not loaded. But for failed storage, nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum LoadSnapshotError {
    /// Transactions wait that were checked on the coins of now.
    #[error(
        "{count} transactions are in the mempool, and a snapshot replaces the coins that they spend; start the node again, which empties it"
    )]
    MempoolNotEmpty {
        /// How many.
        count: usize,
    },
    /// The chain does not take it.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl NodeCore {
    /// Makes the coins of a snapshot those of the chain, and goes on from its block: see [`chain::snapshot::load`]. It is on disk
    /// when this returns.
    ///
    /// # Errors
    ///
    /// [`LoadSnapshotError`].
    pub fn load_snapshot(
        &mut self,
        now: Now,
        snapshot: Snapshot,
        out: &mut Vec<Output>,
    ) -> Result<SnapshotInfo, LoadSnapshotError> {
        self.check_writable().map_err(SnapshotError::from)?;
        let count = self.mempool().len();
        if count > 0 {
            return Err(LoadSnapshotError::MempoolNotEmpty { count });
        }
        let info = snapshot.info().clone();
        let reorg = match snapshot::load(&mut self.chain, snapshot) {
            Ok(reorg) => reorg,
            Err(SnapshotError::Store(error)) => {
                return Err(SnapshotError::from(self.fail_with(error, out)).into());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.followed = info.base.hash;
        self.mode.block_came(now.mono);
        for block in &reorg.disconnected {
            let (hash, height) = (block.hash, block.height);
            out.push(Output::Event(NodeEvent::BlockDisconnected { hash, height }));
        }
        // One event instead of one for each block: their bodies are not here.
        let (hash, height) = (info.base.hash, info.base.height);
        out.push(Output::Event(NodeEvent::SnapshotLoaded { hash, height }));
        self.tell_header_tip(out);
        let (payments, mut scope) = self.payments_at(now, out);
        if let Err(error) = payments.follow_quietly(&reorg, &mut scope) {
            return Err(SnapshotError::from(self.fail_with(error, out)).into());
        }
        // Blocks above may be here already.
        self.activation_due = true;
        self.drive(now, EngineInput::ChainChanged, out);
        self.settle(now, out);
        Ok(info)
    }
}
