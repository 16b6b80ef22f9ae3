//! The engine: it finds, stops, holds a rate and rests.

use std::time::{Duration, Instant};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};
use miner::{
    Job, PauseGate, ROLLING_MASK, SearchError, SearchOptions, SearchOutcome, Searcher, StopFlag,
};

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
        version_mask: 0,
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

/// A generous limit for what takes milliseconds on a machine that is free.
const LIVELY: Duration = Duration::from_secs(20);

fn until(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    assert!(until(LIVELY, condition), "waited too long for {what}");
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
    for (threads, version_mask) in [(1, 0), (2, 0), (3, ROLLING_MASK)] {
        let searcher = searcher(SearchOptions {
            threads,
            ..SearchOptions::default()
        });
        let job = Job {
            version_mask,
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
        let rolled = header.version.to_consensus() ^ job.header.version.to_consensus();
        assert_eq!(rolled as u32 & !version_mask, 0);
        assert!(searcher.hashes() >= 1);
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
fn a_stop_ends_a_search_soon_at_full_speed_and_at_one_hash_a_second() {
    for rate in [None, Some(1), Some(200_000)] {
        let searcher = searcher(SearchOptions {
            threads: 2,
            rate,
            ..SearchOptions::default()
        });
        let (_, late) = run_for(&searcher, Duration::from_millis(60));
        assert!(late < LIVELY, "{rate:?}: {late:?}");
    }
}

#[test]
fn a_search_that_waits_for_another_ends_when_it_is_stopped() {
    let searcher = searcher(SearchOptions {
        threads: 1,
        ..SearchOptions::default()
    });
    let (first, second) = (StopFlag::new(), StopFlag::new());
    std::thread::scope(|scope| {
        let search = |stop: StopFlag| {
            let searcher = &searcher;
            scope.spawn(move || searcher.search(&job(Target::ZERO), &stop))
        };
        let going_on = search(first.clone());
        wait_for("the first search", || first.begun_at().is_some());
        let waiting = search(second.clone());
        second.stop();
        let stopped = until(LIVELY, || waiting.is_finished());
        first.stop();
        assert!(stopped, "the second search ignored its flag");
        for ended in [waiting, going_on] {
            assert_eq!(ended.join().expect("no panic"), SearchOutcome::Stopped);
        }
    });
    assert_eq!(second.begun_at(), None);
}

#[test]
fn threads_together_do_not_exceed_the_rate() {
    let options = SearchOptions {
        threads: 2,
        rate: Some(20_000),
        ..SearchOptions::default()
    };
    let searcher = searcher(options);
    let start = Instant::now();
    let (hashes, _) = run_for(&searcher, Duration::from_millis(600));
    // Too slow is left to the test with a clock of its own: this machine may be busy.
    let most = 20_000.0 * start.elapsed().as_secs_f64();
    assert!(hashes > 0 && hashes as f64 <= most, "{hashes} of {most}");
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
    let twice = [pause.close(), pause.close()];
    let (hashes, late) = run_for(&searcher, Duration::from_millis(50));
    assert_eq!(hashes, 0);
    assert!(late < Duration::from_secs(5), "{late:?}");
    let [first, second] = twice;
    drop(first);
    assert!(pause.is_closed(), "it was closed twice");
    std::thread::scope(|scope| {
        let found = scope.spawn(|| searcher.search(&job(one_in(12)), &StopFlag::new()));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(searcher.hashes(), 0);
        drop(second);
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
        wait_for("the search", || stop.begun_at().is_some());
        let started = Instant::now();
        let _closed = pause.close();
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
