//! [`Withheld`]: branches whose bodies do not come, although headers of checked work lead there. Another branch is fetched before
//! them, also one of less work, as long as it is worth more than ours. The blame of peers is not decided here: a branch is
//! known by its block, so that new identities with the same headers gain nothing.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use chain::Height;

use super::KnownHeader;
use super::outbox::Context;
use super::timing::{MAX_WITHHELD, WITHHELD_PAUSE, WITHHELD_PAUSE_MAX, doubled};
use crate::Mono;

/// A block that did not come.
#[derive(Debug)]
struct Branch {
    height: Height,
    until: Mono,
    times: u32,
}

/// Branches that wait, bounded.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    branches: BTreeMap<BlockHash, Branch>,
    /// When the download of the present path began, or last went on.
    moved: Mono,
}

impl Withheld {
    /// The path is new, or a body of it came.
    pub(super) fn came(&mut self, now: Mono) {
        self.moved = now;
    }

    /// When the download of the path began, or last went on.
    pub(super) fn moved(&self) -> Mono {
        self.moved
    }

    /// Whether a chain leads over a block that is to be left for later.
    pub(super) fn is_on(&self, cx: &Context<'_>, tip: &KnownHeader) -> bool {
        self.branches.iter().any(|(hash, branch)| {
            branch.until > cx.now
                && cx
                    .chain
                    .ancestor(&tip.hash, branch.height)
                    .is_some_and(|header| header.hash == *hash)
        })
    }

    /// This block keeps its branch back.
    pub(super) fn add(&mut self, hash: BlockHash, height: Height, now: Mono) {
        if self.branches.len() >= MAX_WITHHELD && !self.branches.contains_key(&hash) {
            let oldest = self.branches.iter().min_by_key(|(_, branch)| branch.until);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                self.branches.remove(&oldest);
            }
        }
        let branch = self.branches.entry(hash).or_insert(Branch {
            height,
            until: now,
            times: 0,
        });
        branch.until = now + doubled(WITHHELD_PAUSE, branch.times, WITHHELD_PAUSE_MAX);
        branch.times += 1;
        self.moved = now;
    }
}
