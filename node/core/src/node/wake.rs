//! [`WakePlan`]: the next time at which something is due, told to the host when it comes closer.

use p2p::Mono;

use super::{NodeCore, Output};
use crate::now::Now;

/// When the host was asked to call again.
#[derive(Debug, Default)]
pub(super) struct WakePlan {
    /// What the sync engine asked for.
    pub(super) engine: Option<Mono>,
    /// The wake-up that the host was last asked for and that has not come yet.
    armed: Option<Mono>,
}

impl WakePlan {
    /// The host called: wake-ups up to now have come.
    pub(super) fn woken(&mut self, now: Mono) {
        self.engine = self.engine.filter(|due| *due > now);
        self.armed = self.armed.filter(|due| *due > now);
    }
}

impl NodeCore {
    fn has_work_to_go_on_with(&self) -> bool {
        self.activation_due
            || self.payments.is_changing_deeply()
            || self.payments.has_costly()
            || self.chain.is_healing()
            || !self.deferred.is_empty()
    }

    /// Asks for a wake-up if something is due before the one that was asked for last. One that comes too early is cheap; one
    /// for every small change would not be.
    pub(super) fn plan_wake_up(&mut self, now: Now, out: &mut Vec<Output>) {
        let spacing_s = self.chain.params().pow.spacing_s;
        let due = [
            self.wake.engine,
            self.has_work_to_go_on_with().then_some(now.mono),
            self.flush.next_due(),
            self.early.next_due(now),
            self.mode.next_due(now.mono, spacing_s),
            self.connections.next_due(now),
        ];
        let Some(due) = due.into_iter().flatten().min() else {
            return;
        };
        let due = due.max(now.mono);
        if self.wake.armed.is_none_or(|armed| due < armed) {
            self.wake.armed = Some(due);
            out.push(Output::WakeAt(due));
        }
    }
}
