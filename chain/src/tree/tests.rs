use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{CompactTarget, TxMerkleNode};

use super::*;

fn child_of(parent: BlockHash, salt: u32) -> Header {
    Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time: salt,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: salt,
    }
}

struct Grown {
    tree: BlockTree,
    salt: u32,
}

impl Grown {
    fn new() -> Grown {
        let genesis = child_of(BlockHash::all_zeros(), 0);
        Grown {
            tree: BlockTree::new(&genesis, 1),
            salt: 0,
        }
    }

    fn genesis(&self) -> NodeId {
        NodeId(0)
    }

    fn header(&mut self, parent: NodeId) -> NodeId {
        self.salt += 1;
        let header = child_of(self.tree.hash(parent), self.salt);
        self.tree.insert(&header, header.block_hash()).unwrap()
    }

    fn block(&mut self, parent: NodeId) -> NodeId {
        let id = self.header(parent);
        self.tree.add_body(id, 1);
        id
    }

    fn chain(&mut self, parent: NodeId, length: usize) -> Vec<NodeId> {
        let mut tip = parent;
        (0..length)
            .map(|_| {
                tip = self.block(tip);
                tip
            })
            .collect()
    }

    fn best(&self) -> NodeId {
        self.tree.candidates().next().unwrap()
    }

    fn activate(&mut self) -> NodeId {
        let best = self.best();
        self.tree.set_tip(best);
        self.tree.prune_candidates();
        best
    }
}

#[test]
fn more_work_wins_and_first_complete_wins_a_tie() {
    //   G - a1 - a2
    //     \ b1 - b2 - b3
    let mut grown = Grown::new();
    let a = grown.chain(grown.genesis(), 2);
    let b1 = grown.block(grown.genesis());
    let b2 = grown.block(b1);
    assert_eq!(grown.activate(), a[1]);
    let b3 = grown.block(b2);
    assert_eq!(grown.activate(), b3);
}

#[test]
fn a_header_without_body_is_best_header_but_no_candidate() {
    let mut grown = Grown::new();
    let a1 = grown.header(grown.genesis());
    let a2 = grown.block(a1);
    assert_eq!(grown.best(), grown.genesis());
    assert_eq!(grown.tree.best_header().id, a2);
    grown.tree.add_body(a1, 1);
    assert_eq!(grown.activate(), a2);
}

#[test]
fn failure_falls_back_to_the_valid_prefix_and_reconsidering_restores() {
    //   G - a1 - a2
    //     \ b1 - b2 - b3x - b4
    let mut grown = Grown::new();
    let a = grown.chain(grown.genesis(), 2);
    let b = grown.chain(grown.genesis(), 4);
    grown.tree.mark_failed(b[2]);
    assert_eq!(grown.best(), a[1], "equal work: first complete");
    assert!(grown.tree.status(b[3]).failed_ancestor);
    let late = grown.header(b[3]);
    assert!(
        grown.tree.status(late).failed_ancestor,
        "children of failed blocks are born failed"
    );
    grown.tree.prefer(b[1]);
    assert_eq!(grown.activate(), b[1]);
    assert_eq!(grown.tree.best_header().id, a[1]);
    assert_eq!(grown.tree.reconsider(b[3]), [b[2]]);
    assert_eq!(grown.activate(), b[3]);
    assert_eq!(grown.tree.best_header().id, late);
}

#[test]
fn a_lost_body_takes_its_descendants_out_until_it_is_back() {
    let mut grown = Grown::new();
    let a = grown.chain(grown.genesis(), 4);
    grown.tree.remove_body(a[1], false);
    assert_eq!(grown.best(), a[0]);
    grown.tree.add_body(a[1], 1);
    assert_eq!(grown.best(), a[3]);
}

#[test]
fn ancestors_forks_and_locators_agree_with_walking() {
    let mut grown = Grown::new();
    let trunk = grown.chain(grown.genesis(), 700);
    let branch = grown.chain(trunk[300], 500);
    let tip = branch[499];
    let naive = |height: usize| match height {
        0 => grown.genesis(),
        1..=301 => trunk[height - 1],
        _ => branch[height - 302],
    };
    for height in 0..=801 {
        let ancestor = grown.tree.ancestor(tip, Height(height as u32)).unwrap();
        assert_eq!(
            (ancestor.id, ancestor.height.0),
            (naive(height), height as u32)
        );
    }
    assert!(grown.tree.ancestor(tip, Height(802)).is_none());
    assert_eq!(grown.tree.fork_point(tip, trunk[699]).id, trunk[300]);
    assert_eq!(grown.tree.fork_point(tip, trunk[100]).id, trunk[100]);
    assert_eq!(
        grown.tree.path(trunk[299], branch[1]),
        [trunk[300], branch[0], branch[1]]
    );
    let locator = grown.tree.locator(tip);
    assert!(locator.len() <= MAX_LOCATOR);
    assert_eq!(locator[0], grown.tree.hash(tip));
    assert_eq!(locator[10], grown.tree.hash(branch[489]));
    assert_eq!(*locator.last().unwrap(), grown.tree.hash(grown.genesis()));
    assert_eq!(grown.tree.leaves().len(), 2);
}

#[test]
fn median_time_past_takes_at_most_eleven_times() {
    let mut grown = Grown::new();
    let chain = grown.chain(grown.genesis(), 20);
    assert_eq!(grown.tree.median_time_past(grown.genesis()), Timestamp(0));
    assert_eq!(
        grown.tree.median_time_past(chain[0]),
        Timestamp(1),
        "upper of two"
    );
    assert_eq!(grown.tree.median_time_past(chain[19]), Timestamp(15));
}

#[test]
fn a_header_takes_less_than_150_bytes() {
    let mut grown = Grown::new();
    let mut tip = grown.genesis();
    for _ in 0..120_000 {
        tip = grown.header(tip);
        let count = grown.tree.len();
        if count > 50_000 {
            assert!(grown.tree.memory_bytes() < 150 * count, "at {count}");
        }
    }
}
