//! Imports whose blocks are applied, checked, kept and written side by side: what goes wrong in the middle of that.

use std::time::Duration;

use bitcoin::consensus::serialize;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Transaction, TxOut, Witness, opcodes};
use chain::coins::CoinSetStats;
use chain::fixtures::{BlockBuilder, Key, Payment, damage_disk, test_params_with};
use chain::framing::magic;
use chain::import::{ImportReport, import};
use chain::rules::spend::SignatureCache;
use chain::store::MemoryDisk;
use chain::verify::{VerifyLevel, verify};
use chain::{Acceptance, Chain, ChainOptions, Height, Params, Timestamp};

use crate::faulty_disk::{FaultyDisk, Operation, Plan, Remains};

const NOW: Timestamp = Timestamp(u32::MAX);

/// Blocks of a chain: more than one group of the reading thread, and many enough to be under way at a time.
const BLOCKS: usize = 30;

/// What each block carries besides its payment, so that a file of them is more than a MiB.
const BALLAST_BYTES: usize = 60_000;

fn params() -> Params {
    let coin = (Key::p2tr("alice").address(), Amount::ONE_BTC);
    test_params_with(&vec![coin; BLOCKS])
}

fn ballast() -> ScriptBuf {
    let bytes = PushBytesBuf::try_from(vec![7; BALLAST_BYTES]).unwrap();
    Builder::new()
        .push_opcode(opcodes::all::OP_RETURN)
        .push_slice(bytes)
        .into_script()
}

/// A payment from allocation `n`, and from the payment before it.
fn payment(params: &Params, n: usize, before: Option<&Transaction>) -> Transaction {
    let alice = Key::p2tr("alice");
    let coins = &params.genesis.txdata[1];
    let outpoint = OutPoint::new(coins.compute_txid(), n as u32);
    let mut payment = Payment::new().spend(outpoint, &coins.output[n], &alice);
    if let Some(before) = before {
        payment = payment.spend_output_of(before, 0, &alice);
    }
    payment
        .pay(&alice, Amount::from_sat(50_000))
        .pay_script(ballast(), Amount::ZERO)
        .sign()
}

/// `count` blocks on `parent`, each with a payment that spends of the one before; the payment of block `spoilt` has a signature
/// that is none. `extra_nonce` tells chains of the same payments apart.
fn blocks_on(
    params: &Params,
    parents: &[Block],
    count: usize,
    extra_nonce: u64,
    spoilt: Option<usize>,
) -> Vec<Block> {
    let mut parent = parents
        .last()
        .map_or(params.genesis.header, |last| last.header);
    let mut before = parents.last().map(|last| last.txdata[1].clone());
    let mut made = Vec::new();
    for n in parents.len()..parents.len() + count {
        let mut tx = payment(params, n, before.as_ref());
        if spoilt == Some(n) {
            let mut signature = tx.input[0].witness[0].to_vec();
            signature[10] ^= 1;
            tx.input[0].witness = Witness::from_slice(&[signature]);
        }
        let block = BlockBuilder::on(params, &parent, Height(n as u32 + 1))
            .extra_nonce(extra_nonce)
            .with(&tx)
            .mine();
        parent = block.header;
        before = Some(tx);
        made.push(block);
    }
    made
}

fn file(params: &Params, blocks: &[Block]) -> Vec<u8> {
    let mut file = Vec::new();
    for block in blocks {
        let bytes = serialize(block);
        file.extend(magic(params));
        file.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        file.extend(bytes);
    }
    file
}

fn imported(params: &Params, blocks: &[Block]) -> (Chain, ImportReport) {
    let mut chain = Chain::in_memory(params.clone());
    let file = file(params, blocks);
    let report = import(&mut chain, file.as_slice(), NOW, &mut |_| {}).unwrap();
    assert_eq!(chain.unflushed_bytes(), 0);
    (chain, report)
}

fn coins(chain: &Chain) -> CoinSetStats {
    chain.coin_set_stats(true).unwrap()
}

fn assert_sound(chain: &Chain, what: &str) {
    let report = verify(chain, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, vec![], "{what}");
}

#[test]
fn a_bad_signature_takes_back_exactly_from_its_block_on() {
    let params = params();
    for spoilt in [0, 1, BLOCKS / 2, BLOCKS - 1] {
        let blocks = blocks_on(&params, &[], BLOCKS, 0, Some(spoilt));
        let (chain, report) = imported(&params, &blocks);
        let (expected, _) = imported(&params, &blocks[..spoilt]);
        assert_eq!(chain.tip(), expected.tip(), "spoilt in {spoilt}");
        assert_eq!(coins(&chain), coins(&expected), "spoilt in {spoilt}");
        assert_eq!(report.connected, spoilt as u64);
        let (named, reason) = &report.rejects[0];
        assert_eq!(*named, blocks[spoilt].block_hash(), "{reason}");
        assert_sound(&chain, "after a bad signature");
    }
}

#[test]
fn the_earliest_bad_block_is_the_one_that_is_named() {
    let params = params();
    let mut blocks = blocks_on(&params, &[], BLOCKS, 0, Some(BLOCKS / 3));
    // One that no signature saves: it spends a second time what the block before has spent.
    let spent = blocks.last().unwrap().txdata[1].clone();
    let parent = blocks.last().unwrap().header;
    let twice = BlockBuilder::on(&params, &parent, Height(BLOCKS as u32 + 1))
        .with(&spent)
        .mine();
    blocks.push(twice);
    let (chain, report) = imported(&params, &blocks);
    assert_eq!(chain.tip().height, Height(BLOCKS as u32 / 3));
    assert_eq!(report.rejects[0].0, blocks[BLOCKS / 3].block_hash());
    assert_sound(&chain, "after two bad blocks");
}

#[test]
fn a_better_chain_is_taken_while_another_is_being_connected() {
    let params = params();
    let first = blocks_on(&params, &[], BLOCKS - 8, 0, None);
    let other = blocks_on(&params, &first[..10], BLOCKS - 10, 1, None);
    let all = [&first[..], &other].concat();
    let (chain, report) = imported(&params, &all);
    assert_eq!(chain.tip().hash, other.last().unwrap().block_hash());
    assert_eq!((report.rejected, report.orphans), (0, 0));
    let (expected, _) = imported(&params, &[&first[..10], &other].concat());
    assert_eq!(coins(&chain), coins(&expected));
    assert_sound(&chain, "after a change of chains");

    // And one whose end is bad gives way to the first again.
    let bad = blocks_on(&params, &first[..10], BLOCKS - 10, 2, Some(BLOCKS - 12));
    let (chain, _) = imported(&params, &[&first[..], &bad].concat());
    let (expected, _) = imported(&params, &first);
    assert_eq!(chain.tip(), expected.tip());
    assert_eq!(coins(&chain), coins(&expected));
    assert_sound(&chain, "after a change of chains that failed");
}

#[test]
fn a_lost_body_ends_the_run_below_it_until_it_is_back() {
    let params = params();
    let options = ChainOptions::default();
    let blocks = blocks_on(&params, &[], BLOCKS, 0, None);
    let lost = BLOCKS / 2;
    let disk = MemoryDisk::new();
    let mut chain = Chain::open_backend(disk.clone(), params.clone(), options).unwrap();
    for block in &blocks {
        chain.accept_block(block.clone(), NOW).unwrap();
    }
    chain.flush_bodies().unwrap();
    drop(chain);
    assert!(damage_disk(&disk, &serialize(&blocks[lost])) > 0);

    let mut chain = Chain::open_backend(disk, params.clone(), options).unwrap();
    let signatures = SignatureCache::default();
    let mut failed = Vec::new();
    chain.activate_best(&signatures, &mut failed).unwrap();
    assert_eq!(chain.tip().height, Height(lost as u32));
    assert_eq!(chain.damaged(), [blocks[lost].block_hash()]);
    let (expected, _) = imported(&params, &blocks[..lost]);
    assert_eq!(coins(&chain), coins(&expected));

    let restored = chain.restore_body(blocks[lost].clone()).unwrap();
    assert_eq!(restored, Acceptance::Stored);
    chain.activate_best(&signatures, &mut failed).unwrap();
    assert_eq!(failed, []);
    let (expected, _) = imported(&params, &blocks);
    assert_eq!(chain.tip(), expected.tip());
    assert_eq!(coins(&chain), coins(&expected));
}

/// A thread of rayon's that waited for verdicts of its own pool would wait for ever.
#[test]
fn an_import_on_a_thread_of_the_pool_does_not_wait_for_itself() {
    let params = params();
    let blocks = blocks_on(&params, &[], BLOCKS, 0, None);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let report = pool.unwrap().install(|| imported(&params, &blocks).1);
        done.send(report.connected).unwrap();
    });
    let connected = ended.recv_timeout(Duration::from_secs(120));
    assert_eq!(connected, Ok(BLOCKS as u64));
}

/// Imports `blocks` to a disk that follows `plan`.
fn import_to(params: &Params, blocks: &[Block], plan: Plan) -> (FaultyDisk, bool) {
    let disk = FaultyDisk::new(MemoryDisk::new(), plan);
    let options = ChainOptions::default();
    let Ok(mut chain) = Chain::open_backend(disk.clone(), params.clone(), options) else {
        return (disk, false);
    };
    let ended = import(
        &mut chain,
        file(params, blocks).as_slice(),
        NOW,
        &mut |_| {},
    );
    (disk, ended.is_ok())
}

#[test]
fn a_crash_in_an_import_leaves_a_chain_whose_import_can_be_repeated() {
    let params = params();
    let blocks = blocks_on(&params, &[], BLOCKS, 0, None);
    let (expected, _) = imported(&params, &blocks);
    let count = |counted| {
        let plan = Plan {
            counted,
            ..Plan::NEVER
        };
        let (disk, done) = import_to(&params, &blocks, plan);
        assert!(done);
        disk.counted()
    };
    let (changes, syncs) = (count(None), count(Some(Operation::Sync)));
    assert!(syncs > 4, "the import commits more than once: {syncs}");
    let at_changes = (1..=changes).step_by(3).map(Plan::crash);
    let at_syncs = (1..=syncs).map(Plan::crash_at_sync);
    let (mut stopped, mut reopened) = (0, 0);
    for plan in at_changes.chain(at_syncs) {
        let (disk, done) = import_to(&params, &blocks, plan);
        assert!(disk.has_fired(), "the fault must fire");
        stopped += u64::from(!done);
        for remains in [Remains::All, Remains::Synced, Remains::Torn(plan.at)] {
            let what = format!("{remains:?} after {plan:?}");
            let options = ChainOptions::default();
            let opened = Chain::open_backend(disk.remains(remains), params.clone(), options);
            // It may have broken while the database was being made.
            let Ok(mut chain) = opened else { continue };
            reopened += 1;
            assert_sound(&chain, &what);
            let file = file(&params, &blocks);
            let report = import(&mut chain, file.as_slice(), NOW, &mut |_| {}).unwrap();
            assert_eq!(report.rejected, 0, "{what}");
            assert_eq!(chain.tip(), expected.tip(), "{what}");
            assert_eq!(coins(&chain), coins(&expected), "{what}");
        }
    }
    assert!(
        stopped > changes / 6,
        "most faults stop the import: {stopped}"
    );
    assert!(
        reopened > stopped,
        "most crashes leave a database: {reopened}"
    );
}

/// The outputs that blocks leave besides their ballast, so that the tests above compare something.
#[test]
fn ballast_is_no_coin() {
    let params = params();
    let (chain, report) = imported(&params, &blocks_on(&params, &[], 3, 0, None));
    assert_eq!(report.connected, 3);
    let mut ours: Vec<TxOut> = Vec::new();
    let visit = |_, coin: chain::Coin| {
        ours.push(coin.output);
        Ok(())
    };
    chain.for_each_coin(visit).unwrap();
    assert!(ours.iter().all(|output| output.script_pubkey.len() < 100));
    // Allocations that are left, three rewards, and the last payment.
    assert_eq!(ours.len(), BLOCKS - 3 + 3 + 1);
}
