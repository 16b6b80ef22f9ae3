//! Repairing what peers cannot give back: the coins and undo data, made anew from the stored blocks.

use crate::chain::{Chain, StepLimit};
use crate::rules::spend::SignatureCache;
use crate::store::StoreError;
use crate::tree::HeaderInfo;
use crate::units::Height;

/// What a rebuild reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildReport {
    /// Height of the tip before.
    pub before: Height,
    /// Height of the tip now. Lower than before if a body is damaged: the node fetches it again and goes on.
    pub after: Height,
}

/// Why coins were not made anew. Nothing has changed then, unless storage failed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Coins came from a snapshot: the blocks below are not here.
    #[error(
        "the coins up to height {base} came from a snapshot, and the blocks that would make them again are not here; import the snapshot or sync into a new --data-dir"
    )]
    BelowSnapshot {
        /// Height of the snapshot's block.
        base: Height,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is done between two looks at memory and calls of `progress`.
const STEP: StepLimit = StepLimit {
    blocks: 100,
    transactions: usize::MAX,
};

/// Throws all coins and undo data away and connects the stored blocks again from genesis, with all checks. A crash in between
/// does no harm: the rest is connected when the chain is opened again.
///
/// `progress` is called with the height reached.
///
/// # Errors
///
/// When the chain began at a snapshot; when storage fails: fatal.
pub fn rebuild_coins(
    chain: &mut Chain,
    progress: &mut dyn FnMut(Height),
) -> Result<RebuildReport, RebuildError> {
    if let Some(base) = chain.snapshot_base()
        && !all_bodies_are_here(chain, base.height)
    {
        return Err(RebuildError::BelowSnapshot { base: base.height });
    }
    let before = chain.tip().height;
    if let Err(error) = chain.reset_to_genesis() {
        // Damaged pages cannot be written to, not even to throw them away: healing makes a new file.
        chain.heal(error)?;
    }
    let signatures = SignatureCache::default();
    while chain
        .activate_step(&signatures, &mut Vec::new(), STEP)?
        .is_some()
    {
        chain.flush_when_large()?;
        progress(chain.tip().height);
    }
    chain.flush()?;
    Ok(RebuildReport {
        before,
        after: chain.tip().height,
    })
}

fn all_bodies_are_here(chain: &Chain, top: Height) -> bool {
    let has_body = |info: HeaderInfo| info.status.has_body;
    (0..=top.0).all(|height| chain.at_height(Height(height)).is_some_and(has_body))
}
