//! Locators: hashes of our chain by which a peer finds where its own leaves it.

use bitcoin::BlockHash;
use chain::Height;

use super::KnownHeader;
use super::outbox::Context;
use crate::wire::limits::MAX_LOCATOR;

/// Our locator, with what the peer is known to have in its place by height: it may be on another branch than ours.
pub(super) fn locator_for(cx: &Context<'_>, peer_best: Option<KnownHeader>) -> Vec<BlockHash> {
    let mut locator = cx.chain.locator();
    if let Some(best) = peer_best {
        let is_above = |hash: &BlockHash| {
            cx.chain
                .header(hash)
                .is_some_and(|header| header.height > best.height)
        };
        let place = locator
            .iter()
            .position(|hash| !is_above(hash))
            .unwrap_or(locator.len());
        if locator.get(place) != Some(&best.hash) {
            locator.insert(place, best.hash);
        }
    }
    locator.truncate(MAX_LOCATOR);
    locator
}

/// Hashes of our chain from just below `above` down to `last`, evenly spread; `None` if nothing lies between them.
pub(super) fn locator_between(
    cx: &Context<'_>,
    above: BlockHash,
    last: KnownHeader,
) -> Option<Vec<BlockHash>> {
    let top = cx.chain.header(&above)?.height.0;
    let bottom = last.height.0;
    let ours = cx.chain.ancestor(&above, last.height)?;
    if ours.hash != last.hash || top <= bottom {
        return None;
    }
    let most = u32::try_from(MAX_LOCATOR - 1).unwrap_or(u32::MAX);
    let step = (top - bottom).div_ceil(most).max(1);
    let heights = (1..most)
        .map(|n| bottom + n * step)
        .take_while(|height| *height < top);
    let mut hashes: Vec<BlockHash> = heights
        .filter_map(|height| cx.chain.ancestor(&above, Height(height)))
        .map(|header| header.hash)
        .collect();
    hashes.reverse();
    hashes.push(last.hash);
    Some(hashes)
}
