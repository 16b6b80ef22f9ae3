//! Walking to ancestors in logarithmic time, by one skip link per node.
//!
//! The height that a node's skip link points at depends on its own height only (as in Bitcoin Core): clearing low bits gives
//! long jumps on even heights, and odd heights point close, so that a walk can correct its course.

use super::node::{NO_NODE, Nodes};
use super::{BlockTree, HeaderInfo, NodeId};
use crate::units::Height;

/// `n` without its lowest set bit.
fn clear_lowest_bit(n: u32) -> u32 {
    n & n.wrapping_sub(1)
}

/// The height that the skip link of a node at `height` points at.
fn skip_height(height: u32) -> u32 {
    if height < 2 {
        0
    } else if height % 2 == 1 {
        clear_lowest_bit(clear_lowest_bit(height - 1)) + 1
    } else {
        clear_lowest_bit(height)
    }
}

impl Nodes {
    /// The skip link for a child of `parent`.
    pub(super) fn skip_for_child(&self, parent: NodeId) -> u32 {
        let height = self.get(parent).height + 1;
        self.ancestor(parent, skip_height(height))
            .map_or(NO_NODE, |id| id.0)
    }

    /// The ancestor of `id` at `height` (itself if equal), `None` above it.
    pub(super) fn ancestor(&self, id: NodeId, height: u32) -> Option<NodeId> {
        let mut walk = id;
        let mut at = self.get(id).height;
        if height > at {
            return None;
        }
        while at > height {
            let node = self.get(walk);
            let by_skip = skip_height(at);
            let by_parents_skip = skip_height(at - 1);
            // Jump unless it overshoots, or the parent's own link would come closer than two jumps from here.
            let jump = by_skip == height
                || (by_skip > height
                    && !(by_parents_skip + 2 < by_skip && by_parents_skip >= height));
            if jump {
                walk = NodeId(node.skip);
                at = by_skip;
            } else {
                walk = NodeId(node.parent);
                at -= 1;
            }
        }
        Some(walk)
    }

    /// The last common ancestor. All nodes share genesis, so there is one.
    pub(super) fn fork_point(&self, a: NodeId, b: NodeId) -> NodeId {
        let height = self.get(a).height.min(self.get(b).height);
        let at_height = |id| {
            self.ancestor(id, height)
                .expect("the height is not above it")
        };
        let (mut a, mut b) = (at_height(a), at_height(b));
        while a != b {
            let (node_a, node_b) = (self.get(a), self.get(b));
            // Equal heights have equal skip heights. If the skipped-to nodes differ, the fork is below them.
            if node_a.skip != node_b.skip {
                (a, b) = (NodeId(node_a.skip), NodeId(node_b.skip));
            } else {
                (a, b) = (NodeId(node_a.parent), NodeId(node_b.parent));
            }
        }
        a
    }
}

impl BlockTree {
    /// The ancestor of `id` at `height` (itself if equal), `None` above it. Logarithmic by skip links.
    pub fn ancestor(&self, id: NodeId, height: Height) -> Option<HeaderInfo> {
        Some(self.info(self.nodes.ancestor(id, height.0)?))
    }

    /// The place of the ancestor at a height that `id` or one of its ancestors has.
    pub(crate) fn ancestor_id(&self, id: NodeId, height: Height) -> NodeId {
        let ancestor = self.nodes.ancestor(id, height.0);
        ancestor.expect("every height up to a block's own has an ancestor")
    }

    /// Whether `ancestor` is an ancestor of `id`, or `id` itself.
    pub fn is_ancestor(&self, ancestor: NodeId, id: NodeId) -> bool {
        self.nodes.ancestor(id, self.nodes.get(ancestor).height) == Some(ancestor)
    }

    /// The last common ancestor.
    pub fn fork_point(&self, a: NodeId, b: NodeId) -> HeaderInfo {
        self.info(self.nodes.fork_point(a, b))
    }

    /// The nodes above `ancestor` up to and including `id`, lowest first.
    pub(crate) fn path(&self, ancestor: NodeId, id: NodeId) -> Vec<NodeId> {
        let base = self.nodes.get(ancestor).height;
        let mut path = Vec::with_capacity((self.nodes.get(id).height - base) as usize);
        let mut walk = id;
        while self.nodes.get(walk).height > base {
            path.push(walk);
            walk = NodeId(self.nodes.get(walk).parent);
        }
        debug_assert_eq!(walk, ancestor, "the path ends at an ancestor");
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_heights_lie_below_and_walks_are_short() {
        assert_eq!(
            [0, 1, 2, 3, 4, 8, 9, 12].map(skip_height),
            [0, 0, 0, 1, 0, 0, 1, 8]
        );
        for height in 1..100_000 {
            assert!(skip_height(height) < height);
        }
    }
}
