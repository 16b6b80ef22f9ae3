//! `hash_serialized_3` from its definition, beside the chain's own: nothing of the crate but the blocks is used here.

use std::collections::BTreeMap;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{Amount, Block, BlockHash};
use chain::fixtures::{Key, Payment, TestChain};
use chain::import::import;
use chain::{Chain, ChainOptions, Params};

use crate::oracle::core_chain;
use crate::story::NOW;

/// What starts each block of a `blk*.dat` file of Bitcoin Core's regtest.
const REGTEST_MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

/// Scripts beyond this can never run, and their outputs are not kept, in bytes.
const MAX_SCRIPT_BYTES: usize = 10_000;

const OP_RETURN: u8 = 0x6a;

/// What is unspent, by id as it is in transactions and index: what Bitcoin Core hashes of a coin after its outpoint.
type Unspent = BTreeMap<([u8; 32], u32), Vec<u8>>;

/// Takes a block at `height`: what it spends goes, what it creates comes.
fn apply(unspent: &mut Unspent, block: &Block, height: u32) {
    for (index, tx) in block.txdata.iter().enumerate() {
        if index > 0 {
            for input in &tx.input {
                let spent = input.previous_output;
                let spent = (spent.txid.to_byte_array(), spent.vout);
                assert!(unspent.remove(&spent).is_some(), "it is there to be spent");
            }
        }
        let txid = tx.compute_txid().to_byte_array();
        for (vout, output) in (0..).zip(&tx.output) {
            let script = output.script_pubkey.as_bytes();
            if script.first() == Some(&OP_RETURN) || script.len() > MAX_SCRIPT_BYTES {
                continue;
            }
            let mut coin = (height * 2 + u32::from(index == 0)).to_le_bytes().to_vec();
            coin.extend(serialize(output));
            unspent.insert((txid, vout), coin);
        }
    }
}

/// The double SHA-256 over all coins in order of id and index, as people are shown it.
fn hash(unspent: &Unspent) -> String {
    let mut engine = sha256d::Hash::engine();
    for ((txid, vout), coin) in unspent {
        engine.input(txid);
        engine.input(&vout.to_le_bytes());
        engine.input(coin);
    }
    sha256d::Hash::from_engine(engine).to_string()
}

/// Blocks of a file in order of their heights, genesis first.
fn blocks_of(mut file: &[u8], genesis: &Block) -> Vec<Block> {
    let mut by_parent: BTreeMap<BlockHash, Block> = BTreeMap::new();
    while let Some(rest) = file.strip_prefix(&REGTEST_MAGIC) {
        let (length, rest) = rest.split_at(4);
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let (block, rest) = rest.split_at(length);
        let block: Block = deserialize(block).unwrap();
        by_parent.insert(block.header.prev_blockhash, block);
        file = rest;
    }
    assert!(file.is_empty(), "the file is frames only");
    let mut chain = vec![genesis.clone()];
    while let Some(next) = by_parent.remove(&chain[chain.len() - 1].block_hash()) {
        chain.push(next);
    }
    chain
}

#[test]
fn hash_serialized_3_of_a_chain_of_core_is_what_its_definition_says() {
    let file = std::fs::read(core_chain()).unwrap();
    let params = Params::bitcoin_regtest();
    let mut unspent = Unspent::new();
    let blocks = blocks_of(&file, &params.genesis);
    assert_eq!(blocks.len(), 163);
    // Core never spends genesis' coinbase, nor counts it.
    for (height, block) in (0..).zip(&blocks).skip(1) {
        apply(&mut unspent, block, height);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(dir.path(), params, ChainOptions::default()).unwrap();
    import(&mut chain, file.as_slice(), NOW, &mut |_| {}).unwrap();
    let stats = chain.coin_set_stats(true).unwrap();
    assert_eq!((stats.coins, unspent.len()), (5042, 5042));
    assert_eq!(stats.serialized.unwrap().to_string(), hash(&unspent));
}

#[test]
fn hash_serialized_3_orders_many_outputs_by_their_numbers() {
    let mut net = TestChain::new();
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    let coin = net.pay(&alice, &bob, Amount::ONE_BTC).input[0].previous_output;
    let output = net.chain().coin(&coin).unwrap().unwrap().output;
    // Beyond 255, where the order of bytes would differ from that of numbers.
    let many = (1..=600).fold(
        Payment::new().spend(coin, &output, &alice),
        |payment, sat| payment.pay(&bob, Amount::from_sat(1_000 + sat)),
    );
    let many = many.sign();
    let again = Payment::new()
        .spend_output_of(&many, 300, &bob)
        .pay(&alice, Amount::from_sat(500))
        .sign();
    net.including(&many).mine("a1");
    net.including(&again).mine("a2").mine("a3");

    let mut unspent = Unspent::new();
    // Allocations are coins from the start, and not of a coinbase.
    let allocations = &net.chain().params().genesis.txdata[1];
    let txid = allocations.compute_txid().to_byte_array();
    for (vout, output) in (0..).zip(&allocations.output) {
        let coin = [&0u32.to_le_bytes()[..], &serialize(output)].concat();
        unspent.insert((txid, vout), coin);
    }
    for (height, name) in [(1, "a1"), (2, "a2"), (3, "a3")] {
        apply(&mut unspent, net.block(name), height);
    }
    let stats = net.chain().coin_set_stats(true).unwrap();
    assert!(stats.coins > 600);
    assert_eq!(stats.serialized.unwrap().to_string(), hash(&unspent));
}
