//! Merkle roots of transaction ids.

use bitcoin::hashes::{Hash, sha256d};

use crate::pause;

/// A merkle root, and whether two neighbours on some level are equal: then another list of leaves has the same root.
pub(super) struct MerkleRoot {
    /// `None` if there are no leaves.
    pub(super) hash: Option<[u8; 32]>,
    pub(super) repeated: bool,
}

/// The root over `level`, whose last leaf counts twice where their number is odd, as on every level above.
pub(super) fn merkle_root(mut level: Vec<[u8; 32]>) -> MerkleRoot {
    let mut repeated = false;
    while level.len() > 1 {
        pause::point();
        repeated |= level.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        if level.len() % 2 == 1 {
            level.extend(level.last().copied());
        }
        for at in 0..level.len() / 2 {
            let pair = level[2 * at..2 * at + 2].as_flattened();
            level[at] = sha256d::Hash::hash(pair).to_byte_array();
        }
        level.truncate(level.len() / 2);
    }
    MerkleRoot {
        hash: level.first().copied(),
        repeated,
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::merkle_tree;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn roots_are_those_of_the_bitcoin_crate(leaves in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let expected = merkle_tree::calculate_root(leaves.iter().map(|leaf| sha256d::Hash::from_byte_array(*leaf)));
            prop_assert_eq!(merkle_root(leaves).hash, expected.map(|root| root.to_byte_array()));
        }
    }

    #[test]
    fn an_odd_last_leaf_and_the_same_leaf_twice_have_one_root() {
        let (a, b) = ([1; 32], [2; 32]);
        let odd = merkle_root(vec![a, b, b]);
        let even = merkle_root(vec![a, b, b, b]);
        assert_eq!(odd.hash, even.hash);
        assert!(!merkle_root(vec![a, b, a]).repeated);
        assert!(even.repeated);
    }
}
