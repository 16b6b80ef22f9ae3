//! [`ModeWatch`]: how well the node works, decided from what it knows, never from the age of the tip alone.

use std::time::Duration;

use p2p::Mono;

use super::{NodeCore, Output};
use crate::events::NodeEvent;
use crate::mode::Mode;
use crate::now::Now;

/// Without a block for so many spacings the tip counts as stale: with all miners at work, one gap in three million is as
/// long (e^-15).
const STALE_SPACINGS: u64 = 15;
/// A single new block is fetched within this; being behind for longer is told.
const SYNC_PATIENCE: Duration = Duration::from_millis(500);
/// Being behind by more blocks that come is syncing.
const SYNC_BLOCKS: u32 = 24;
/// Blocks come as long as the last one is not longer ago.
const MOVING: Duration = Duration::from_secs(3);

/// What the mode follows from, over time.
#[derive(Debug)]
pub(super) struct ModeWatch {
    mode: Mode,
    behind_since: Option<Mono>,
    last_block: Option<Mono>,
    disk_low: bool,
}

impl Default for ModeWatch {
    fn default() -> ModeWatch {
        ModeWatch {
            mode: Mode::Starting,
            behind_since: None,
            last_block: None,
            disk_low: false,
        }
    }
}

impl ModeWatch {
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn is_disk_low(&self) -> bool {
        self.disk_low
    }

    /// Storage failed.
    pub(super) fn failed(&mut self) {
        self.mode = Mode::ReadOnly;
    }

    /// The tip moved.
    pub(super) fn block_came(&mut self, now: Mono) {
        self.last_block = Some(now);
    }

    /// When the mode may change without any other input.
    pub(super) fn next_due(&self, now: Mono, spacing_s: u32) -> Option<Mono> {
        if self.mode == Mode::ReadOnly {
            return None;
        }
        let patience = self.behind_since.map(|since| since + SYNC_PATIENCE);
        let stale = self.last_block.map(|last| last + stale_after(spacing_s));
        let still = (self.mode == Mode::Syncing).then(|| now + MOVING);
        [patience, stale, still]
            .into_iter()
            .flatten()
            .filter(|due| *due > now)
            .min()
    }
}

fn stale_after(spacing_s: u32) -> Duration {
    Duration::from_secs(STALE_SPACINGS * u64::from(spacing_s))
}

impl NodeCore {
    /// How well the node works.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode.mode()
    }

    /// Whether blocks come that lead to a chain of more work. Not a matter of clocks: an old tip that nobody betters is the
    /// tip.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        matches!(self.mode(), Mode::Starting | Mode::Syncing)
    }

    /// The host measured the disk: nearly full, or not any more.
    pub fn set_disk_low(&mut self, now: Now, disk_low: bool, out: &mut Vec<Output>) {
        self.mode.disk_low = disk_low;
        self.settle(now, out);
    }

    /// Recomputes the mode and tells a change.
    pub(super) fn update_mode(&mut self, now: Now, out: &mut Vec<Output>) {
        let behind = self.is_behind();
        if behind {
            self.mode.behind_since.get_or_insert(now.mono);
        } else {
            self.mode.behind_since = None;
        }
        let since_start = *self.mode.last_block.get_or_insert(now.mono);
        let spacing_s = self.chain.params().pow.spacing_s;
        let waited = self
            .mode
            .behind_since
            .is_some_and(|since| now.mono.since(since) >= SYNC_PATIENCE);
        let mode = if self.mode.disk_low {
            Mode::DiskLow
        } else if behind && self.is_catching_up(now, waited) {
            Mode::Syncing
        } else if self.peers.is_empty() {
            Mode::Isolated
        } else if waited {
            Mode::Behind
        } else if now.mono.since(since_start) >= stale_after(spacing_s) {
            Mode::Stale
        } else {
            Mode::Healthy
        };
        if mode != self.mode.mode {
            self.mode.mode = mode;
            out.push(Output::Event(NodeEvent::ModeChanged { mode }));
        }
    }

    /// Whether headers of checked work lead further than the tip, with bodies or without. What a peer only says counts for
    /// nothing.
    fn is_behind(&self) -> bool {
        let tree = self.chain.tree();
        let (best, tip) = (tree.best_header_id(), tree.tip());
        best != tip.id && tree.chain_work(best) > tip.chain_work
    }

    /// Whether blocks that are missing come, or are here and being connected. Headers alone are no reason to stop a miner:
    /// where work is cheap, they are.
    fn is_catching_up(&self, now: Now, waited: bool) -> bool {
        let download = self.engine.download();
        let came = download.and_then(|download| download.last_body);
        let moving = self.activation_due || came.is_some_and(|came| now.mono.since(came) < MOVING);
        let tip = self.chain.tree().tip().height.0;
        let ahead = download.map_or(0, |download| download.height.0.saturating_sub(tip));
        if ahead > SYNC_BLOCKS {
            moving || !waited
        } else {
            // The last few of many. By itself a block that is late changes nothing.
            moving && self.is_syncing()
        }
    }
}
