//! Proof of work for blocks that are mined on command.

use std::time::Duration;

use bitcoin::Block;
use chain::Timestamp;
use miner::{Job, ROLLING_MASK, SearchOptions, SearchOutcome, Searcher, StopFlag};

use super::error::Failure;
use crate::Api;

/// So many nonces are tried at once before threads are started: enough for regtest.
const EASY_TRIES: u32 = 20_000;
/// How often a long search looks whether it is still wanted.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Finds the nonce. False: `tries` are used up, all nonces are tried, the tip moved on, the time has come for other
/// bits than those until `max_time`, or nobody waits for it any more.
pub(super) fn grind(
    node: &Api,
    block: &mut Block,
    max_time: Timestamp,
    tries: &mut Option<u64>,
) -> Result<bool, Failure> {
    let target = block.header.target();
    for nonce in 0..EASY_TRIES {
        if !spend_one(tries) {
            return Ok(false);
        }
        block.header.nonce = nonce;
        if target.is_met_by(block.block_hash()) {
            return Ok(true);
        }
    }
    if tries.is_none() {
        return search(node, block, max_time);
    }
    for nonce in EASY_TRIES..=u32::MAX {
        let wanted = nonce % EASY_TRIES != 0 || still_wanted(node, block, max_time);
        if !spend_one(tries) || !wanted {
            return Ok(false);
        }
        block.header.nonce = nonce;
        if target.is_met_by(block.block_hash()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn spend_one(tries: &mut Option<u64>) -> bool {
    match tries {
        None => true,
        Some(0) => false,
        Some(left) => {
            *left -= 1;
            true
        }
    }
}

/// Whether somebody waits for the block, it would still be the next one, and the time has not come for other bits.
fn still_wanted(node: &Api, block: &Block, max_time: Timestamp) -> bool {
    node.is_wanted()
        && node.tip().borrow().hash == block.header.prev_blockhash
        && node.now().wall <= max_time
}

fn search(node: &Api, block: &mut Block, max_time: Timestamp) -> Result<bool, Failure> {
    let searcher = Searcher::new(SearchOptions::default())
        .map_err(|error| Failure::internal(error.to_string()))?;
    let job = Job {
        header: block.header,
        target: block.header.target(),
        version_mask: ROLLING_MASK,
    };
    let stop = StopFlag::new();
    let watched = stop.clone();
    let outcome = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !watched.is_stopped() && still_wanted(node, block, max_time) {
                std::thread::park_timeout(LOOK_PAUSE);
            }
            watched.stop();
        });
        let outcome = searcher.search(&job, &stop);
        stop.stop();
        watcher.thread().unpark();
        outcome
    });
    let SearchOutcome::Found(header) = outcome else {
        return Ok(false);
    };
    block.header = header;
    Ok(true)
}
