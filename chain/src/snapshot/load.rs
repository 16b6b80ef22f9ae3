//! Making a snapshot the state of a chain.

use super::{Snapshot, SnapshotError};
use crate::chain::{Chain, Reorg};

/// Makes the coins of a snapshot those of the chain, and its block the tip: in one commit. Bodies up to that block need not be
/// here and will not be fetched: they cannot be served, and the chain cannot be taken back below it. Nothing of them is
/// validated later: whoever loads a snapshot trusts it.
///
/// Call [`Chain::activate_best`] after it: blocks above may be here already.
///
/// # Errors
///
/// When the snapshot's block is known to be invalid, not on the best chain of headers or no gain, or a snapshot was loaded
/// before: the chain is then as it was. Or when storage fails: fatal.
pub fn load(chain: &mut Chain, snapshot: Snapshot) -> Result<Reorg, SnapshotError> {
    check_place(chain, &snapshot)?;
    for header in &snapshot.headers {
        chain
            .accept_header(header, snapshot.checked_at)
            .expect("another chain of this network took it, and nothing below it is invalid here");
    }
    let base = snapshot.info.base.hash;
    let base = chain.tree().id_of(&base).expect("it was just taken");
    Ok(chain.move_to_snapshot(base, snapshot.coins)?)
}

/// Whether the snapshot's block may become the tip.
fn check_place(chain: &Chain, snapshot: &Snapshot) -> Result<(), SnapshotError> {
    if let Some(earlier) = chain.snapshot_base() {
        let base = earlier.height;
        return Err(SnapshotError::LoadedBefore { base });
    }
    let tree = chain.tree();
    for header in &snapshot.headers {
        let hash = header.block_hash();
        if tree
            .get(&hash)
            .is_some_and(|info| !info.status.may_be_valid())
        {
            return Err(SnapshotError::InvalidBase { hash });
        }
    }
    let (tip, base) = (chain.tip(), snapshot.info.base);
    if snapshot.chain_work <= tip.chain_work {
        return Err(SnapshotError::NotAhead {
            height: tip.height,
            base: base.height,
        });
    }
    let best = tree.best_header();
    let known = tree.id_of(&base.hash);
    let leads_to_best = known.is_some_and(|base| tree.is_ancestor(base, best.id));
    if best.chain_work > snapshot.chain_work && !leads_to_best {
        return Err(SnapshotError::NotOnBestChain);
    }
    Ok(())
}
