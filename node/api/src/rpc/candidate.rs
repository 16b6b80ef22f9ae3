//! Blocks that are not mined yet: whether they could follow the tip.

use std::sync::Arc;

use bitcoin::Block;
use chain::rules::block_alone;
use chain::{AcceptError, Timestamp};

use crate::Api;

/// Checks a child of the tip against every rule but proof of work. Only what needs the chain's coins holds the node's lock: the
/// body is looked at before, and signatures, which take most of the time, after. Call from blocking threads only.
///
/// # Errors
///
/// The first rule that it breaks; [`AcceptError::UnknownParent`] if the tip is another.
pub(super) fn test_block(node: &Api, block: Block, now: Timestamp) -> Result<(), AcceptError> {
    let params = node.read(|core| Arc::clone(core.chain().params()));
    let header = block.header;
    let body = block_alone::check(block, &params);
    let (candidate, signatures) = node.read(|core| {
        let candidate = core.chain().test_coins(&header, body, now)?;
        Ok::<_, AcceptError>((candidate, Arc::clone(core.signatures())))
    })?;
    Ok(candidate.check_signatures(&signatures)?)
}
