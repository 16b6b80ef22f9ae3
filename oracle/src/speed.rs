//! Import of one-input payments by both nodes: the same file, on the same machine, in the same run, to disk, all signatures
//! checked.

use std::path::Path;
use std::time::Instant;

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Block};
use chain::fixtures::{BlockBuilder, Key, Payment};
use chain::import::import;
use chain::{Chain, ChainOptions, Height, Params};
use rayon::prelude::*;
use tempfile::TempDir;

use crate::kernel::{Kernel, Signatures};
use crate::pair::now;
use crate::recorded;
use crate::scene::Owned;

const PAYMENTS_PER_BLOCK: u64 = 1_000;

/// Blocks before the first coinbase can be spent.
const FIRST_BLOCKS: u32 = 101;

/// What each payment gives away.
const PAID: Amount = Amount::from_sat(1_000);

const ROUNDS: usize = 3;

/// Seconds of an import.
struct Seconds {
    wall: f64,
    cpu: f64,
}

/// Makes a chain of so many payments, and imports it with both in turn.
pub(crate) fn run(payments: u64) {
    let dir = TempDir::new().expect("a directory can be made");
    let file = dir.path().join("blk00000.dat");
    let blocks = make(payments.div_ceil(PAYMENTS_PER_BLOCK));
    std::fs::write(&file, framed(&blocks)).expect("the disk has room");
    println!(
        "{} blocks, {payments} one-input P2TR payments",
        blocks.len()
    );
    drop(blocks);
    for round in 1..=ROUNDS {
        let core = import_by_core(&file);
        let ours = import_by_us(&file);
        println!(
            "round {round}: Core {:.2} s wall, {:.2} s CPU; ours {:.2} s wall, {:.2} s CPU; {:.2} times as fast",
            core.wall,
            core.cpu,
            ours.wall,
            ours.cpu,
            core.wall / ours.wall
        );
    }
}

/// Reading and decoding the file is part of both.
fn import_by_core(file: &Path) -> Seconds {
    let dir = TempDir::new().expect("a directory can be made");
    measure(|| {
        let mut kernel = Kernel::open(dir.path(), Signatures::Last, false);
        let blocks = recorded::read_frames(file);
        for block in blocks.frames() {
            let outcome = kernel.submit(block);
            assert_eq!(outcome.reason(), None);
        }
        // Closing flushes.
        drop(kernel);
    })
}

fn import_by_us(file: &Path) -> Seconds {
    let dir = TempDir::new().expect("a directory can be made");
    measure(|| {
        let params = Params::bitcoin_regtest();
        let mut chain = Chain::open(dir.path(), params, ChainOptions::default()).expect("new");
        let file = std::fs::File::open(file).expect("it is there");
        let report = import(&mut chain, file, now(), &mut |_| {}).expect("storage works");
        assert_eq!((report.rejected, report.orphans), (0, 0));
        drop(chain);
    })
}

fn measure(work: impl FnOnce()) -> Seconds {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work();
    Seconds {
        wall: start.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
    }
}

/// User and system time of this process so far; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// Blocks until a coin matures, one that divides it, and blocks whose payments each spend the change of one before.
fn make(full_blocks: u64) -> Vec<Block> {
    let params = Params::bitcoin_regtest();
    let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
    let mut blocks: Vec<Block> = Vec::new();
    let next = |blocks: &[Block]| {
        let parent = blocks.last().unwrap_or(&params.genesis).header;
        let height = Height(blocks.len() as u32 + 1);
        BlockBuilder::on(&params, &parent, height).reward_to(payer.script())
    };
    for _ in 0..FIRST_BLOCKS {
        blocks.push(next(&blocks).mine());
    }
    let coinbase = Owned::of(&blocks[0].txdata[0], 0, &payer);
    let part = coinbase.output.value / PAYMENTS_PER_BLOCK;
    let divide = Payment::new().spend(coinbase.outpoint, &coinbase.output, &payer);
    let divide = (0..PAYMENTS_PER_BLOCK)
        .fold(divide, |payment, _| payment.pay(&payer, part))
        .sign();
    blocks.push(next(&blocks).with(&divide).mine());
    let mut coins: Vec<Owned> = (0..PAYMENTS_PER_BLOCK as u32)
        .map(|vout| Owned::of(&divide, vout, &payer))
        .collect();
    for _ in 0..full_blocks {
        let payments: Vec<_> = coins
            .par_iter()
            .map(|coin| {
                Payment::new()
                    .spend(coin.outpoint, &coin.output, &payer)
                    .pay(&payer, coin.output.value - PAID)
                    .pay(&payee, PAID)
                    .sign()
            })
            .collect();
        coins = payments
            .par_iter()
            .map(|tx| Owned::of(tx, 0, &payer))
            .collect();
        let builder = next(&blocks);
        blocks.push(
            payments
                .iter()
                .fold(builder, |builder, tx| builder.with(tx))
                .mine(),
        );
    }
    blocks
}

fn framed(blocks: &[Block]) -> Vec<u8> {
    let magic = chain::framing::magic(&Params::bitcoin_regtest());
    let mut file = Vec::new();
    for block in blocks {
        let bytes = serialize(block);
        file.extend(magic);
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    file
}
