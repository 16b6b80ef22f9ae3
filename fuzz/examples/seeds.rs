//! Writes the inputs that fuzzing starts from: valid headers, transactions, blocks and files, into `seeds/`, where they are
//! kept: run it when a format changes.
//!
//! ```text
//! cargo run --example seeds
//! ```

use std::fs;
use std::path::Path;

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Transaction};
use chain::fixtures::{BlockBuilder, Payment, TestChain, test_params};
use chain::{Height, Params};

fn main() {
    let params = TestChain::params();
    let [alice, bob] = TestChain::rich_keys();
    let coins = &params.genesis.txdata[1];
    let first = Payment::new()
        .spend_output_of(coins, 0, &alice)
        .spend_output_of(coins, 10, &bob)
        .pay(&bob, Amount::ONE_BTC)
        .pay(&alice, Amount::ONE_BTC)
        .sign();
    let second = Payment::new()
        .spend_output_of(&first, 0, &bob)
        .pay(&alice, Amount::ONE_BTC)
        .lock_time(1)
        .sequence(0)
        .sign();
    let block = BlockBuilder::first(&params)
        .with(&first)
        .with(&second)
        .mine();
    let empty = BlockBuilder::on(&params, &block.header, Height(2)).mine();
    for (name, block) in [("payments", &block), ("empty", &empty)] {
        write("block", name, &serialize(block));
        write("header", name, &serialize(&block.header));
        for (index, tx) in block.txdata.iter().enumerate() {
            write("transaction", &format!("{name}{index}"), &serialize(tx));
        }
    }
    let stripped = Transaction {
        input: first
            .input
            .iter()
            .map(|input| bitcoin::TxIn {
                witness: bitcoin::Witness::new(),
                ..input.clone()
            })
            .collect(),
        ..first.clone()
    };
    write("transaction", "stripped", &serialize(&stripped));
    write(
        "header",
        "genesis",
        &serialize(&test_params().genesis.header),
    );
    write("genesis", "local", Params::local_json().as_bytes());
    for which in 0..4 {
        write("rules", &format!("change{which}"), &[which, 3, 60, 1, 1]);
    }
    write(
        "store",
        "forks",
        b"\x30\x30\x31\x32\x00\x04\xf0\xfe\x30\x01\xfc\x30",
    );
    write_snapshot();
    write_messages(&block);
    write_frames(&[&block, &empty]);
    write_rows(&first);
    for (name, changes) in [
        ("nothing", &[][..]),
        ("a-bit", &[0x10, 0x22, 0, 0, 1, 1]),
        (
            "two",
            &[
                0, 0x10, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 9, 0x30, 0, 0, 2, 7, 7,
            ],
        ),
    ] {
        write("index", name, changes);
        write("database", name, changes);
    }
}

/// The network's magic is one byte there, which the target replaces.
fn write_frames(blocks: &[&bitcoin::Block]) {
    let mut file = Vec::new();
    for block in blocks {
        let bytes = serialize(*block);
        file.push(0xfe);
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    write("framing", "two", &file);
    file.truncate(file.len() - 9);
    file.splice(0..0, *b"rubbish");
    write("framing", "torn", &file);
}

/// A coin of each kind, and the undo data of a block that spends them.
fn write_rows(payment: &Transaction) {
    for (name, row) in chain::fixtures::stored::rows_of(payment) {
        write("stored", name, &row);
    }
}

/// Behind magic, version and digest, which the target puts in front.
fn write_snapshot() {
    const BEGINNING_BYTES: usize = 8 + 4 + 32;
    let mut net = TestChain::new();
    let mut file = Vec::new();
    net.mine("a1").mine("a2");
    chain::snapshot::dump(net.chain(), &mut file).expect("in memory");
    write("snapshot", "two", &file[BEGINNING_BYTES..]);
}

#[cfg(feature = "wire")]
fn write_messages(block: &bitcoin::Block) {
    use p2p::wire::Gossip;
    let mut bytes = vec![2];
    Gossip::Transaction(std::sync::Arc::new(block.txdata[1].clone())).encode(&mut bytes);
    write("wire", "transaction", &bytes);
}

#[cfg(not(feature = "wire"))]
fn write_messages(_block: &bitcoin::Block) {}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&dir).expect("the folder can be made");
    fs::write(dir.join(name), bytes).expect("the disk has room");
}
