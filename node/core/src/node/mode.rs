//! [`ModeWatch`]: how well the node works, decided from what it knows, never from the age of the tip alone.

use std::time::Duration;

use p2p::Mono;
use p2p::sync::ChainView;

use super::{NodeCore, Output};
use crate::events::NodeEvent;
use crate::mode::Mode;
use crate::now::Now;

/// Without a block for so many spacings the tip counts as stale: with all miners at work, one gap in three million is as
/// long (e^-15).
const STALE_SPACINGS: u64 = 15;
/// A single new block is fetched within this; being behind for longer is syncing.
const SYNC_PATIENCE: Duration = Duration::from_millis(500);
/// Being behind by more blocks is syncing at once.
const SYNC_BLOCKS: u32 = 24;

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
        [patience, stale]
            .into_iter()
            .flatten()
            .filter(|due| *due > now)
            .min()
    }
}

fn stale_after(spacing_s: u32) -> Duration {
    Duration::from_secs(STALE_SPACINGS * u64::from(spacing_s))
}

/// How far behind known peers the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lag {
    None,
    Little,
    Much,
}

impl NodeCore {
    /// How well the node works.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode.mode()
    }

    /// Whether blocks are being fetched that known peers have. Not a matter of clocks: an old tip that nobody betters is the
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
        let lag = self.lag();
        match lag {
            Lag::None => self.mode.behind_since = None,
            _ => _ = self.mode.behind_since.get_or_insert(now.mono),
        }
        let since_start = *self.mode.last_block.get_or_insert(now.mono);
        let spacing_s = self.chain.params().pow.spacing_s;
        let waited = self
            .mode
            .behind_since
            .is_some_and(|t| now.mono.since(t) >= SYNC_PATIENCE);
        let mode = if self.mode.disk_low {
            Mode::DiskLow
        } else if lag == Lag::Much || waited {
            Mode::Syncing
        } else if self.peers.is_empty() {
            Mode::Isolated
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

    /// Compares the tip with the best headers, and with what peers claim.
    fn lag(&self) -> Lag {
        let tree = self.chain.tree();
        let is_level = tree.best_header_id() == tree.tip().id;
        if is_level && !self.engine.is_fetching_headers() {
            return Lag::None;
        }
        let tip = ChainView::tip(&self.chain);
        let best = tree.best_header();
        let progress = self.engine.progress();
        let headers_ahead = best.chain_work > tip.chain_work;
        let claim = progress
            .best_claim
            .filter(|claim| claim.chain_work > tip.chain_work);
        // Headers whose bodies nobody has (their node is gone) hold nobody up.
        let bodies_missing = headers_ahead
            && (claim.is_some() || self.activation_due || progress.blocks_in_flight > 0);
        if !bodies_missing && !progress.fetching_headers {
            return Lag::None;
        }
        let claimed_height = claim.map_or(best.height, |claim| claim.height.max(best.height));
        if claimed_height.0.saturating_sub(tip.height.0) > SYNC_BLOCKS {
            Lag::Much
        } else {
            Lag::Little
        }
    }
}
