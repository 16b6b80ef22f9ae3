//! What an index has to do next to follow a chain.

use bitcoin::BlockHash;

use crate::chain::Chain;
use crate::tree::HeaderInfo;
use crate::units::Height;

/// What an index has to do to follow a chain.
#[derive(Debug)]
pub enum IndexStep {
    /// These blocks come next, lowest first. What was indexed above the parent of the first does not count any more.
    Connect(Vec<HeaderInfo>),
    /// This block is the last that counts: the chain went back.
    Rewind(HeaderInfo),
    /// All that is committed is indexed.
    Done,
    /// The body of the next block is damaged, and not replaced yet.
    Wait,
}

/// What an index with these `indexed` blocks (the last and ever earlier ones) has to do next to follow what `chain` has committed,
/// connecting `max_blocks` at most. Blocks that the chain does not know, for it was replaced by an older one, are passed over.
#[must_use]
pub fn next_step(chain: &Chain, indexed: &[BlockHash], max_blocks: usize) -> IndexStep {
    let tree = chain.tree();
    let target = chain.flushed_tip();
    let known = indexed.iter().find_map(|hash| tree.id_of(hash));
    let first = match known {
        None => Height::GENESIS,
        Some(known) => {
            let fork = tree.fork_point(known, target.id);
            if fork.id == target.id {
                let is_there = indexed.first() == Some(&target.hash);
                return if is_there {
                    IndexStep::Done
                } else {
                    IndexStep::Rewind(target)
                };
            }
            fork.height.next()
        }
    };
    let next: Vec<HeaderInfo> = (first.0..=target.height.0)
        .map_while(|height| tree.ancestor(target.id, Height(height)))
        // A body that never was here, below a snapshot of coins, is passed over; one that was comes back.
        .take_while(|info| info.status.has_body || !info.status.connected)
        .take(max_blocks)
        .collect();
    if next.is_empty() {
        IndexStep::Wait
    } else {
        IndexStep::Connect(next)
    }
}
