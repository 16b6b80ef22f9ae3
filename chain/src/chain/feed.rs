//! [`Feed`]: blocks that come in while the chain is being activated.

use super::{BlockPosition, Chain};
use crate::rules::error::RuleError;
use crate::store::StoreError;

/// Where an activation gets further blocks from.
pub(crate) trait Feed {
    /// Hands further blocks to [`Chain::accept_checked`], waiting for them if need be. `false`: there are no more for now.
    ///
    /// The tip lies behind the blocks that are being connected meanwhile, and the coins are ahead of it: nothing else may be
    /// asked of the chain.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    fn more(&mut self, chain: &mut Chain) -> Result<bool, StoreError>;

    /// A block has failed: those on top of it that come later will be refused.
    fn failed(&mut self, block: BlockPosition, rule: &RuleError);

    /// Whether there will never be more.
    fn is_over(&self) -> bool;
}

/// What is here is all there is.
pub(super) struct NoMore;

impl Feed for NoMore {
    fn more(&mut self, _: &mut Chain) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn failed(&mut self, _: BlockPosition, _: &RuleError) {}

    fn is_over(&self) -> bool {
        true
    }
}
