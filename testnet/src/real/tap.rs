//! Follows the numbered events of one node through one life.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::{Block, BlockHash};
use serde::Deserialize;
use serde_json::json;

use super::{LabError, Probe};
use crate::record::Line;

/// How long a node is asked to wait for its next event, in milliseconds: so long a tap may take to see that it is to end.
const WAIT_MS: u64 = 300;
/// How long no more changes must come until a change of branches is told, in milliseconds.
const SETTLE_MS: u64 = 20;
/// Events that are read at once.
const BATCH: u32 = 1_000;
/// Pause after a node did not answer: it is frozen, or about to be known as gone.
const PAUSE: Duration = Duration::from_millis(50);

/// What a tap saw: a line, and blocks that it may be the first to name, parents first.
pub(super) struct Tapped {
    pub(super) t: u64,
    pub(super) blocks: Vec<(u32, Block)>,
    pub(super) line: Line,
}

/// The answer to `waitforevents`.
#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
    next_id: String,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    hash: Option<BlockHash>,
    height: Option<u32>,
}

/// A change of a node's active chain.
#[derive(Clone, Copy)]
enum Change {
    Connected(BlockHash, u32),
    Disconnected(BlockHash),
}

impl Event {
    fn change(&self) -> Option<Change> {
        match (self.event.as_str(), self.hash) {
            ("block-connected", Some(hash)) => {
                Some(Change::Connected(hash, self.height.unwrap_or_default()))
            }
            ("block-disconnected", Some(hash)) => Some(Change::Disconnected(hash)),
            _ => None,
        }
    }
}

/// A change that is not told yet, with the block that joined.
struct Seen {
    change: Change,
    block: Option<(u32, Block)>,
}

/// Tells where the node's chain starts, and every change of it, until it is to stop and has nothing more to say.
///
/// A node goes from one branch to another at once, and tells it block by block: those changes are held until no more come, and told
/// with one time.
pub(super) fn follow(probe: &Probe, began: Instant, stop: &AtomicBool, tell: impl Fn(Tapped)) {
    let mut from: Option<String> = None;
    let mut held: Vec<Seen> = Vec::new();
    loop {
        // Looked at before the node is asked: what came until then is told.
        let is_last = stop.load(Ordering::Relaxed);
        let wait_ms = match held.is_empty() {
            true => WAIT_MS,
            false => SETTLE_MS,
        };
        let answer = match &from {
            None => begin(probe, began, &tell),
            Some(from) => go_on(probe, from, wait_ms),
        };
        let is_quiet = match answer {
            Ok(Some((next, seen))) => {
                let is_quiet = seen.is_empty();
                from = Some(next);
                held.extend(seen);
                is_quiet
            }
            Ok(None) => false,
            Err(_) => {
                if !is_last {
                    std::thread::sleep(PAUSE);
                }
                true
            }
        };
        let branches = |seen: &Seen| matches!(seen.change, Change::Disconnected(_));
        if is_quiet || is_last || !held.iter().any(branches) {
            tell_all(
                probe.node(),
                micros(began),
                std::mem::take(&mut held),
                &tell,
            );
        }
        if is_last {
            return;
        }
    }
}

/// Tells the node's tip before its first event. Gives those events; `None` if the tip moved while the node was asked.
fn begin(
    probe: &Probe,
    began: Instant,
    tell: &impl Fn(Tapped),
) -> Result<Option<(String, Vec<Seen>)>, LabError> {
    let tip = probe.tip()?;
    let first: Events = probe.call("waitforevents", json!([0, 1, BATCH]))?;
    let mut changes = first.events.iter().filter_map(Event::change);
    let tip = match changes.next() {
        Some(Change::Connected(hash, _)) => match probe.header(&hash)?.parent {
            Some(parent) => parent,
            None => return Ok(None),
        },
        Some(Change::Disconnected(hash)) => hash,
        None if probe.tip()? == tip => tip,
        None => return Ok(None),
    };
    let (blocks, seen) = (branch(probe, tip)?, seen(probe, &first)?);
    let (t, node) = (micros(began), probe.node());
    tell(Tapped {
        t,
        blocks,
        line: Line::Up { t, node, tip },
    });
    Ok(Some((first.next_id, seen)))
}

fn go_on(probe: &Probe, from: &str, wait_ms: u64) -> Result<Option<(String, Vec<Seen>)>, LabError> {
    let events: Events = probe.call("waitforevents", json!([from, wait_ms, BATCH]))?;
    let seen = seen(probe, &events)?;
    Ok(Some((events.next_id, seen)))
}

/// The changes among events, with their blocks.
fn seen(probe: &Probe, events: &Events) -> Result<Vec<Seen>, LabError> {
    let changes = events.events.iter().filter_map(Event::change);
    let with_block = |change| {
        let block = match change {
            Change::Connected(hash, height) => probe.block(&hash)?.map(|block| (height, block)),
            Change::Disconnected(_) => None,
        };
        Ok(Seen { change, block })
    };
    changes.map(with_block).collect()
}

fn tell_all(node: usize, t: u64, seen: Vec<Seen>, tell: &impl Fn(Tapped)) {
    for Seen { change, block } in seen {
        let line = match change {
            Change::Connected(hash, _) => Line::Connected { t, node, hash },
            Change::Disconnected(hash) => Line::Disconnected { t, node, hash },
        };
        tell(Tapped {
            t,
            blocks: block.into_iter().collect(),
            line,
        });
    }
}

/// All blocks of the branch of a tip but genesis, parents first.
fn branch(probe: &Probe, tip: BlockHash) -> Result<Vec<(u32, Block)>, LabError> {
    let mut height = probe.header(&tip)?.height;
    let (mut blocks, mut at) = (Vec::new(), tip);
    while height > 0 {
        let Some(block) = probe.block(&at)? else {
            break;
        };
        at = block.header.prev_blockhash;
        blocks.push((height, block));
        height -= 1;
    }
    blocks.reverse();
    Ok(blocks)
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
