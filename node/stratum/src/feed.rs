//! New work for miners: at once when the tip changes, now and then for payments and for the time.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use chain::Timestamp;
use p2p::Mono;
use tokio::sync::{Notify, watch};

use super::job::Work;
use node_core::{ChainAhead, Now};
use node_host::NodeHandle;

/// How often the mempool is looked at while there are miners.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// New payments make new work after this time at the earliest.
const PAYMENTS_AFTER: Duration = Duration::from_secs(5);
/// Work is made anew after this time, since its time lags behind.
const WORK_LIFE: Duration = Duration::from_secs(30);

/// The latest work; `None` before there was a miner.
pub(super) type LatestWork = Option<Arc<Work>>;

/// When and from what the latest work was made.
#[derive(Clone, Copy, Debug)]
struct Made {
    at: Mono,
    parent: BlockHash,
    pool_sequence: u64,
    /// The last time for which the work's bits are right.
    max_time: Timestamp,
}

impl Made {
    /// Whether new work is worth giving.
    fn is_outdated(&self, now: Now, parent: BlockHash, pool_sequence: u64) -> bool {
        let age = now.mono.since(self.at);
        self.parent != parent
            || now.wall > self.max_time
            || age >= WORK_LIFE
            || (self.pool_sequence != pool_sequence && age >= PAYMENTS_AFTER)
    }
}

/// Makes work for those who ask, and sleeps while nobody does.
#[derive(Debug)]
pub(super) struct Feed {
    latest: watch::Sender<LatestWork>,
    asked: Notify,
}

impl Feed {
    pub(super) fn new() -> Feed {
        Feed {
            latest: watch::Sender::new(None),
            asked: Notify::new(),
        }
    }

    /// The latest work, kept up to date while this is held. A slow reader sees the last only.
    pub(super) fn subscribe(&self) -> watch::Receiver<LatestWork> {
        let receiver = self.latest.subscribe();
        self.asked.notify_one();
        receiver
    }

    /// Makes work until the node stops.
    pub(super) async fn run(&self, node: NodeHandle) {
        let mut tip = node.tip();
        let mut made: Option<Made> = None;
        loop {
            while self.latest.receiver_count() == 0 {
                tokio::select! {
                    () = self.asked.notified() => {}
                    _ = node.stop().pressed() => return,
                }
            }
            // Seen before the template is made, so that no change in between is missed.
            tip.mark_unchanged();
            let asked = node.clone();
            match tokio::task::spawn_blocking(move || make_if_due(&asked, made)).await {
                Ok(Ok(Some((work, now)))) => {
                    made = Some(now);
                    self.latest.send_replace(Some(Arc::new(work)));
                }
                Ok(Ok(None)) => {}
                // Miners keep what they have until the clock has caught up.
                Ok(Err(ahead)) => tracing::warn!(target: "stratum", "no work for miners: {ahead}"),
                Err(error) => tracing::error!(target: "stratum", %error, "no work was made"),
            }
            tokio::select! {
                changed = tip.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = node.stop().pressed() => return,
            }
        }
    }
}

fn make_if_due(node: &NodeHandle, made: Option<Made>) -> Result<Option<(Work, Made)>, ChainAhead> {
    let now = node.now();
    node.read(|core| {
        let tip = core.chain().tip().hash;
        let pool_sequence = core.mempool().sequence();
        if made.is_some_and(|made| !made.is_outdated(now, tip, pool_sequence)) {
            return Ok(None);
        }
        let template = core.template(now)?;
        let made = Made {
            at: now.mono,
            parent: template.parent,
            pool_sequence: template.pool_sequence,
            max_time: template.max_time,
        };
        Ok(Some((template, made)))
    })
    .map(|found| found.map(|(template, made)| (Work::new(template), made)))
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    #[test]
    fn a_new_tip_counts_at_once_payments_soon_and_time_at_last() {
        let parent = BlockHash::from_byte_array([1; 32]);
        let made = Made {
            at: Mono::ZERO,
            parent,
            pool_sequence: 7,
            max_time: Timestamp(1_040),
        };
        let at = |seconds: u32, wall| Now {
            mono: Mono::ZERO + Duration::from_secs(u64::from(seconds)),
            wall: Timestamp(wall),
        };
        let after = |seconds| at(seconds, 1_000 + seconds);
        assert!(made.is_outdated(after(0), BlockHash::all_zeros(), 7));
        assert!(!made.is_outdated(after(4), parent, 8));
        assert!(made.is_outdated(after(5), parent, 8));
        assert!(!made.is_outdated(after(29), parent, 7));
        assert!(made.is_outdated(after(30), parent, 7));
        assert!(!made.is_outdated(at(1, 1_040), parent, 7));
        assert!(made.is_outdated(at(1, 1_041), parent, 7), "other bits");
    }
}
