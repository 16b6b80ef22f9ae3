//! Import of one-input payments by both nodes: the same file, on the same machine, in the same run, to disk, all signatures
//! checked.

use std::path::Path;
use std::time::Instant;

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Block, Transaction};
use chain::fixtures::{BlockBuilder, Key, Payment};
use chain::import::import;
use chain::{Chain, ChainOptions, Height, Params};
use rayon::prelude::*;
use tempfile::TempDir;

use crate::kernel::{Kernel, Signatures};
use crate::pair::now;
use crate::recorded;
use crate::scene::Owned;

const PAYMENTS_PER_BLOCK: u32 = 1_000;

/// Blocks before the first coinbase can be spent.
const FIRST_BLOCKS: u32 = 101;

/// What each payment gives away.
const PAID: Amount = Amount::from_sat(1_000);

const ROUNDS: usize = 3;

/// What a piece of work took.
pub(crate) struct Seconds {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// Makes a chain of so many payments, and imports it with both in turn.
pub(crate) fn run(payments: u64) {
    let dir = TempDir::new().expect("a directory can be made");
    let file = dir.path().join("blk00000.dat");
    let blocks = make(payments.div_ceil(u64::from(PAYMENTS_PER_BLOCK)));
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

pub(crate) fn measure(work: impl FnOnce()) -> Seconds {
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
    let mut growing = Growing::start(PAYMENTS_PER_BLOCK);
    growing.grow(full_blocks, PAID);
    growing.blocks
}

/// A chain of payments in the making.
#[derive(Clone)]
pub(crate) struct Growing {
    /// Without genesis.
    pub(crate) blocks: Vec<Block>,
    /// What the next block's payments spend.
    coins: Vec<Owned>,
}

impl Growing {
    /// Blocks until a coin matures, and one that divides it among the payments of each block to come.
    pub(crate) fn start(payments_per_block: u32) -> Growing {
        let payer = Key::p2tr("payer");
        let mut growing = Growing {
            blocks: Vec::new(),
            coins: Vec::new(),
        };
        for _ in 0..FIRST_BLOCKS {
            growing.mine(&[]);
        }
        let coinbase = Owned::of(&growing.blocks[0].txdata[0], 0, &payer);
        let part = coinbase.output.value / u64::from(payments_per_block);
        let divide = Payment::new().spend(coinbase.outpoint, &coinbase.output, &payer);
        let divide = (0..payments_per_block)
            .fold(divide, |payment, _| payment.pay(&payer, part))
            .sign();
        growing.mine(std::slice::from_ref(&divide));
        growing.coins = (0..payments_per_block)
            .map(|vout| Owned::of(&divide, vout, &payer))
            .collect();
        growing
    }

    /// Adds blocks whose payments each spend the change of one before, and give `paid` away.
    pub(crate) fn grow(&mut self, blocks: u64, paid: Amount) {
        let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
        for _ in 0..blocks {
            let payments: Vec<_> = self
                .coins
                .par_iter()
                .map(|coin| {
                    Payment::new()
                        .spend(coin.outpoint, &coin.output, &payer)
                        .pay(&payer, coin.output.value - paid)
                        .pay(&payee, paid)
                        .sign()
                })
                .collect();
            self.coins = payments
                .par_iter()
                .map(|tx| Owned::of(tx, 0, &payer))
                .collect();
            self.mine(&payments);
        }
    }

    fn mine(&mut self, payments: &[Transaction]) {
        let params = Params::bitcoin_regtest();
        let parent = self.blocks.last().unwrap_or(&params.genesis).header;
        let height = Height(self.blocks.len() as u32 + 1);
        let builder =
            BlockBuilder::on(&params, &parent, height).reward_to(Key::p2tr("payer").script());
        let builder = payments
            .iter()
            .fold(builder, |builder, tx| builder.with(tx));
        self.blocks.push(builder.mine());
    }
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
