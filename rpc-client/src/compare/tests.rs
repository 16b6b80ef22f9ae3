use std::collections::BTreeMap;

use serde_json::Value;

use super::coins::{KEY_BYTES, Key};
use super::*;
use crate::RpcError;

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
