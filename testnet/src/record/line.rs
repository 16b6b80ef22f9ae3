//! The lines of a record. What can be computed from them (reorgs, agreement, fates, stale blocks) is not among them.

use bitcoin::{BlockHash, OutPoint, Txid};
use serde::{Deserialize, Serialize};

use crate::plan::{FaultKind, Plan};

/// One line of `record.jsonl`. Times `t` are microseconds since the start of the run, virtual or real.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "kebab-case")]
pub enum Line {
    /// What runs: the first line.
    Start(Box<Start>),
    /// A transaction; each once, before the first line that names it.
    Transaction(Transaction),
    /// A block; each once, when it is first known, and before the first line that names it.
    Block(Block),
    /// A block joined a node's active chain.
    Connected {
        /// When.
        t: u64,
        /// Whose.
        node: usize,
        /// The block: its parent was the node's tip.
        hash: BlockHash,
    },
    /// A block left a node's active chain.
    Disconnected {
        /// When.
        t: u64,
        /// Whose.
        node: usize,
        /// The block: it was the node's tip.
        hash: BlockHash,
    },
    /// A payment was handed to a node.
    Handed {
        /// When.
        t: u64,
        /// To whom.
        node: usize,
        /// Its id.
        txid: Txid,
        /// Its place among the planned payments; absent: nobody planned it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<usize>,
        /// Why the node did not take it, in Bitcoin Core's words; absent: it took it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// A planned payment could not be made: no transaction came to be.
    Unpaid {
        /// When.
        t: u64,
        /// Its place among the planned payments.
        payment: usize,
        /// Why.
        why: String,
    },
    /// A fault has taken effect.
    Begun {
        /// When.
        t: u64,
        /// Its place among the planned faults; of a network run by hand, the next number.
        fault: usize,
        /// What it is, if it was not planned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        what: Option<FaultKind>,
    },
    /// A fault has been taken back.
    Ended {
        /// When.
        t: u64,
        /// As in [`Line::Begun`].
        fault: usize,
    },
    /// A fault did not take place.
    Failed {
        /// When that was known.
        t: u64,
        /// As in [`Line::Begun`].
        fault: usize,
        /// Why, as in "the link carried 4120 bytes while it was cut".
        why: String,
    },
    /// A node is up, on what its disk holds.
    Up {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// Its tip.
        tip: BlockHash,
    },
    /// A node is gone.
    Down {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// How it went.
        how: Exit,
    },
    /// A node sent a peer away.
    Parted {
        /// When.
        t: u64,
        /// Who.
        node: usize,
        /// Whom.
        peer: usize,
        /// Why.
        reason: String,
    },
    /// What was sent since the last such line for the same ends and kind.
    Traffic {
        /// When.
        t: u64,
        /// Who sent; absent: the sum of all nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<usize>,
        /// To whom; absent: the sum of all nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<usize>,
        /// Kind of the messages; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// How many, where messages can be told apart.
        #[serde(default)]
        messages: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// What a node has in its mempool: told when a healing is over or given up, and at the end.
    Mempool {
        /// When.
        t: u64,
        /// Whose.
        node: usize,
        /// Payments that it would put into a block.
        txids: Vec<Txid>,
        /// Payments that it keeps for another change of its chain.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        aside: Vec<Txid>,
    },
    /// A node's coins, at the end.
    Coins {
        /// When.
        t: u64,
        /// Whose.
        node: usize,
        /// The tip that they belong to.
        tip: BlockHash,
        /// Their MuHash.
        muhash: String,
        /// Their sum, in satoshi.
        amount_sat: u64,
    },
    /// Something that must never happen and that only the engine could see, as a storage that failed.
    Violated {
        /// When.
        t: u64,
        /// Name of the rule.
        rule: String,
        /// In words.
        detail: String,
    },
    /// The last line.
    End(End),
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The whole plan.
    pub plan: Plan,
    /// What carries it out.
    pub engine: Engine,
    /// The seed that the plan was made with.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// SHA-256 of the program that the nodes run; absent in the simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How many times as fast as the plan says: only real nodes are made to hurry. Times of the plan are divided by it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub speed: f64,
    /// What the plan asks for and this engine cannot do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The first block.
    pub genesis: Genesis,
}

fn one() -> f64 {
    1.0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(speed: &f64) -> bool {
    *speed == 1.0
}

/// What carries a plan out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Virtual time.
    Sim,
    /// Real processes.
    Real,
}

/// The first block, and how coins come to be after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Its hash. Its height is 0.
    pub hash: BlockHash,
    /// Sum of the coins that it gives, in satoshi.
    pub coins_sat: u64,
    /// What a block may create at first, in satoshi.
    pub subsidy_sat: u64,
    /// After so many blocks it is halved, again and again; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halving_blocks: Option<u32>,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id.
    pub txid: Txid,
    /// The coins that it spends; none for a coinbase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spends: Vec<OutPoint>,
    /// The coins that it makes, in satoshi.
    pub outputs_sat: Vec<u64>,
    /// Whether it is the reward of a block.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coinbase: bool,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// When it was found, or first seen if nobody knows who found it.
    pub t: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// Its parent, which an earlier line told or which is the genesis block.
    pub parent: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its own work: expected number of hashes.
    pub work: u64,
    /// Who found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<usize>,
    /// What its coinbase gives, fees included, in satoshi.
    pub reward_sat: u64,
    /// Id of its coinbase.
    pub coinbase: Txid,
    /// Its other transactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Txid>,
}

/// How a node went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By order, with a signal that leaves it no time.
    Killed,
    /// By order, in order.
    Stopped,
    /// By order, and what was not on its disk is lost.
    PowerCut,
    /// By itself: nobody asked it to.
    Died(String),
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub t: u64,
    /// What the engine could not go on for; absent: the plan was carried out to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Number of lines before this one, so that a record with a hole is noticed.
    pub lines: u64,
    /// Events that the simulator handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

impl Genesis {
    /// Sum of all coins after so many blocks, in satoshi: what genesis gave, and all subsidies.
    pub fn supply_sat(&self, height: u32) -> u64 {
        let mut sum = self.coins_sat;
        let (mut left, mut subsidy) = (u64::from(height), self.subsidy_sat);
        // Of the first era the genesis block is one, and gives no subsidy beyond its coins.
        let era = self.halving_blocks.map(u64::from);
        let mut in_era = era.map_or(u64::MAX, |era| era.saturating_sub(1));
        while left > 0 && subsidy > 0 {
            let blocks = left.min(in_era);
            sum += blocks * subsidy;
            left -= blocks;
            subsidy /= 2;
            in_era = era.unwrap_or(u64::MAX).max(1);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    #[test]
    fn the_supply_follows_the_halvings() {
        let genesis = Genesis {
            hash: BlockHash::all_zeros(),
            coins_sat: 7,
            subsidy_sat: 50,
            halving_blocks: Some(3),
        };
        // Heights 1 and 2 give 50, heights 3 to 5 give 25, height 6 gives 12.
        let supplies: Vec<u64> = (0..=6).map(|height| genesis.supply_sat(height)).collect();
        assert_eq!(supplies, [7, 57, 107, 132, 157, 182, 194]);
        assert_eq!(
            genesis.supply_sat(1_000),
            7 + 100 + 3 * (25 + 12 + 6 + 3 + 1)
        );
        let steady = Genesis {
            halving_blocks: None,
            ..genesis
        };
        assert_eq!(steady.supply_sat(10), 507);
    }

    #[test]
    fn lines_are_small_and_read_back() {
        let hash = BlockHash::all_zeros();
        let line = Line::Connected {
            t: 5,
            node: 1,
            hash,
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            format!(r#"{{"e":"connected","t":5,"node":1,"hash":"{hash}"}}"#)
        );
        let line = Line::Down {
            t: 1,
            node: 0,
            how: Exit::Died("exit status 101".to_owned()),
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"e":"down","t":1,"node":0,"how":{"died":"exit status 101"}}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
