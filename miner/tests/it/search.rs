//! The engine: it finds, stops, holds a rate and rests.

use std::time::{Duration, Instant};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};
use miner::{Job, PauseGate, SearchError, SearchOptions, SearchOutcome, Searcher, StopFlag};

fn job(target: Target) -> Job {
    let header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: 1_700_000_000,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    Job {
        header,
        target,
        roll_version: false,
    }
}

/// A target that one hash in `2^bits` meets.
fn one_in(bits: u32) -> Target {
    let mut bytes = [0xff; 32];
    bytes[..4].copy_from_slice(&(u32::MAX >> bits).to_be_bytes());
    Target::from_be_bytes(bytes)
}

fn searcher(options: SearchOptions) -> Searcher {
    Searcher::new(options).expect("good options")
}

/// Runs a search that cannot succeed for `time`; gives the hashes and how long it went on after the stop.
fn run_for(searcher: &Searcher, time: Duration) -> (u64, Duration) {
    let stop = StopFlag::new();
    let before = searcher.hashes();
    let late = std::thread::scope(|scope| {
        let stopper = scope.spawn(|| {
            std::thread::sleep(time);
            let at = Instant::now();
            stop.stop();
            at
        });
        assert_eq!(
            searcher.search(&job(Target::ZERO), &stop),
            SearchOutcome::Stopped
        );
        let end = Instant::now();
        end.duration_since(stopper.join().expect("no panic"))
    });
    (searcher.hashes() - before, late)
}

#[test]
fn what_is_found_meets_the_target() {
    for (threads, roll_version) in [(1, false), (2, false), (3, true)] {
        let searcher = searcher(SearchOptions {
            threads,
            ..SearchOptions::default()
        });
        let job = Job {
            roll_version,
            ..job(one_in(12))
        };
        let SearchOutcome::Found(header) = searcher.search(&job, &StopFlag::new()) else {
            panic!("one in 4096 is soon found");
        };
        assert!(job.target.is_met_by(header.block_hash()));
        assert_eq!(
            Header {
                nonce: 0,
                version: job.header.version,
                ..header
            },
            job.header
        );
        if !roll_version {
            assert_eq!(header.version, job.header.version);
        }
        assert!(searcher.hashes() >= 1 && searcher.hashes() == searcher.meter().hashes());
    }
}

#[test]
fn a_flag_that_is_up_already_ends_the_search_at_once() {
    let stop = StopFlag::new();
    stop.stop();
    let searcher = searcher(SearchOptions::default());
    assert_eq!(
        searcher.search(&job(Target::ZERO), &stop),
        SearchOutcome::Stopped
    );
    assert_eq!(searcher.hashes(), 0);
}

#[test]
fn a_stop_takes_effect_within_20_ms_at_full_speed_and_at_one_hash_a_second() {
    for rate in [None, Some(1), Some(200_000)] {
        let searcher = searcher(SearchOptions {
            threads: 2,
            rate,
            ..SearchOptions::default()
        });
        let mut latest: Vec<_> = (0..7)
            .map(|_| run_for(&searcher, Duration::from_millis(60)).1)
            .collect();
        latest.sort_unstable();
        // The middle of seven: other tests of this process compete for the cores.
        assert!(
            latest[3] < Duration::from_millis(20),
            "{rate:?}: {latest:?}"
        );
    }
}

#[test]
fn a_rate_is_held() {
    for (rate, time) in [(2, 2_600), (50, 1_000), (20_000, 600), (200_000, 600)] {
        let options = SearchOptions {
            threads: 2,
            rate: Some(rate),
            ..SearchOptions::default()
        };
        let searcher = searcher(options);
        // Never faster; a machine that is busy with other tests may be too slow now and then.
        let reached = (0..10).any(|_| {
            let start = Instant::now();
            let (hashes, _) = run_for(&searcher, Duration::from_millis(time));
            let expected = rate as f64 * start.elapsed().as_secs_f64();
            assert!(
                hashes as f64 <= expected * 1.05 + 2.0,
                "{rate}: {hashes} of {expected}"
            );
            hashes as f64 >= expected * 0.5 - 1.0
        });
        assert!(reached, "{rate} was not reached in ten tries");
    }
}

#[test]
fn searches_that_keep_being_stopped_still_reach_a_low_rate() {
    let options = SearchOptions {
        threads: 1,
        rate: Some(5),
        ..SearchOptions::default()
    };
    let searcher = searcher(options);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        run_for(&searcher, Duration::from_millis(30));
    }
    assert!(searcher.hashes() >= 5, "{}", searcher.hashes());
}

#[test]
fn while_the_gate_is_closed_nothing_is_searched_and_a_stop_still_counts() {
    let pause = PauseGate::new();
    let options = SearchOptions {
        threads: 2,
        pause: pause.clone(),
        ..SearchOptions::default()
    };
    let searcher = searcher(options);
    pause.close();
    pause.close();
    let (hashes, late) = run_for(&searcher, Duration::from_millis(50));
    assert_eq!(hashes, 0);
    assert!(late < Duration::from_secs(5), "{late:?}");
    pause.open();
    assert!(pause.is_closed(), "it was closed twice");
    std::thread::scope(|scope| {
        let found = scope.spawn(|| searcher.search(&job(one_in(12)), &StopFlag::new()));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(searcher.hashes(), 0);
        pause.open();
        let found = found.join().expect("no panic");
        assert!(matches!(found, SearchOutcome::Found(_)));
    });
    // Closed in the middle: the threads come to rest.
    std::thread::scope(|scope| {
        let stop = StopFlag::new();
        let search = scope.spawn({
            let stop = stop.clone();
            let searcher = &searcher;
            move || searcher.search(&job(Target::ZERO), &stop)
        });
        let started = Instant::now();
        while stop.begun_at().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        pause.close();
        let mut before = searcher.hashes();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let now = searcher.hashes();
            if now == before {
                break;
            }
            before = now;
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it never rests"
            );
        }
        stop.stop();
        assert_eq!(search.join().expect("no panic"), SearchOutcome::Stopped);
    });
}

#[test]
fn wrong_options_are_refused_in_words() {
    let refused = |options| Searcher::new(options).expect_err("bad options").to_string();
    let zero = SearchOptions {
        rate: Some(0),
        ..SearchOptions::default()
    };
    assert!(refused(zero).contains("at least 1"));
    let duty = SearchOptions {
        duty: Some(0),
        ..SearchOptions::default()
    };
    assert!(refused(duty).contains("from 1 to 100, got 0"));
    let kernel = SearchOptions {
        kernel: Some("x".to_owned()),
        ..SearchOptions::default()
    };
    assert!(matches!(Searcher::new(kernel), Err(SearchError::Kernel(_))));
}
