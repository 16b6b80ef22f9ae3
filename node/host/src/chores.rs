//! What is due from time to time, on the chain thread.

use std::time::Duration;

use p2p::Mono;

use crate::{NodeHandle, disk, mining, peers};
use node_core::Mode;

/// How often the miner is given new transactions.
const MINING_PAUSE: Duration = Duration::from_secs(1);
/// How often the disk is looked at, and known peers are saved if they changed: a lost one is harmless.
const HOUSE_PAUSE: Duration = Duration::from_secs(10);

/// How often the mempool is saved if it changed: what came since is lost by a crash.
const MEMPOOL_PAUSE: Duration = Duration::from_secs(60);

/// What is due, and when.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    next_mining: Mono,
    next_house: Mono,
    next_mempool: Mono,
    saved_changes: u64,
}

impl Chores {
    /// When to call [`Chores::work`] at the latest.
    pub(crate) fn next(&self) -> Mono {
        self.next_mining.min(self.next_house).min(self.next_mempool)
    }

    /// Does what is due.
    pub(crate) fn work(&mut self, node: &NodeHandle, now: Mono) {
        if self.next_mining <= now {
            self.next_mining = now + MINING_PAUSE;
            mining::refresh(node);
        }
        if self.next_house <= now {
            self.next_house = now + HOUSE_PAUSE;
            self.save_peers(node);
            node.save_bans();
            watch_disk(node);
        }
        if self.next_mempool <= now {
            self.next_mempool = now + MEMPOOL_PAUSE;
            save_mempool_aside(node);
        }
    }

    fn save_peers(&mut self, node: &NodeHandle) {
        let saved = self.saved_changes;
        let changed = node.read(|core| {
            let changes = core.book_changes();
            (changes != saved).then(|| (changes, core.book_json(node.now())))
        });
        if let Some((changes, text)) = changed {
            peers::save(node, &text);
            self.saved_changes = changes;
        }
    }
}

/// Saves the mempool on a thread of its own: it may be large, and the disk slow.
fn save_mempool_aside(node: &NodeHandle) {
    let saver = node.clone();
    let builder = std::thread::Builder::new().name("mempool".to_owned());
    if let Err(error) = builder.spawn(move || saver.save_changed_mempool()) {
        tracing::warn!(%error, "the mempool cannot be saved: no thread");
    }
}

/// Tells the core when the disk becomes nearly full, and when there is room again.
fn watch_disk(node: &NodeHandle) {
    let low = disk::is_low(node.data_dir().path());
    if low != node.read(|core| core.mode() == Mode::DiskLow) {
        node.act(|core, now, out| core.set_disk_low(now, low, out));
    }
}
