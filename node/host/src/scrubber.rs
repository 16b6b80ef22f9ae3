//! [`Scrubber`]: goes over everything that is stored in the background, slowly, so that damage is found before it is met.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::scrub::{Scrub, ScrubProgress};
use chain::store::Table;

use crate::{NodeHandle, StopReason};

/// Bytes that are looked at while the core's lock is held: about a millisecond's work.
const STEP_BYTES: u64 = 64 << 10;

/// Rest after a round, so that a small database is not read over and over.
const REST: Duration = Duration::from_secs(600);

/// How far the scrub is, and how fast it goes.
#[derive(Debug)]
pub struct Scrubber {
    /// Bytes in a second; `None` for not at all.
    rate: Option<u64>,
    scrub: Mutex<Scrub>,
}

impl Scrubber {
    /// One that has not begun, and will look at `rate` bytes in a second; `None` for never.
    pub(crate) fn new(rate: Option<u64>) -> Scrubber {
        Scrubber {
            rate,
            scrub: Mutex::default(),
        }
    }

    /// Bytes in a second; `None` if it is switched off.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// What was looked at so far, and the table that comes next.
    pub fn progress(&self) -> (ScrubProgress, Table) {
        let scrub = self.scrub();
        (scrub.progress(), scrub.table())
    }

    fn scrub(&self) -> MutexGuard<'_, Scrub> {
        self.scrub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Scrubs until the node stops.
pub(crate) async fn run(node: NodeHandle, scrubber: Arc<Scrubber>) {
    let Some(rate) = scrubber.rate else {
        return;
    };
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            _ = node.stop().pressed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let (reader, scrub) = (node.clone(), Arc::clone(&scrubber));
        let step = move || {
            let now = reader.clock().wall();
            reader.read(|core| scrub.scrub().step(core.chain(), STEP_BYTES, now))
        };
        match node.background().long(step).await {
            Ok(Ok(step)) if step.ends_round => pause = REST,
            Ok(Ok(step)) => pause = Duration::from_secs_f64(seconds(step.bytes, rate)),
            Ok(Err(error)) => {
                let reason = StopReason::Failed(error.to_string());
                return node.stop().press(reason);
            }
            // The node stops.
            Err(_) => return,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a pause need not be exact")]
fn seconds(bytes: u64, rate: u64) -> f64 {
    bytes as f64 / rate as f64
}
