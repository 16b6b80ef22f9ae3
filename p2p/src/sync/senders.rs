//! [`Senders`]: who sent the blocks that were stored lately, in case they turn out to be invalid on connecting.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::BlockHash;

use super::blame::Origin;
use super::timing::REMEMBERED_SENDERS;
use crate::PeerNum;

/// The last senders, bounded; the oldest is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Senders {
    by_hash: BTreeMap<BlockHash, (PeerNum, Origin)>,
    order: VecDeque<BlockHash>,
}

impl Senders {
    pub(super) fn remember(&mut self, hash: BlockHash, peer: PeerNum, origin: Origin) {
        if self.by_hash.insert(hash, (peer, origin)).is_none() {
            self.order.push_back(hash);
            if self.order.len() > REMEMBERED_SENDERS
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_hash.remove(&oldest);
            }
        }
    }

    pub(super) fn of(&self, hash: &BlockHash) -> Option<(PeerNum, Origin)> {
        self.by_hash.get(hash).copied()
    }
}
