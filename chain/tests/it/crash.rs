//! Crashes at every operation of the disk: the process dies, writes are lost or torn. Also during the recovery from a crash.
//!
//! After each the database opens, its tip is what was committed last or was being committed, its coins are exactly those of
//! that tip, and the chain goes on. A test fails if its fault never fired.

use chain::repair::{RebuildError, rebuild_coins};
use chain::store::MemoryDisk;
use chain::{Height, StoreError};

use crate::faulty_disk::{FaultyDisk, Operation, Plan, Remains};
use crate::story::{Acknowledged, Story, activate};

/// Every way in which a power cut may tear what was not synced, for a few numbers.
const CUTS: [Remains; 5] = [
    Remains::Synced,
    Remains::Torn(0),
    Remains::Torn(1),
    Remains::Torn(2),
    Remains::Torn(3),
];

/// Operations (or syncs) of an undisturbed run.
fn operations(story: &Story, counted: Option<Operation>) -> u64 {
    let plan = Plan {
        counted,
        ..Plan::NEVER
    };
    let disk = FaultyDisk::new(MemoryDisk::new(), plan);
    story
        .play(disk.clone(), &mut Acknowledged::default())
        .unwrap();
    disk.counted()
}

#[test]
fn a_crash_at_any_operation_leaves_a_committed_chain() {
    let story = Story::new();
    let operations = operations(&story, None);
    assert!(operations > 50, "the story uses the disk");
    let mut failures = 0;
    for k in 1..=operations {
        let disk = FaultyDisk::new(MemoryDisk::new(), Plan::crash(k));
        let mut acknowledged = Acknowledged::default();
        let ended = story.play(disk.clone(), &mut acknowledged);
        assert!(disk.has_fired(), "the fault must fire");
        failures += u64::from(ended.is_err());
        for remains in [Remains::All, Remains::Torn(k)] {
            let what = format!("{remains:?} at {k}");
            story.check_recovered(&disk.remains(remains), &acknowledged, &what);
        }
    }
    // Closing the database takes the last few; a run that fails there has committed all.
    assert!(
        failures > operations / 2,
        "most faults hit a commit: {failures}"
    );
}

#[test]
fn a_crash_at_every_sync_in_turn_leaves_a_committed_chain() {
    let story = Story::new();
    let syncs = operations(&story, Some(Operation::Sync));
    assert!(syncs > 20, "every commit syncs: {syncs}");
    for k in 1..=syncs {
        let disk = FaultyDisk::new(MemoryDisk::new(), Plan::crash_at_sync(k));
        let mut acknowledged = Acknowledged::default();
        // The last ones belong to closing, whose failure nobody hears of.
        let _ = story.play(disk.clone(), &mut acknowledged);
        assert!(disk.has_fired(), "the fault must fire");
        for remains in [Remains::All].into_iter().chain(CUTS) {
            let what = format!("{remains:?} at sync {k}");
            story.check_recovered(&disk.remains(remains), &acknowledged, &what);
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_a_recovery_leaves_a_committed_chain() {
    let story = Story::new();
    let syncs = operations(&story, Some(Operation::Sync));
    let mut crashes = 0;
    for k in 1..=syncs {
        let disk = FaultyDisk::new(MemoryDisk::new(), Plan::crash_at_sync(k));
        let mut first = Acknowledged::default();
        let _ = story.play(disk.clone(), &mut first);
        assert!(disk.has_fired());
        if first.tip.is_none() {
            // The database was being made: there is nothing to recover.
            continue;
        }
        let remains = disk.remains(CUTS[k as usize % CUTS.len()]);
        for second in 1.. {
            let again = FaultyDisk::new(remains.copy(), Plan::crash(second));
            let mut acknowledged = first.clone();
            let _ = story.recover(again.clone(), &mut acknowledged);
            if !again.has_fired() {
                assert!(second > 1, "recovery writes");
                break;
            }
            crashes += 1;
            let what = format!("at sync {k}, then at {second} of the recovery");
            let torn = again.remains(CUTS[second as usize % CUTS.len()]);
            story.check_recovered(&torn, &acknowledged, &what);
        }
    }
    assert!(crashes > 100, "recovery itself was hit: {crashes}");
}

#[test]
fn a_crash_while_the_coins_are_made_anew_leaves_a_chain_that_goes_on() {
    let story = Story::new();
    let whole = MemoryDisk::new();
    story
        .play(whole.clone(), &mut Acknowledged::default())
        .unwrap();
    let rebuild = |disk: FaultyDisk| -> Result<(), StoreError> {
        let mut chain = match story.open(disk) {
            Ok(chain) => chain,
            // Opening writes too.
            Err(_) => return Ok(()),
        };
        let report = rebuild_coins(&mut chain, &mut |_| {}).map_err(|error| match error {
            RebuildError::Store(error) => error,
            other => panic!("{other}"),
        })?;
        assert_eq!((report.before, report.after), (Height(7), Height(7)));
        Ok(())
    };
    let mut failures = 0;
    for k in 1.. {
        let disk = FaultyDisk::new(whole.copy(), Plan::crash(k));
        failures += u32::from(rebuild(disk.clone()).is_err());
        if !disk.has_fired() {
            break;
        }
        for remains in [Remains::All, Remains::Synced, Remains::Torn(k)] {
            let what = format!("{remains:?} at {k}");
            let mut chain = story
                .open(disk.remains(remains))
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let tip = chain.tip();
            // Genesis with its own coins, or the end with all: the bodies are all here in both.
            let coins = chain.coin_set_stats(true).unwrap();
            assert_eq!(&coins, story.coins_at(&tip.hash), "{what}");
            activate(&mut chain).unwrap();
            assert_eq!(chain.tip().hash, story.end(), "{what}");
            let coins = chain.coin_set_stats(true).unwrap();
            assert_eq!(&coins, story.coins_at(&story.end()), "{what}");
        }
    }
    assert!(failures > 10, "the rebuild itself was hit: {failures}");
}
