//! [`Broken`]: blocks that were found to break a rule, in this run. Whoever follows one of them can be blamed. What is invalid for
//! another reason cannot be held against anyone: an operator marked it, or it was damaged here, and peers know nothing of that.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use chain::Height;

use super::ChainView;
use super::timing::REMEMBERED_BROKEN;

/// The last ones, bounded.
#[derive(Debug, Default)]
pub(super) struct Broken {
    blocks: VecDeque<(Height, BlockHash)>,
}

impl Broken {
    /// A rule failed in this very block.
    pub(super) fn note(&mut self, chain: &dyn ChainView, hash: &BlockHash) {
        let Some(header) = chain.header(hash) else {
            return;
        };
        let block = (header.height, *hash);
        if self.blocks.contains(&block) {
            return;
        }
        if self.blocks.len() >= REMEMBERED_BROKEN {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
    }

    /// Whether a known block is one of them, or follows one.
    pub(super) fn is_on(&self, chain: &dyn ChainView, tip: &BlockHash) -> bool {
        self.blocks.iter().any(|(height, hash)| {
            let at = chain.ancestor(tip, *height);
            at.is_some_and(|header| header.hash == *hash)
        })
    }
}
