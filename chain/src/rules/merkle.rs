//! Merkle roots of transaction ids.

use sha2::block_api::compress256;

/// The state before the first block (FIPS 180-4, 5.3.3).
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// What follows 64 bytes: the end mark and the length in bits.
const PADDING_OF_64_BYTES: [u8; 64] = {
    let mut block = [0; 64];
    block[0] = 0x80;
    block[62] = 2;
    block
};

/// What a hash of 32 bytes is put into for the second round: the end mark and the length in bits.
const FRAME_OF_32_BYTES: [u8; 64] = {
    let mut block = [0; 64];
    block[32] = 0x80;
    block[62] = 1;
    block
};

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
        repeated |= level.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        if level.len() % 2 == 1 {
            level.extend(level.last().copied());
        }
        for at in 0..level.len() / 2 {
            level[at] = hash_of_pair(&level[2 * at], &level[2 * at + 1]);
        }
        level.truncate(level.len() / 2);
    }
    MerkleRoot {
        hash: level.first().copied(),
        repeated,
    }
}

/// SHA-256 twice, of 64 bytes. The general way, which buffers and counts bytes, takes three times as long.
fn hash_of_pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    let mut state = INITIAL_STATE;
    compress256(&mut state, &[pair, PADDING_OF_64_BYTES]);
    let mut framed = FRAME_OF_32_BYTES;
    framed[..32].copy_from_slice(&bytes_of(&state));
    let mut state = INITIAL_STATE;
    compress256(&mut state, &[framed]);
    bytes_of(&state)
}

fn bytes_of(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(4).zip(state) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::{Hash, sha256d};
    use bitcoin::merkle_tree;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pairs_and_roots_are_those_of_the_bitcoin_crate(leaves in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            if let [left, right, ..] = leaves[..] {
                let pair = sha256d::Hash::hash([left, right].as_flattened());
                prop_assert_eq!(hash_of_pair(&left, &right), pair.to_byte_array());
            }
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
