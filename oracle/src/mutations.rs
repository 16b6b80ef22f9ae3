//! Valid blocks, changed at random: bits, fields, transactions, faults of every rule.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxMerkleNode, TxOut, Witness,
};
use chain::fixtures::{commit_to_witnesses, grind};
use chain::rules::header::target_of_bits;
use chain::script::is_spendable_kind;

use crate::faults::FAULTS;
use crate::pair::Tally;
use crate::random::Random;
use crate::scene::{Draft, Owned, Scene, spending, taproot_key, witness_key};

/// Mutants of each valid block.
const MUTANTS: usize = 25;

/// Numbers that lie at limits.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    3,
    15,
    16,
    17,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x3f_ffff,
    0x40_0000,
    499_999_999,
    500_000_000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    2_100_000_000_000_000,
];

/// Mutants on one chain: not so many that subsidies end.
const MUTANTS_OF_CHAIN: usize = 5_000;

/// Feeds `count` mutants to both, on as many chains as it takes, and the valid blocks between them.
pub(crate) fn compare(count: usize, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    let mut left = count;
    while left > 0 {
        let next = left.min(MUTANTS_OF_CHAIN);
        tally.add(compare_on_one_chain(next, random.next()));
        left -= next;
    }
    tally
}

fn compare_on_one_chain(count: usize, seed: u64) -> Tally {
    let mut scene = Scene::new(&format!("mutations of seed {seed:016x}"));
    let mut random = Random::new(seed);
    let mut fed = 0;
    let mut round = 0u64;
    while fed < count {
        round += 1;
        let draft = valid_draft(&scene, &mut random, round);
        let block = draft.build();
        for n in 0..MUTANTS {
            let bytes = mutant(&scene, &draft, &block, &mut random);
            if spends_other_kind(&scene, &bytes) {
                continue;
            }
            fed += 1;
            let case = format!("round {round}, mutant {n}");
            let outcome = scene.submit_bytes(&case, &bytes);
            follow(&mut scene, &bytes, outcome.tip);
        }
        let bytes = serialize(&block);
        let case = format!("round {round}, the valid block");
        let outcome = scene.submit_bytes(&case, &bytes);
        follow(&mut scene, &bytes, outcome.tip);
        if round.is_multiple_of(40) {
            scene.pair.compare_coins(&case);
        }
    }
    scene.finish()
}

/// A block with some payments of several shapes.
fn valid_draft(scene: &Scene, random: &mut Random, salt: u64) -> Draft {
    let mut draft = scene.draft().salt(salt);
    let keys = [taproot_key(), witness_key()];
    for _ in 0..1 + random.below(4) {
        let coins: Vec<Owned> = (0..1 + random.below(3))
            .map(|_| draft.coin(scene, random.below(2) == 0))
            .collect();
        let sum: Amount = coins.iter().map(|coin| coin.output.value).sum();
        let outputs = 1 + random.below(4);
        let part = (sum - Amount::from_sat(1_000)) / outputs as u64;
        let paying = (0..outputs).fold(spending(&coins), |payment, _| {
            payment.pay(random.pick(&keys), part)
        });
        let mut tx = paying.version(1 + random.below(2) as i32).sign();
        draft.txs.push(tx.clone());
        // Some are spent in the same block.
        for _ in 0..random.below(3) {
            let key = keys
                .iter()
                .find(|key| key.script() == tx.output[0].script_pubkey);
            let coin = Owned::of(&tx, 0, key.expect("paid to one of them"));
            let value = coin.output.value - Amount::from_sat(500);
            tx = spending(&[coin]).pay(random.pick(&keys), value).sign();
            draft.txs.push(tx.clone());
        }
    }
    draft
}

/// Serialised, as it may be no block at all.
fn mutant(scene: &Scene, draft: &Draft, block: &Block, random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0 => {
            let mut bytes = serialize(block);
            flip(&mut bytes, random);
            bytes
        }
        1 => {
            let mut draft = draft.clone();
            for _ in 0..1 + random.below(2) {
                let (name, fault) = random.pick(FAULTS);
                // Heavy ones are slow, and compared elsewhere.
                if !name.starts_with("too heavy") && !name.starts_with("too long") {
                    fault(&mut draft, scene);
                }
            }
            serialize(&draft.build())
        }
        2 => {
            let mut block = block.clone();
            change_header(&mut block, random);
            serialize(&block)
        }
        3 => {
            // The witness is changed, and nothing that commits to it.
            let mut block = block.clone();
            let tx = random.below(block.txdata.len());
            change_witness(&mut block.txdata[tx], random);
            serialize(&block)
        }
        kind => {
            let mut block = block.clone();
            for _ in 0..1 + random.below(2) {
                let place = random.below(block.txdata.len());
                if kind < 7 {
                    let mut bytes = serialize(&block.txdata[place]);
                    flip(&mut bytes, random);
                    if let Ok(changed) = deserialize::<Transaction>(&bytes) {
                        block.txdata[place] = changed;
                    }
                } else {
                    change_transactions(&mut block, place, random);
                }
            }
            commit_again(&mut block, random);
            serialize(&block)
        }
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let place = random.below(bytes.len());
    bytes[place] ^= 1 << random.below(8);
}

fn change_header(block: &mut Block, random: &mut Random) {
    let header = &mut block.header;
    match random.below(5) {
        0 => header.version = bitcoin::block::Version::from_consensus(random.next() as i32),
        1 => header.time = *random.pick(&EDGES) as u32,
        2 => {
            header.time = header
                .time
                .wrapping_add_signed(random.below(20_000) as i32 - 10_000)
        }
        3 => {
            header.bits = bitcoin::CompactTarget::from_consensus(
                0x2000_0000 + random.next() as u32 % 0x200_0000,
            )
        }
        _ => header.merkle_root = TxMerkleNode::from_byte_array([random.next() as u8; 32]),
    }
    mine_if_possible(block);
}

/// Mines again, if the bits are so easy that it is no work.
fn mine_if_possible(block: &mut Block) {
    let easy = target_of_bits(block.header.bits).is_some_and(|target| target.to_be_bytes()[0] > 0);
    if easy {
        grind(&mut block.header);
    }
}

fn change_witness(tx: &mut Transaction, random: &mut Random) {
    let Some(place) = (!tx.input.is_empty()).then(|| random.below(tx.input.len())) else {
        return;
    };
    let mut items = tx.input[place].witness.to_vec();
    match random.below(6) {
        0 => drop(items.pop()),
        1 => items.push(vec![0x50; random.below(4)]),
        2 => items.insert(0, vec![]),
        3 => items.clear(),
        _ => {
            if let Some(item) = items.last_mut() {
                item.push(random.next() as u8);
                flip(item, random);
            }
        }
    }
    tx.input[place].witness = Witness::from_slice(&items);
}

/// Changes fields of one transaction, or the list.
fn change_transactions(block: &mut Block, place: usize, random: &mut Random) {
    let edge = *random.pick(&EDGES);
    let count = block.txdata.len();
    let other = block.txdata[random.below(count)].clone();
    let tx = &mut block.txdata[place];
    let (inputs, outputs) = (tx.input.len().max(1), tx.output.len().max(1));
    let (input, output) = (random.below(inputs), random.below(outputs));
    match random.below(18) {
        0 => tx.lock_time = LockTime::from_consensus(edge as u32),
        1 => {
            tx.lock_time = LockTime::from_consensus(edge as u32);
            tx.input
                .iter_mut()
                .for_each(|input| input.sequence = Sequence::ZERO);
        }
        2 => tx.version = bitcoin::transaction::Version(edge as i32),
        3 => set(tx.input.get_mut(input), |input| {
            input.sequence = Sequence(edge as u32)
        }),
        4 => set(tx.output.get_mut(output), |output| {
            output.value = Amount::from_sat(edge)
        }),
        5 => set(tx.output.get_mut(output), |output| {
            output.value =
                Amount::from_sat(output.value.to_sat().wrapping_add_signed(edge as i64 - 3));
        }),
        6 => tx.output.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: random_script(random),
        }),
        7 => set(tx.output.get_mut(output), |output| {
            output.script_pubkey = random_script(random)
        }),
        8 => set(tx.input.get_mut(input), |input| {
            input.script_sig = random_script(random)
        }),
        9 => {
            let copy = tx.input.get(input).cloned();
            tx.input.extend(copy);
        }
        10 => set(tx.input.get_mut(input), |input| {
            let source = other
                .input
                .first()
                .map_or(OutPoint::null(), |input| input.previous_output);
            input.previous_output = source;
        }),
        11 => set(tx.input.get_mut(input), |input| {
            input.previous_output = OutPoint {
                txid: other.compute_txid(),
                vout: edge as u32 % 4,
            };
        }),
        12 => change_witness(tx, random),
        13 => tx.output.truncate(random.below(2)),
        14 => block.txdata.push(other),
        15 => block.txdata.swap(place, random.below(count)),
        16 => drop(block.txdata.remove(place)),
        _ => block.txdata.insert(place, other),
    }
}

fn set<T>(place: Option<&mut T>, change: impl FnOnce(&mut T)) {
    if let Some(place) = place {
        change(place);
    }
}

fn random_script(random: &mut Random) -> ScriptBuf {
    const OPERATIONS: [u8; 16] = [
        0x00, 0x01, 0x14, 0x20, 0x4c, 0x4d, 0x4e, 0x51, 0x60, 0x6a, 0x76, 0x87, 0xa9, 0xac, 0xae,
        0xff,
    ];
    let length = random.below(40);
    ScriptBuf::from_bytes((0..length).map(|_| *random.pick(&OPERATIONS)).collect())
}

/// Makes the header and the coinbase fit the changed transactions: mostly.
fn commit_again(block: &mut Block, random: &mut Random) {
    let coinbase_is_whole = block
        .txdata
        .first()
        .is_some_and(|tx| !tx.input.is_empty() && !tx.output.is_empty());
    if coinbase_is_whole && random.below(8) > 0 {
        block.txdata[0].output.pop();
        commit_to_witnesses(&mut block.txdata);
    }
    let root = block.compute_merkle_root();
    block.header.merkle_root = root.unwrap_or(TxMerkleNode::all_zeros());
    mine_if_possible(block);
}

/// Whether the block spends an output of another kind: what Core would say of it is no part of the comparison.
fn spends_other_kind(scene: &Scene, bytes: &[u8]) -> bool {
    let Ok(block) = deserialize::<Block>(bytes) else {
        return false;
    };
    let in_block = |outpoint: &OutPoint| {
        let tx = block
            .txdata
            .iter()
            .find(|tx| tx.compute_txid() == outpoint.txid)?;
        Some(tx.output.get(outpoint.vout as usize)?.script_pubkey.clone())
    };
    block.txdata.iter().flat_map(|tx| &tx.input).any(|input| {
        let outpoint = &input.previous_output;
        let before = scene.pair.ours().coin(outpoint);
        let script = before
            .map(|coin| coin.output.script_pubkey)
            .or_else(|| in_block(outpoint));
        script.is_some_and(|script| !is_spendable_kind(&script))
    })
}

/// If the block became the tip, what it spent is gone and what it paid can be spent.
fn follow(scene: &mut Scene, bytes: &[u8], tip: bitcoin::BlockHash) {
    let Ok(block) = deserialize::<Block>(bytes) else {
        return;
    };
    if block.block_hash() != tip || scene.coinbases.len() as u32 == scene.height().0 {
        return;
    }
    scene
        .coinbases
        .push(Owned::of(&block.txdata[0], 0, &taproot_key()));
    let ours = scene.pair.ours();
    let mut coins = std::mem::take(&mut scene.coins);
    for tx in block.txdata.iter().skip(1) {
        for (vout, output) in (0..).zip(&tx.output) {
            let key = [taproot_key(), witness_key()]
                .into_iter()
                .find(|key| key.script() == output.script_pubkey);
            if let Some(key) = key.filter(|_| output.value > Amount::from_sat(10_000)) {
                coins.push(Owned::of(tx, vout, &key));
            }
        }
    }
    coins.retain(|coin| ours.coin(&coin.outpoint).is_some());
    scene.coins = coins;
}
