//! `mend compare`: where two nodes differ, in few questions.
//!
//! First the chains: the highest block that both have, by halving heights. Then the coins at that block: a hash of all, and where it differs,
//! hashes of ever smaller ranges, sixteen for each that differs, until the coins themselves can be listed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{Auth, Client, RpcError, place};

/// Parts into which a range that differs is cut.
const PARTS: usize = 16;
/// Coins on both sides together that are listed rather than cut further.
const FEW: u64 = 64;
/// Ranges that are followed at a time; differences beyond them are counted, not named.
const MAX_RANGES: usize = 64;
/// Bytes of a key.
const KEY_BYTES: usize = 36;

const EXAMPLES: &str = "\
Examples:
  mend compare http://127.0.0.1:18443 ~/other-node
  mend compare http://user:password@127.0.0.1:18443 http://user:password@127.0.0.1:18453 --json";

/// Find the first block in which two nodes differ, and the coins that differ at one block.
///
/// The exit code is 0 when they agree (one may be ahead), 1 when they differ, and 2 when they cannot be asked.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// The data directory of a running node, or its URL, with user:password@ if it asks for one.
    first: String,
    /// The other node.
    second: String,
    /// Tell the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Whoever answers.
pub trait Ask {
    /// Calls a method by position.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, RpcError>;
}

impl Ask for Client {
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.call(method, params)
    }
}

/// Why two nodes were not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One cannot be asked.
    #[error("{node}: {error}")]
    Rpc {
        /// Which.
        node: &'static str,
        /// What it said.
        error: RpcError,
    },
    /// One gives a strange answer.
    #[error("{node}: {method} gave a strange answer; is it a node of this program?")]
    Strange {
        /// Which.
        node: &'static str,
        /// The call.
        method: &'static str,
    },
    /// They are of different networks.
    #[error("the nodes are of different networks: their genesis blocks are {0} and {1}")]
    Networks(String, String),
    /// There is no such node.
    #[error("{0} is neither a URL nor the data directory of a running node")]
    NoNode(String),
}

/// A block that one node has and the other has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Height of the first block in which they differ.
    pub height: u64,
    /// The block of each.
    pub blocks: [String; 2],
}

/// A coin that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct CoinDifference {
    /// Its transaction.
    pub txid: String,
    /// Its index.
    pub vout: u64,
    /// What each node says of it; `None`: it has none.
    pub coins: [Option<Value>; 2],
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

/// Two nodes, and how often they were asked.
struct Pair<'a, A> {
    nodes: [&'a mut A; 2],
    questions: [u64; 2],
}

const NAMES: [&str; 2] = ["the first node", "the second node"];

impl<A: Ask> Pair<'_, A> {
    fn one(&mut self, which: usize, method: &str, params: Value) -> Result<Value, CompareError> {
        self.questions[which] += 1;
        let answer = self.nodes[which].ask(method, params);
        answer.map_err(|error| CompareError::Rpc {
            node: NAMES[which],
            error,
        })
    }

    fn both(&mut self, method: &str, params: &Value) -> Result<[Value; 2], CompareError> {
        Ok([
            self.one(0, method, params.clone())?,
            self.one(1, method, params.clone())?,
        ])
    }

    fn hashes_at(&mut self, height: u64) -> Result<[String; 2], CompareError> {
        let both = self.both("getblockhash", &json!([height]))?;
        let text = |which: usize| {
            both[which]
                .as_str()
                .map(str::to_owned)
                .ok_or(CompareError::Strange {
                    node: NAMES[which],
                    method: "getblockhash",
                })
        };
        Ok([text(0)?, text(1)?])
    }
}

/// Compares two nodes.
///
/// # Errors
///
/// [`CompareError`].
pub fn compare<A: Ask>(first: &mut A, second: &mut A) -> Result<Comparison, CompareError> {
    let mut pair = Pair {
        nodes: [first, second],
        questions: [0; 2],
    };
    let counts = pair.both("getblockcount", &json!([]))?;
    let height_of = |which: usize| {
        counts[which].as_u64().ok_or(CompareError::Strange {
            node: NAMES[which],
            method: "getblockcount",
        })
    };
    let heights = [height_of(0)?, height_of(1)?];
    let (common, fork) = last_common(&mut pair, heights[0].min(heights[1]))?;
    let (coins, more) = differing_coins(&mut pair, &common.1)?;
    Ok(Comparison {
        heights,
        common,
        fork,
        coins,
        more,
        questions: pair.questions,
    })
}

/// The highest block that both have, and the one above it of each if both have one.
fn last_common<A: Ask>(
    pair: &mut Pair<'_, A>,
    lower: u64,
) -> Result<((u64, String), Option<Fork>), CompareError> {
    let [a, b] = pair.hashes_at(lower)?;
    if a == b {
        return Ok(((lower, a), None));
    }
    let mut differs = Fork {
        height: lower,
        blocks: [a, b],
    };
    let [a, b] = pair.hashes_at(0)?;
    if a != b {
        return Err(CompareError::Networks(a, b));
    }
    let mut same = (0, a);
    while same.0 + 1 < differs.height {
        let height = u64::midpoint(same.0, differs.height);
        let [a, b] = pair.hashes_at(height)?;
        if a == b {
            same = (height, a);
        } else {
            differs = Fork {
                height,
                blocks: [a, b],
            };
        }
    }
    Ok((same, Some(differs)))
}

type Key = [u8; KEY_BYTES];

/// From a key on, and before another; `None` for no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: Key,
    to: Option<Key>,
}

impl Range {
    fn shown(&self) -> [String; 2] {
        let hex = |key: &Key| {
            let digits = key.iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>()
        };
        [
            hex(&self.from),
            self.to.as_ref().map(hex).unwrap_or_default(),
        ]
    }

    /// Two halves; one if there is no key between.
    fn halves(&self) -> Vec<Range> {
        let middle = midpoint(&self.from, self.to.as_ref());
        if middle == self.from {
            return vec![*self];
        }
        let (low, high) = (
            Range {
                to: Some(middle),
                ..*self
            },
            Range {
                from: middle,
                ..*self
            },
        );
        vec![low, high]
    }

    fn parts(&self) -> Vec<Range> {
        let mut parts = vec![*self];
        while parts.len() < PARTS {
            let halves: Vec<Range> = parts.iter().flat_map(Range::halves).collect();
            if halves.len() == parts.len() {
                break;
            }
            parts = halves;
        }
        parts
    }
}

/// The key in the middle between two, as numbers; no end is the number after the last.
fn midpoint(from: &Key, to: Option<&Key>) -> Key {
    let mut sum = [0_u16; KEY_BYTES];
    let mut carry = 0;
    for at in (0..KEY_BYTES).rev() {
        let digit = u16::from(from[at]) + to.map_or(0, |to| u16::from(to[at])) + carry;
        sum[at] = digit & 0xff;
        carry = digit >> 8;
    }
    // The end of all keys is one in the place above the first.
    let mut above = carry + u16::from(to.is_none());
    let mut half = [0; KEY_BYTES];
    for (out, digit) in half.iter_mut().zip(sum) {
        let value = (above << 8) | digit;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half of at most 511 is a byte"
        )]
        {
            *out = (value / 2) as u8;
        }
        above = value % 2;
    }
    half
}

/// What a node says of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hashed {
    coins: u64,
    muhash: String,
}

/// The coins that differ at a block, and whether there are more.
fn differing_coins<A: Ask>(
    pair: &mut Pair<'_, A>,
    block: &str,
) -> Result<(Vec<CoinDifference>, bool), CompareError> {
    let all = Range {
        from: [0; KEY_BYTES],
        to: None,
    };
    let mut open = vec![all];
    let mut few: Vec<Range> = Vec::new();
    let mut more = false;
    while !open.is_empty() {
        let [a, b] = range_hashes(pair, block, &open)?;
        let mut next = Vec::new();
        for ((range, a), b) in open.iter().zip(a).zip(b) {
            if a == b {
                continue;
            }
            let parts = range.parts();
            if a.coins + b.coins <= FEW || parts.len() == 1 {
                few.push(*range);
            } else {
                next.extend(parts);
            }
        }
        more |= next.len() > MAX_RANGES * PARTS || few.len() > MAX_RANGES;
        next.truncate(MAX_RANGES * PARTS);
        few.truncate(MAX_RANGES);
        open = next;
    }
    let mut differences = Vec::new();
    for range in few {
        differences.extend(differing_in(pair, block, &range)?);
    }
    Ok((differences, more))
}

fn range_hashes<A: Ask>(
    pair: &mut Pair<'_, A>,
    block: &str,
    ranges: &[Range],
) -> Result<[Vec<Hashed>; 2], CompareError> {
    let shown: Vec<[String; 2]> = ranges.iter().map(Range::shown).collect();
    let answers = pair.both("getcoinhashes", &json!([block, shown]))?;
    let parsed = |which: usize| {
        let list = answers[which]["ranges"].as_array();
        let hashed = list.and_then(|list| {
            let one = |value: &Value| {
                Some(Hashed {
                    coins: value["coins"].as_u64()?,
                    muhash: value["muhash"].as_str()?.to_owned(),
                })
            };
            list.iter().map(one).collect::<Option<Vec<Hashed>>>()
        });
        hashed
            .filter(|hashed| hashed.len() == ranges.len())
            .ok_or(CompareError::Strange {
                node: NAMES[which],
                method: "getcoinhashes",
            })
    };
    Ok([parsed(0)?, parsed(1)?])
}

fn differing_in<A: Ask>(
    pair: &mut Pair<'_, A>,
    block: &str,
    range: &Range,
) -> Result<Vec<CoinDifference>, CompareError> {
    let [from, to] = range.shown();
    let lists = pair.both("listcoins", &json!([block, from, to]))?;
    let mut by_outpoint: BTreeMap<(String, u64), [Option<Value>; 2]> = BTreeMap::new();
    for (which, list) in lists.into_iter().enumerate() {
        let strange = || CompareError::Strange {
            node: NAMES[which],
            method: "listcoins",
        };
        let Value::Array(list) = list else {
            return Err(strange());
        };
        for coin in list {
            let txid = coin["txid"].as_str().ok_or_else(strange)?.to_owned();
            let vout = coin["vout"].as_u64().ok_or_else(strange)?;
            by_outpoint.entry((txid, vout)).or_default()[which] = Some(coin);
        }
    }
    let differing = by_outpoint.into_iter().filter(|(_, [a, b])| a != b);
    let differences = differing.map(|((txid, vout), coins)| CoinDifference { txid, vout, coins });
    Ok(differences.collect())
}

/// Runs `mend compare`.
#[must_use]
pub fn run(args: &CompareArgs) -> ExitCode {
    let compared = client_of(&args.first).and_then(|mut first| {
        let mut second = client_of(&args.second)?;
        compare(&mut first, &mut second)
    });
    match compared {
        Ok(found) => {
            let printed = if args.json {
                terminal::line(json_of(&found))
            } else {
                terminal::line(text_of(&found))
            };
            match printed {
                Ok(()) => ExitCode::from(u8::from(found.differs())),
                Err(error) => error.exit_code(),
            }
        }
        Err(error) => {
            terminal::note(format_args!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// A URL, or the data directory of a running node, which tells its own.
fn client_of(place: &str) -> Result<Client, CompareError> {
    let dir = PathBuf::from(place);
    if !dir.is_dir() {
        return Ok(Client::new(place, Auth::None).with_timeout(std::time::Duration::ZERO));
    }
    let no_node = || CompareError::NoNode(place.to_owned());
    let url = place::published_url(&dir).ok_or_else(no_node)?;
    let auth = Auth::Cookie(place::cookie_file(&dir));
    Ok(Client::new(&url, auth).with_timeout(std::time::Duration::ZERO))
}

fn json_of(found: &Comparison) -> Value {
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

fn text_of(found: &Comparison) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with a chain and coins of its own; a hash of a range is its content.
    struct Fake {
        blocks: Vec<String>,
        coins: BTreeMap<Key, String>,
    }

    fn key_from(text: &str) -> Key {
        let mut key = [0; KEY_BYTES];
        for (at, byte) in key.iter_mut().enumerate().take(text.len() / 2) {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).expect("hex");
        }
        key
    }

    impl Fake {
        fn range(&self, pair: &Value) -> Vec<(&Key, &String)> {
            let from = key_from(pair[0].as_str().expect("text"));
            let to = pair[1].as_str().expect("text");
            let to = (!to.is_empty()).then(|| key_from(to));
            self.coins
                .iter()
                .filter(|(key, _)| **key >= from && to.is_none_or(|to| **key < to))
                .collect()
        }
    }

    impl Ask for Fake {
        fn ask(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
            Ok(match method {
                "getblockcount" => json!(self.blocks.len() - 1),
                "getblockhash" => {
                    let height = usize::try_from(params[0].as_u64().expect("a height"));
                    json!(self.blocks[height.expect("small")])
                }
                "getcoinhashes" => {
                    assert!(self.blocks.iter().any(|block| params[0] == block.as_str()));
                    let ranges = params[1].as_array().expect("a list").iter().map(|pair| {
                        let coins = self.range(pair);
                        json!({"coins": coins.len(), "muhash": format!("{coins:?}")})
                    });
                    json!({"ranges": ranges.collect::<Vec<Value>>()})
                }
                "listcoins" => {
                    let pair = json!([params[1], params[2]]);
                    let list = self.range(&pair).into_iter().map(|(key, coin)| {
                        let vout = u32::from_be_bytes(key[32..].try_into().expect("4 bytes"));
                        json!({"txid": format!("{:02x?}", &key[..32]), "vout": vout, "value": coin})
                    });
                    json!(list.collect::<Vec<Value>>())
                }
                other => panic!("{other}"),
            })
        }
    }

    fn chain(length: usize, fork: Option<(usize, &str)>) -> Vec<String> {
        let name = |height| match fork {
            Some((from, branch)) if height >= from => format!("{branch}{height}"),
            _ => format!("block {height}"),
        };
        (0..=length).map(name).collect()
    }

    /// Coins with keys that look random; some share a transaction.
    fn coins(count: u64) -> BTreeMap<Key, String> {
        let coin = |number: u64| {
            let mut key = [0; KEY_BYTES];
            let mut dice = (number / 3 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for chunk in key[..32].chunks_mut(8) {
                dice = (dice ^ (dice >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                chunk.copy_from_slice(&dice.to_be_bytes());
            }
            key[35] = u8::try_from(number % 3).expect("small");
            (key, format!("{number}"))
        };
        (0..count).map(coin).collect()
    }

    #[test]
    fn the_first_block_that_differs_is_found_by_halving() {
        for (length, other, fork) in [
            (1_000, 1_500, 1),
            (1_000, 1_000, 1_000),
            (100_000, 90_000, 31_337),
        ] {
            let coins = coins(10);
            let mut a = Fake {
                blocks: chain(length, Some((fork, "a"))),
                coins: coins.clone(),
            };
            let mut b = Fake {
                blocks: chain(other, Some((fork, "b"))),
                coins,
            };
            let found = compare(&mut a, &mut b).expect("compared");
            let height = u64::try_from(fork).expect("small");
            assert_eq!(found.common.0, height - 1);
            let blocks = [format!("a{fork}"), format!("b{fork}")];
            assert_eq!(found.fork, Some(Fork { height, blocks }));
            assert!(found.differs() && found.coins.is_empty());
            // Height, both ends, the halvings, one for the coins.
            let halvings = u64::from(length.min(other).ilog2()) + 1;
            assert!(found.questions[0] <= halvings + 4, "{:?}", found.questions);
            assert_eq!(found.questions[0], found.questions[1]);
        }
    }

    #[test]
    fn one_that_is_only_ahead_does_not_differ() {
        let coins = coins(100);
        let mut a = Fake {
            blocks: chain(50, None),
            coins: coins.clone(),
        };
        let mut b = Fake {
            blocks: chain(70, None),
            coins,
        };
        let found = compare(&mut a, &mut b).expect("compared");
        assert!(!found.differs());
        assert_eq!(found.common, (50, "block 50".to_owned()));
        assert_eq!(found.questions, [3, 3]);
        b.blocks[0] = "other".to_owned();
        b.blocks[50] = "other".to_owned();
        let error = compare(&mut a, &mut b).expect_err("strangers");
        assert!(matches!(error, CompareError::Networks(..)));
    }

    #[test]
    fn coins_that_differ_are_found_in_a_logarithmic_number_of_questions() {
        let whole = coins(20_000);
        let keys: Vec<Key> = whole.keys().copied().collect();
        let mut a = Fake {
            blocks: chain(5, None),
            coins: whole.clone(),
        };
        let mut hurt = whole;
        hurt.remove(&keys[7]);
        hurt.insert(keys[12_345], "another".to_owned());
        let mut extra = keys[19_000];
        extra[32] = 0xff;
        hurt.insert(extra, "invented".to_owned());
        let mut b = Fake {
            blocks: chain(5, None),
            coins: hurt,
        };
        let found = compare(&mut a, &mut b).expect("compared");
        assert!(found.differs() && !found.more);
        let has: Vec<[bool; 2]> = found
            .coins
            .iter()
            .map(|coin| [coin.coins[0].is_some(), coin.coins[1].is_some()])
            .collect();
        assert_eq!(has.len(), 3);
        for wanted in [[true, false], [true, true], [false, true]] {
            assert!(has.contains(&wanted), "{has:?}");
        }
        // Heights and tip, the rounds of hashes (log2 of the coins would be 14), and a list for each of three.
        assert!(found.questions[0] <= 2 + 14 + 3, "{:?}", found.questions);
    }

    #[test]
    fn outputs_of_one_transaction_are_told_apart() {
        let mut many = BTreeMap::new();
        for vout in 0..3_000_u32 {
            let mut key = [9; KEY_BYTES];
            key[32..].copy_from_slice(&vout.to_be_bytes());
            many.insert(key, "coin".to_owned());
        }
        let mut a = Fake {
            blocks: chain(1, None),
            coins: many.clone(),
        };
        many.pop_last();
        let mut b = Fake {
            blocks: chain(1, None),
            coins: many,
        };
        let found = compare(&mut a, &mut b).expect("compared");
        assert_eq!(found.coins.len(), 1);
        assert_eq!(found.coins[0].vout, 2_999);
        // All keys begin alike: each round cuts 4 of 288 bits off.
        assert!(found.questions[0] <= 2 + 72 + 1, "{:?}", found.questions);
    }
}
