//! A disk that is full or fails: a typed error with a remedy, nothing written after it, and data that opens afterwards.

use std::io;

use bitcoin::Block;
use chain::store::MemoryDisk;
use chain::verify::{VerifyLevel, verify};
use chain::{Chain, ChainOptions, OpenError, StoreError, StoreFault};

use crate::faulty_disk::{CHANGES, FaultyDisk, Operation, Plan, Remains};
use crate::story::{Acknowledged, Stopped, Story, commit};

/// No space, no quota, no larger file: one cause and one remedy.
const NO_SPACE: [io::ErrorKind; 3] = [
    io::ErrorKind::StorageFull,
    io::ErrorKind::QuotaExceeded,
    io::ErrorKind::FileTooLarge,
];

/// `EIO`: Rust has no kind of its own for it.
fn eio() -> io::ErrorKind {
    io::Error::from_raw_os_error(5).kind()
}

fn assert_told(error: &StoreError, cause: StoreFault) {
    assert_eq!(error.cause, cause, "{error}");
    let text = error.to_string();
    assert!(text.starts_with("storage failed: "), "{text}");
    assert!(!text.contains('\n'), "one line: {text}");
    let remedy = match cause {
        StoreFault::NoSpace => "free some space, then start again",
        StoreFault::Device => "check the disk",
        StoreFault::Damage => "mend verify --repair",
        StoreFault::Healing => "ask again",
    };
    assert!(text.contains(remedy), "{text}");
}

/// One run for each operation of each kind: it fails once, and would succeed if it were tried again.
fn fail_every_change_once(kinds: &[io::ErrorKind], cause: StoreFault) {
    let story = Story::new();
    let mut told = 0;
    for counted in CHANGES {
        for k in 1.. {
            let error = kinds[k as usize % kinds.len()];
            let disk = FaultyDisk::new(MemoryDisk::new(), Plan::once(counted, k, error));
            let mut acknowledged = Acknowledged::default();
            let ended = story.play(disk.clone(), &mut acknowledged);
            if !disk.has_fired() {
                assert!(k > 1, "{counted:?} never happens");
                ended.unwrap();
                break;
            }
            let what = format!("{error:?} at {counted:?} {k}");
            match ended {
                Err(Stopped::Failed(error)) => {
                    assert_told(&error, cause);
                    told += 1;
                }
                Err(Stopped::NotOpened(error)) => {
                    assert!(matches!(error, OpenError::Io { .. }), "{what}: {error}");
                }
                // All was committed; closing failed.
                Ok(()) => assert!(acknowledged.tip == Some(story.end()), "{what}"),
            }
            assert_eq!(disk.changes_after(), 0, "{what}: nothing is written after");
            for remains in [Remains::All, Remains::Synced] {
                let what = format!("{what}, {remains:?}");
                story.check_recovered(&disk.remains(remains), &acknowledged, &what);
            }
        }
    }
    assert!(told > 50, "most faults hit a commit: {told}");
}

#[test]
fn a_full_disk_stops_the_chain_with_a_remedy_and_loses_nothing() {
    fail_every_change_once(&NO_SPACE, StoreFault::NoSpace);
}

#[test]
fn a_failing_disk_stops_the_chain_with_a_remedy_and_loses_nothing() {
    fail_every_change_once(&[eio()], StoreFault::Device);
}

/// Reads everything that there is, and then goes over to the fork.
fn read_all(
    story: &Story,
    disk: FaultyDisk,
    acknowledged: &mut Acknowledged,
) -> Result<(), Stopped> {
    // Too little memory to keep what was read once.
    let options = ChainOptions {
        cache_bytes: 4 << 10,
    };
    let mut chain =
        Chain::open_backend(disk, story.params.clone(), options).map_err(Stopped::NotOpened)?;
    let mut read = || -> Result<(), StoreError> {
        for block in &story.first {
            let hash = block.block_hash();
            assert!(chain.block(&hash)?.is_some(), "an error is no damage");
            chain.undo(&hash)?;
        }
        let report = verify(&chain, VerifyLevel::Reconnect, 0, &mut |_, _| {})?;
        assert_eq!(report.problems, [], "an error is no damage");
        story.take(&mut chain, &story.fork)?;
        commit(&mut chain, acknowledged)
    };
    read().map_err(|error| {
        assert!(chain.flush().is_err() || chain.unflushed_bytes() == 0);
        Stopped::Failed(error)
    })
}

#[test]
fn a_disk_that_cannot_be_read_stops_the_chain_and_condemns_nothing() {
    let story = Story::new();
    let whole = MemoryDisk::new();
    let mut before = Acknowledged::default();
    {
        let mut chain = story.open(whole.clone()).unwrap();
        story.take(&mut chain, &story.first).unwrap();
        commit(&mut chain, &mut before).unwrap();
        before.bodies = story.first.iter().map(Block::block_hash).collect();
        // With little memory, coins are committed as soon as they change: on the way back, and when all is connected.
        let on_the_way = story.first.iter().map(Block::block_hash);
        before.attempted = on_the_way.collect();
        before
            .attempted
            .extend([story.params.genesis_hash, story.end()]);
    }
    let mut told = 0;
    for k in (1..).step_by(5) {
        let plan = Plan::once(Operation::Read, k, eio());
        let disk = FaultyDisk::new(whole.copy(), plan);
        let mut acknowledged = before.clone();
        let ended = read_all(&story, disk.clone(), &mut acknowledged);
        if !disk.has_fired() {
            ended.unwrap();
            break;
        }
        let what = format!("at read {k}");
        match ended {
            Err(Stopped::Failed(error)) => {
                assert_told(&error, StoreFault::Device);
                told += 1;
            }
            // Neither "damaged" nor "move it away".
            Err(Stopped::NotOpened(error)) => {
                assert!(matches!(error, OpenError::Io { .. }), "{what}: {error}");
            }
            // All was committed; closing failed.
            Ok(()) => assert_eq!(acknowledged.tip, Some(story.end()), "{what}"),
        }
        assert_eq!(disk.changes_after(), 0, "{what}: nothing is written after");
        story.check_recovered(&disk.remains(Remains::All), &acknowledged, &what);
    }
    assert!(told > 10, "reads of an open chain were hit: {told}");
}
