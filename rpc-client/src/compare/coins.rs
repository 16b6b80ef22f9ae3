//! Where the coins of two nodes differ: hashes of ever smaller ranges of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pair::{Ask, CompareError, NAMES, Pair};

/// Parts into which a range that differs is cut.
const PARTS: usize = 16;
/// Coins on both sides together that are listed rather than cut further.
const FEW: u64 = 64;
/// Ranges that are followed at a time; differences beyond them are counted, not named.
const MAX_RANGES: usize = 64;
/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 36;

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

pub(super) type Key = [u8; KEY_BYTES];

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
pub(super) fn differing_coins<A: Ask>(
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
