//! Forks: equal work, more work, invalid blocks in the middle, the same coin on both sides; and a random tree.

use bitcoin::block::Header;
use bitcoin::{Amount, Block};
use chain::Height;

use crate::pair::Tally;
use crate::random::Random;
use crate::scene::{Draft, Owned, Scene, payment};
use crate::verdict::Verdict;

/// Blocks of the random tree.
const TREE_BLOCKS: u32 = 600;

/// Runs on chains with coins.
pub(crate) fn compare() -> Tally {
    let mut tally = chosen();
    for seed in 1..=4 {
        tally.add(random_tree(seed));
    }
    tally
}

fn chosen() -> Tally {
    let mut scene = Scene::new("forks");
    let fork = (scene.tip_header(), scene.height());
    let coin = scene.take(true, 1);
    let other = scene.take(false, 1);

    // Equal work: the first stays. One more: the other wins. Both sides spend the same coin.
    let a1 = grow(&mut scene, fork, 1, |draft| {
        draft.with(payment(&coin).sign())
    });
    let b1 = grow(&mut scene, fork, 2, |draft| {
        draft.with(payment(&[coin[0].clone(), other[0].clone()]).sign())
    });
    let b2 = grow(&mut scene, b1, 2, |draft| draft);
    let a2 = grow(&mut scene, a1, 1, |draft| draft);
    let a3 = grow(&mut scene, a2, 1, |draft| draft);
    // A coin that the other side spent is spent again.
    let b3 = grow(&mut scene, b2, 2, |draft| draft.with(payment(&coin).sign()));
    grow(&mut scene, b3, 2, |draft| draft);
    scene.pair.compare_coins("forks: after a double spend");

    // A longer chain with an invalid block in the middle: its valid part wins if it is longer.
    let mut tip = a1;
    for step in 0..6 {
        tip = grow(&mut scene, tip, 3, |mut draft| {
            if step == 3 {
                draft.coinbase.output[0].value += Amount::ONE_SAT;
            }
            draft
        });
    }
    scene.pair.compare_coins("forks: after an invalid block");
    // Bad bodies on a side: found at once, or only when connected.
    let mut tip = a3;
    for (step, fault) in ["", "late", "height", ""].into_iter().enumerate() {
        tip = grow(&mut scene, tip, 4 + step as u64, |mut draft| {
            match fault {
                "late" => draft.coinbase.output[0].value *= 2,
                "height" => {
                    draft.coinbase.input[0].script_sig = bitcoin::ScriptBuf::from_bytes(vec![1; 9])
                }
                _ => {}
            }
            draft
        });
    }
    // Sixty blocks back and forth.
    for (length, salt) in [(60, 10), (61, 11), (62, 12)] {
        let mut tip = fork;
        for _ in 0..length {
            tip = grow(&mut scene, tip, salt, |draft| draft);
        }
    }
    scene.finish()
}

/// A block on any block, given to both.
fn grow(
    scene: &mut Scene,
    parent: (Header, Height),
    salt: u64,
    change: impl FnOnce(Draft) -> Draft,
) -> (Header, Height) {
    let height = parent.1.next();
    let draft = change(scene.draft_on(&parent.0, height).salt(salt));
    let block = draft.build();
    scene.submit(&format!("height {height}, salt {salt}"), &block);
    (block.header, height)
}

/// Blocks on random parents near the tips, that spend random coins: some are spent on that branch already, some were never
/// created there.
fn random_tree(seed: u64) -> Tally {
    let mut scene = Scene::new(&format!("tree {seed}"));
    let mut random = Random::new(seed);
    let mut ends = vec![(scene.tip_header(), scene.height())];
    let mut coins: Vec<Owned> = scene.coins.clone();
    for n in 0..TREE_BLOCKS {
        let near = ends.len().min(12);
        let place = ends.len() - 1 - random.below(near);
        let parent = ends[place];
        let height = parent.1.next();
        let mut draft = scene.draft_on(&parent.0, height).salt(u64::from(n));
        for _ in 0..random.below(4) {
            let newest = coins.len().min(60);
            let chosen = match random.below(3) {
                0 => coins.len() - 1 - random.below(newest),
                _ => random.below(coins.len()),
            };
            let coin = coins[chosen].clone();
            if coin.output.value < Amount::from_sat(5_000) {
                continue;
            }
            let half = coin.output.value / 2 - Amount::from_sat(500);
            let (a, b) = (crate::scene::taproot_key(), crate::scene::witness_key());
            let spend = crate::scene::spending(&[coin]);
            draft.txs.push(spend.pay(&a, half).pay(&b, half).sign());
        }
        let block = draft.build();
        let outcome = scene.submit(&format!("block {n} at height {height}"), &block);
        if outcome.reason() == Some("bad-prevblk") {
            ends.remove(place);
            continue;
        }
        // Some blocks go on invalid ones.
        let known = outcome.verdict == Verdict::Stored;
        if outcome.reason().is_none() || known && random.below(6) == 0 {
            ends.push((block.header, height));
            coins.extend(outputs_of(&block));
        }
        if n % 100 == 0 {
            scene.pair.compare_coins(&format!("tree {seed}: block {n}"));
        }
    }
    scene.finish()
}

fn outputs_of(block: &Block) -> Vec<Owned> {
    let keys = [crate::scene::taproot_key(), crate::scene::witness_key()];
    block
        .txdata
        .iter()
        .skip(1)
        .flat_map(|tx| {
            keys.iter()
                .zip(0..)
                .map(|(key, vout)| Owned::of(tx, vout, key))
                .collect::<Vec<_>>()
        })
        .collect()
}
