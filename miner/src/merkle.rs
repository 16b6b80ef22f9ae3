//! [`CoinbasePath`]: how the other transactions of a block enter its merkle root.

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{TxMerkleNode, Txid};

/// The siblings on the coinbase's way to the merkle root, from the leaves up. They stay the same whatever the coinbase is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbasePath(Vec<TxMerkleNode>);

impl CoinbasePath {
    /// The path in a block whose transactions after the coinbase are `others`, in order.
    #[must_use]
    pub fn new(others: impl Iterator<Item = Txid>) -> Self {
        let mut path = Vec::new();
        // `level` leaves out the leftmost node, which is the one we do not know.
        let mut level: Vec<TxMerkleNode> = others.map(TxMerkleNode::from).collect();
        while !level.is_empty() {
            path.push(level[0]);
            level = level[1..]
                .chunks(2)
                .map(|pair| join(pair[0], *pair.last().unwrap_or(&pair[0])))
                .collect();
        }
        Self(path)
    }

    /// The siblings, from the leaves up: the merkle branch of Stratum.
    #[must_use]
    pub fn siblings(&self) -> &[TxMerkleNode] {
        &self.0
    }

    /// The merkle root of the block with this coinbase.
    #[must_use]
    pub fn root(&self, coinbase: Txid) -> TxMerkleNode {
        let leaf = TxMerkleNode::from(coinbase);
        self.0
            .iter()
            .fold(leaf, |node, sibling| join(node, *sibling))
    }
}

fn join(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    let mut engine = sha256d::Hash::engine();
    engine.input(left.as_byte_array());
    engine.input(right.as_byte_array());
    TxMerkleNode::from_raw_hash(sha256d::Hash::from_engine(engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_agrees_with_the_whole_tree() {
        let txid =
            |i: u32| Txid::from_byte_array(sha256d::Hash::hash(&i.to_le_bytes()).to_byte_array());
        for count in 0..70 {
            let coinbase = txid(1_000);
            let all = std::iter::once(coinbase).chain((0..count).map(txid));
            let root = bitcoin::merkle_tree::calculate_root(all.map(TxMerkleNode::from));
            let path = CoinbasePath::new((0..count).map(txid));
            assert_eq!(Some(path.root(coinbase)), root, "{count} others");
        }
    }
}
