//! [`Comparison`]: what was found, and how it is told.

use serde_json::{Value, json};

use super::coins::CoinDifference;

/// A block that one node has and the other has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Height of the first block in which they differ.
    pub height: u64,
    /// The block of each.
    pub blocks: [String; 2],
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Heights of the tips.
    pub heights: [u64; 2],
    /// The highest block that both have: height and hash.
    pub common: (u64, String),
    /// Where they part, unless one is only ahead.
    pub fork: Option<Fork>,
    /// Coins that differ at the common block.
    pub coins: Vec<CoinDifference>,
    /// Whether there are more of these than were followed.
    pub more: bool,
    /// Calls to each node.
    pub questions: [u64; 2],
}

impl Comparison {
    /// Whether the nodes differ in what both have.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.fork.is_some() || !self.coins.is_empty() || self.more
    }
}

pub(super) fn json_of(found: &Comparison) -> Value {
    let coins = found.coins.iter().map(|coin| {
        json!({"txid": coin.txid, "vout": coin.vout, "first": coin.coins[0], "second": coin.coins[1]})
    });
    json!({
        "differs": found.differs(),
        "heights": found.heights,
        "common_height": found.common.0,
        "common_hash": found.common.1,
        "fork": found.fork.as_ref().map(|fork| json!({"height": fork.height, "blocks": fork.blocks})),
        "coins": coins.collect::<Vec<Value>>(),
        "more_coins": found.more,
        "questions": found.questions,
    })
}

pub(super) fn text_of(found: &Comparison) -> String {
    let [a, b] = found.heights;
    let (height, hash) = &found.common;
    let mut lines = match &found.fork {
        Some(fork) => vec![
            format!("the chains part after block {hash} at height {height}"),
            format!("height {}: first  {}", fork.height, fork.blocks[0]),
            format!("height {}: second {}", fork.height, fork.blocks[1]),
        ],
        None if a == b => vec![format!("one tip: {hash} at height {height}")],
        None => {
            let (ahead, blocks) = (if a > b { "first" } else { "second" }, a.abs_diff(b));
            vec![format!(
                "one chain; the {ahead} node is {blocks} blocks ahead of {hash} at height {height}"
            )]
        }
    };
    if found.coins.is_empty() && !found.more {
        lines.push(format!("the coins at height {height} are the same"));
    }
    for coin in &found.coins {
        let said = |coin: &Option<Value>| match coin {
            None => "none".to_owned(),
            Some(coin) => format!(
                "{} of height {} to {}",
                coin["value"], coin["height"], coin["scriptPubKey"]
            ),
        };
        lines.push(format!(
            "coin {}:{} differs\n  first  {}\n  second {}",
            coin.txid,
            coin.vout,
            said(&coin.coins[0]),
            said(&coin.coins[1])
        ));
    }
    if found.more {
        lines.push("more coins differ than are named".to_owned());
    }
    let [to_first, to_second] = found.questions;
    lines.push(format!("{to_first} + {to_second} questions"));
    lines.join("\n")
}
