//! Crashes at every operation of the disk: failing, tearing and losing writes.
//!
//! After each the database opens, its tip is what was committed last or before, its coins are exactly those of that tip, and the
//! chain goes on. A test fails if its fault never fired.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bitcoin::{Amount, Block};
use chain::fixtures::{GENESIS, Key, TestChain};
use chain::rules::spend::SignatureCache;
use chain::store::MemoryDisk;
use chain::{Chain, ChainOptions, Height, Params, Timestamp};
use redb::StorageBackend;

const NOW: Timestamp = Timestamp(u32::MAX);
const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 1 << 20,
};

/// What happens at the chosen operation, and to all after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The operation and all later ones fail; what was written is on disk.
    Fail,
    /// A power cut: only what was synced is on disk.
    LoseUnsynced,
    /// A power cut: a pattern of the unsynced writes is on disk, the last half of one is not.
    TearUnsynced,
}

const FAULTS: [Fault; 3] = [Fault::Fail, Fault::LoseUnsynced, Fault::TearUnsynced];

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug)]
struct Inner {
    /// What the program sees.
    seen: MemoryDisk,
    /// What a power cut leaves.
    synced: MemoryDisk,
    unsynced: Vec<Change>,
}

/// A disk that stops working at the `k`-th change or sync.
#[derive(Clone, Debug)]
struct FaultyDisk {
    inner: Arc<Mutex<Inner>>,
    operations: Arc<AtomicU64>,
    fails_at: u64,
}

impl FaultyDisk {
    fn new(start: MemoryDisk, fails_at: u64) -> FaultyDisk {
        let inner = Inner {
            synced: start.copy(),
            seen: start,
            unsynced: Vec::new(),
        };
        FaultyDisk {
            inner: Arc::new(Mutex::new(inner)),
            operations: Arc::new(AtomicU64::new(0)),
            fails_at,
        }
    }

    fn has_fired(&self) -> bool {
        self.operations.load(Ordering::SeqCst) >= self.fails_at
    }

    fn operate(&self) -> Result<(), io::Error> {
        match self.operations.fetch_add(1, Ordering::SeqCst) + 1 {
            n if n >= self.fails_at => Err(io::Error::other("the disk is broken")),
            _ => Ok(()),
        }
    }

    /// What is on the disk after the crash.
    fn remains(&self, fault: Fault) -> MemoryDisk {
        let inner = self.inner.lock().unwrap();
        match fault {
            Fault::Fail => inner.seen.copy(),
            Fault::LoseUnsynced => inner.synced.copy(),
            Fault::TearUnsynced => {
                let disk = inner.synced.copy();
                for (n, change) in inner.unsynced.iter().enumerate() {
                    match change {
                        // Lengths are kept: a file system may write them first.
                        Change::Length(length) => disk.set_len(*length).unwrap(),
                        Change::Write(offset, data) if n % 3 == 1 => {
                            disk.write(*offset, &data[..data.len() / 2]).unwrap();
                        }
                        Change::Write(offset, data) if n % 3 == 0 => {
                            disk.write(*offset, data).unwrap();
                        }
                        Change::Write(..) => {}
                    }
                }
                disk
            }
        }
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.lock().unwrap().seen.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.lock().unwrap().seen.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.operate()?;
        let mut inner = self.inner.lock().unwrap();
        inner.unsynced.push(Change::Length(len));
        inner.seen.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.operate()?;
        let mut inner = self.inner.lock().unwrap();
        inner.synced = inner.seen.copy();
        inner.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.operate()?;
        let mut inner = self.inner.lock().unwrap();
        inner.unsynced.push(Change::Write(offset, data.to_vec()));
        inner.seen.write(offset, data)
    }
}

/// What a run committed for certain, and what it may have been committing when the disk broke.
#[derive(Default)]
struct Acknowledged {
    tips: Vec<bitcoin::BlockHash>,
}

/// The blocks of the story: a chain with payments, and a longer fork that takes them back.
struct Story {
    params: Params,
    first: Vec<Block>,
    fork: Vec<Block>,
}

fn story() -> Story {
    let mut net = TestChain::new();
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=6 {
        let one = net.pay(&alice, &bob, Amount::ONE_BTC);
        let two = net.pay(&bob, &alice, Amount::ONE_BTC);
        net.including(&one).including(&two).mine(&format!("a{n}"));
    }
    net.fork_at(GENESIS).mine_many("b", 7);
    let blocks = |prefix: &str, count: usize| {
        (1..=count)
            .map(|n| net.block(&format!("{prefix}{n}")).clone())
            .collect()
    };
    Story {
        params: TestChain::params(),
        first: blocks("a", 6),
        fork: blocks("b", 7),
    }
}

/// Plays the story on a disk: blocks, commits, a fork, more commits. Stops at the first failure.
fn play(
    story: &Story,
    disk: impl StorageBackend,
    acknowledged: &mut Acknowledged,
) -> Result<(), String> {
    let mut chain = Chain::open_backend(disk, story.params.clone(), SMALL)
        .map_err(|error| error.to_string())?;
    let signatures = SignatureCache::default();
    acknowledged.tips.push(chain.tip().hash);
    for (n, block) in story.first.iter().chain(&story.fork).enumerate() {
        chain
            .accept_block(block.clone(), NOW)
            .map_err(|error| error.to_string())?;
        chain
            .activate_best(&signatures, &mut Vec::new())
            .map_err(|error| error.to_string())?;
        let flushed = match n % 3 {
            0 => chain.flush_bodies(),
            1 => chain.flush(),
            _ => Ok(()),
        };
        if let Err(error) = flushed {
            // No further commit is taken after a failed one.
            assert!(chain.flush().is_err() && chain.flush_bodies().is_err());
            return Err(error.to_string());
        }
        if n % 3 == 1 {
            acknowledged.tips.push(chain.tip().hash);
        }
    }
    chain.flush().map_err(|error| error.to_string())?;
    acknowledged.tips.push(chain.tip().hash);
    Ok(())
}

/// What a chain that never crashed says of the coins at a block.
fn coins_at(story: &Story, tip: bitcoin::BlockHash) -> chain::coins::CoinSetStats {
    let mut chain = Chain::in_memory(story.params.clone());
    let signatures = SignatureCache::default();
    for chain_of_blocks in [&story.first, &story.fork] {
        for block in chain_of_blocks {
            if chain.tip().hash == tip {
                return chain.coin_set_stats(true).unwrap();
            }
            chain.accept_block(block.clone(), NOW).unwrap();
            chain.activate_best(&signatures, &mut Vec::new()).unwrap();
        }
    }
    assert_eq!(
        chain.tip().hash,
        tip,
        "a committed tip is one that was reached"
    );
    chain.coin_set_stats(true).unwrap()
}

fn check_recovered(story: &Story, disk: &MemoryDisk, acknowledged: &Acknowledged, what: &str) {
    let opened = Chain::open_backend(disk.clone(), story.params.clone(), SMALL);
    if opened.is_err() && acknowledged.tips.is_empty() {
        // It broke while the database was being made. A file has another name until it is whole.
        return;
    }
    let mut chain = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let tip = chain.tip();
    let stats = chain.coin_set_stats(true).unwrap();
    assert_eq!(
        stats,
        coins_at(story, tip.hash),
        "{what}: coins belong to the tip"
    );
    // What was acknowledged is there: as the tip, or left by a commit whose end was not heard of.
    let last = acknowledged
        .tips
        .last()
        .copied()
        .unwrap_or(story.params.genesis_hash);
    assert!(
        chain
            .tree()
            .get(&last)
            .is_some_and(|info| info.status.has_body),
        "{what}: {last} was lost"
    );
    // The chain goes on, and ends where it would have without a crash.
    let signatures = SignatureCache::default();
    for block in story.first.iter().chain(&story.fork) {
        chain
            .accept_block(block.clone(), NOW)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    chain.activate_best(&signatures, &mut Vec::new()).unwrap();
    chain.flush().unwrap();
    let end = story.fork.last().unwrap().block_hash();
    assert_eq!(
        (chain.tip().hash, chain.tip().height),
        (end, Height(7)),
        "{what}"
    );
    assert_eq!(
        chain.coin_set_stats(true).unwrap(),
        coins_at(story, end),
        "{what}"
    );
}

/// Number of operations of an undisturbed run.
fn operations_of_a_whole_run(story: &Story) -> u64 {
    let disk = FaultyDisk::new(MemoryDisk::new(), u64::MAX);
    play(story, disk.clone(), &mut Acknowledged::default()).unwrap();
    disk.operations.load(Ordering::SeqCst)
}

#[test]
fn a_crash_at_any_operation_leaves_a_committed_chain() {
    let story = story();
    let operations = operations_of_a_whole_run(&story);
    assert!(operations > 50, "the story uses the disk");
    let mut failures = 0;
    for fault in FAULTS {
        // Closing the database takes the last few; a run that fails there has committed all.
        for k in (1..operations).step_by(3) {
            let disk = FaultyDisk::new(MemoryDisk::new(), k);
            let mut acknowledged = Acknowledged::default();
            let ended = play(&story, disk.clone(), &mut acknowledged);
            assert!(disk.has_fired(), "the fault must fire");
            failures += usize::from(ended.is_err());
            check_recovered(
                &story,
                &disk.remains(fault),
                &acknowledged,
                &format!("{fault:?} at {k}"),
            );
        }
    }
    assert!(failures > 100, "most faults hit a commit: {failures}");
}

#[test]
fn a_crash_during_recovery_from_a_crash_leaves_a_committed_chain() {
    let story = story();
    let operations = operations_of_a_whole_run(&story);
    let mut crashed_in_recovery = 0;
    for fault in FAULTS {
        for k in (operations / 4..operations).step_by(29) {
            let disk = FaultyDisk::new(MemoryDisk::new(), k);
            let mut acknowledged = Acknowledged::default();
            let _ = play(&story, disk.clone(), &mut acknowledged);
            assert!(disk.has_fired());
            let remains = disk.remains(fault);
            for second in 1..6 {
                let again = FaultyDisk::new(remains.copy(), second);
                let opened = Chain::open_backend(again.clone(), story.params.clone(), SMALL);
                crashed_in_recovery += usize::from(opened.is_err());
                drop(opened);
                let what = format!("{fault:?} at {k}, then at {second} of recovery");
                check_recovered(&story, &again.remains(fault), &acknowledged, &what);
            }
        }
    }
    assert!(crashed_in_recovery > 0, "recovery itself was hit");
}
