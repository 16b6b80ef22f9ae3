//! Importing and exporting files of blocks.

use std::io::{self, Read};

use bitcoin::Amount;
use chain::export::{ExportError, export};
use chain::fixtures::{Key, TestChain};
use chain::framing::magic;
use chain::import::{ImportError, ImportReport, import};
use chain::{Chain, Height, Timestamp};

const NOW: Timestamp = Timestamp(u32::MAX);

fn source() -> TestChain {
    let mut net = TestChain::new();
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=9 {
        let pay = net.pay(&alice, &bob, Amount::ONE_BTC);
        net.including(&pay).mine(&format!("a{n}"));
    }
    net
}

fn exported(chain: &Chain) -> Vec<u8> {
    let mut file = Vec::new();
    let report = export(chain, &mut file, &mut |_| {}).unwrap();
    assert_eq!(report.bytes, file.len() as u64);
    assert_eq!(report.blocks, u64::from(chain.tip().height.0) + 1);
    file
}

/// The frames of a file, one by one.
fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let length = 8 + u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        frames.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    frames
}

fn imported(file: &[u8]) -> (Chain, ImportReport) {
    let mut chain = Chain::in_memory(TestChain::params());
    let report = import(&mut chain, file, NOW, &mut |_| {}).unwrap();
    (chain, report)
}

#[test]
fn what_is_exported_can_be_imported() {
    let net = source();
    let file = exported(net.chain());
    assert_eq!(file[..4], magic(net.chain().params()));
    let (chain, report) = imported(&file);
    assert_eq!(chain.tip(), net.chain().tip());
    assert_eq!(
        chain.coin_set_stats(true).unwrap(),
        net.chain().coin_set_stats(true).unwrap()
    );
    assert_eq!(
        (report.read.blocks, report.stored, report.connected),
        (10, 9, 9)
    );
    assert_eq!(report.read.bytes, file.len() as u64);
    assert_eq!(chain.unflushed_bytes(), 0);
}

#[test]
fn blocks_may_come_in_any_order_with_garbage_between() {
    let net = source();
    let mut frames = frames(&exported(net.chain()));
    frames.reverse();
    let file = frames.join(&b"garbage"[..]);
    let (chain, report) = imported(&file);
    assert_eq!(chain.tip(), net.chain().tip());
    assert_eq!(
        (report.rejected, report.orphans, report.skipped_bytes),
        (0, 0, 9 * 7)
    );
}

#[test]
fn blocks_without_parents_are_counted() {
    let net = source();
    let mut frames = frames(&exported(net.chain()));
    frames.remove(3);
    let (chain, report) = imported(&frames.concat());
    assert_eq!(chain.tip().height, Height(2));
    assert_eq!(report.orphans, 6);
}

#[test]
fn an_invalid_block_ends_the_chain_below_it_and_is_named() {
    let mut net = source();
    let pay = net.block("a5").txdata[1].clone();
    let bad = net.including(&pay).build("bad").mine();
    let mut file = exported(net.chain());
    let bytes = bitcoin::consensus::serialize(&bad);
    file.extend(magic(net.chain().params()));
    file.extend((bytes.len() as u32).to_le_bytes());
    file.extend(bytes);
    let (chain, report) = imported(&file);
    assert_eq!(chain.tip(), net.chain().tip());
    assert_eq!(report.rejected, 1);
    assert_eq!(report.rejects[0].0, bad.block_hash());
}

#[test]
fn a_read_error_keeps_what_came_before() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, out: &mut [u8]) -> Result<usize, io::Error> {
            match self.0.read(out)? {
                0 => Err(io::Error::other("the disk is broken")),
                count => Ok(count),
            }
        }
    }
    let net = source();
    let file = exported(net.chain());
    let mut chain = Chain::in_memory(TestChain::params());
    let error = import(&mut chain, Broken(&file), NOW, &mut |_| {}).unwrap_err();
    assert!(matches!(error, ImportError::Read(_)));
    assert_eq!(chain.unflushed_bytes(), 0);
}

#[test]
fn exporting_to_a_full_disk_is_an_error() {
    let mut small = [0; 100];
    let error = export(source().chain(), &mut &mut small[..], &mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::Write(_)));
}
