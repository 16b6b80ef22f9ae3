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

/// What the mode follows from, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// Headers of checked work lead further than the tip, with bodies or without.
    pub(super) is_behind: bool,
    /// Blocks that are here are being connected.
    pub(super) is_connecting: bool,
    /// Heights from the tip to where bodies are being fetched.
    pub(super) blocks_ahead: u32,
    /// When the last of these bodies came.
    pub(super) last_body: Option<Mono>,
    /// Whether there are peers.
    pub(super) has_peers: bool,
    /// What the network's rules say about the pace of blocks.
    pub(super) spacing_s: u32,
}

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

    /// The host measured the disk.
    pub(super) fn set_disk_low(&mut self, disk_low: bool) {
        self.disk_low = disk_low;
    }

    /// Decides anew. Gives the mode if it is another than before.
    pub(super) fn update(&mut self, now: Mono, situation: &Situation) -> Option<Mode> {
        if situation.is_behind {
            self.behind_since.get_or_insert(now);
        } else {
            self.behind_since = None;
        }
        let last_block = *self.last_block.get_or_insert(now);
        let waited = self
            .behind_since
            .is_some_and(|since| now.since(since) >= SYNC_PATIENCE);
        let mode = if self.disk_low {
            Mode::DiskLow
        } else if situation.is_behind && self.is_catching_up(now, situation, waited) {
            Mode::Syncing
        } else if !situation.has_peers {
            Mode::Isolated
        } else if waited {
            Mode::Behind
        } else if now.since(last_block) >= stale_after(situation.spacing_s) {
            Mode::Stale
        } else {
            Mode::Healthy
        };
        let changed = mode != self.mode;
        self.mode = mode;
        changed.then_some(mode)
    }

    /// Whether blocks that are missing come, or are here and being connected. Headers alone are no reason to stop a miner:
    /// where work is cheap, they are.
    fn is_catching_up(&self, now: Mono, situation: &Situation, waited: bool) -> bool {
        let came = situation.last_body;
        let moving = situation.is_connecting || came.is_some_and(|came| now.since(came) < MOVING);
        if situation.blocks_ahead > SYNC_BLOCKS {
            moving || !waited
        } else {
            // The last few of many. By itself a block that is late changes nothing.
            moving && is_syncing(self.mode)
        }
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

fn is_syncing(mode: Mode) -> bool {
    matches!(mode, Mode::Starting | Mode::Syncing)
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
        is_syncing(self.mode())
    }

    /// The host measured the disk: nearly full, or not any more.
    pub fn set_disk_low(&mut self, now: Now, disk_low: bool, out: &mut Vec<Output>) {
        self.mode.set_disk_low(disk_low);
        self.settle(now, out);
    }

    /// Recomputes the mode and tells a change.
    pub(super) fn update_mode(&mut self, now: Now, out: &mut Vec<Output>) {
        let download = self.engine.download();
        let tip = self.chain.tree().tip().height.0;
        let situation = Situation {
            is_behind: self.is_behind(),
            is_connecting: self.activation_due,
            blocks_ahead: download.map_or(0, |download| download.height.0.saturating_sub(tip)),
            last_body: download.and_then(|download| download.last_body),
            has_peers: !self.peers().is_empty(),
            spacing_s: self.chain.params().pow.spacing_s,
        };
        if let Some(mode) = self.mode.update(now.mono, &situation) {
            out.push(Output::Event(NodeEvent::ModeChanged { mode }));
        }
        self.look_as_wide_as_needed();
    }

    /// Whether headers of checked work lead further than the tip, with bodies or without. What a peer only says counts for
    /// nothing.
    fn is_behind(&self) -> bool {
        let tree = self.chain.tree();
        let (best, tip) = (tree.best_header_id(), tree.tip());
        best != tip.id && tree.chain_work(best) > tip.chain_work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node at the tip with peers, a block a minute.
    const AT_TIP: Situation = Situation {
        is_behind: false,
        is_connecting: false,
        blocks_ahead: 0,
        last_body: None,
        has_peers: true,
        spacing_s: 60,
    };

    fn at(seconds: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(seconds)
    }

    /// A node that is healthy at second 0.
    fn healthy() -> ModeWatch {
        let mut watch = ModeWatch::default();
        assert_eq!(watch.update(at(0), &AT_TIP), Some(Mode::Healthy));
        watch
    }

    #[test]
    fn what_is_told_is_a_change() {
        let mut watch = healthy();
        assert_eq!(watch.update(at(1), &AT_TIP), None);
        let alone = Situation {
            has_peers: false,
            ..AT_TIP
        };
        assert_eq!(watch.update(at(2), &alone), Some(Mode::Isolated));
        assert_eq!(watch.update(at(3), &AT_TIP), Some(Mode::Healthy));
    }

    #[test]
    fn a_tip_is_stale_after_fifteen_spacings_and_never_sooner() {
        let mut watch = healthy();
        assert_eq!(watch.next_due(at(0), 60), Some(at(900)));
        assert_eq!(watch.update(at(899), &AT_TIP), None);
        assert_eq!(watch.update(at(900), &AT_TIP), Some(Mode::Stale));
        watch.block_came(at(901));
        assert_eq!(watch.update(at(901), &AT_TIP), Some(Mode::Healthy));
    }

    #[test]
    fn who_waits_for_bodies_in_vain_is_behind_and_not_syncing() {
        let mut watch = healthy();
        let headers_only = Situation {
            is_behind: true,
            blocks_ahead: 1_000,
            ..AT_TIP
        };
        assert_eq!(watch.update(at(10), &headers_only), Some(Mode::Syncing));
        assert_eq!(watch.update(at(11), &headers_only), Some(Mode::Behind));
        let coming = Situation {
            last_body: Some(at(11)),
            ..headers_only
        };
        assert_eq!(watch.update(at(12), &coming), Some(Mode::Syncing));
        // They stop coming.
        assert_eq!(watch.update(at(14), &coming), Some(Mode::Behind));
    }

    #[test]
    fn a_block_that_is_late_is_no_reason_to_sync() {
        let mut watch = healthy();
        let one_ahead = Situation {
            is_behind: true,
            blocks_ahead: 1,
            last_body: Some(at(10)),
            ..AT_TIP
        };
        assert_eq!(watch.update(at(10), &one_ahead), None);
        assert_eq!(watch.update(at(11), &one_ahead), Some(Mode::Behind));
    }

    #[test]
    fn a_full_disk_goes_before_all_but_a_failed_one() {
        let mut watch = healthy();
        watch.set_disk_low(true);
        assert_eq!(watch.update(at(1), &AT_TIP), Some(Mode::DiskLow));
        watch.failed();
        assert_eq!(watch.mode(), Mode::ReadOnly);
        assert_eq!(watch.next_due(at(1), 60), None);
    }
}
