//! Repairing what peers cannot give back: the coins and undo data, made anew from the stored blocks.

use crate::chain::Chain;
use crate::rules::spend::SignatureCache;
use crate::store::StoreError;
use crate::units::Height;

/// What a rebuild reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildReport {
    /// Height of the tip before.
    pub before: Height,
    /// Height of the tip now. Lower than before if a body is damaged: the node fetches it again and goes on.
    pub after: Height,
}

/// Blocks connected between two looks at memory and calls of `progress`.
const STEP_BLOCKS: usize = 100;

/// Throws all coins and undo data away and connects the stored blocks again from genesis, with all checks. A crash in between
/// does no harm: the rest is connected when the chain is opened again.
///
/// `progress` is called with the height reached.
///
/// # Errors
///
/// When storage fails: fatal.
pub fn rebuild_coins(
    chain: &mut Chain,
    progress: &mut dyn FnMut(Height),
) -> Result<RebuildReport, StoreError> {
    let before = chain.tip().height;
    chain.reset_to_genesis()?;
    let signatures = SignatureCache::default();
    while chain
        .activate_step(&signatures, &mut Vec::new(), STEP_BLOCKS)?
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
