//! [`Stages`]: what the host does when stages of blocks begin and end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::probe::{Probe, Stage};
use miner::{Closed, PauseGate};

use crate::Timings;

/// Times the stages, and holds the node's own search up while a block is connected: on cores that share their units even a thread of the
/// lowest priority costs the others.
#[derive(Debug)]
pub(crate) struct Stages {
    timings: Arc<Timings>,
    mining: PauseGate,
    /// One for each block that is being connected.
    resting: Mutex<Vec<Closed>>,
}

impl Stages {
    pub(crate) fn new(timings: Arc<Timings>, mining: PauseGate) -> Stages {
        let resting = Mutex::default();
        Stages {
            timings,
            mining,
            resting,
        }
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Closed>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe for Stages {
    fn begun(&self, stage: Stage) -> u64 {
        if stage == Stage::Connect {
            let closed = self.mining.close();
            self.resting().push(closed);
        }
        self.timings.begun(stage)
    }

    fn ended(&self, stage: Stage, begun: u64) {
        self.timings.ended(stage, begun);
        if stage == Stage::Connect {
            drop(self.resting().pop());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mining_rests_while_a_block_is_connected_and_only_then() {
        let (timings, mining) = (Arc::new(Timings::default()), PauseGate::new());
        let stages = Stages::new(Arc::clone(&timings), mining.clone());
        for stage in Stage::ALL {
            let begun = stages.begun(stage);
            assert_eq!(mining.is_closed(), stage == Stage::Connect);
            stages.ended(stage, begun);
            assert!(!mining.is_closed());
        }
        let mut found = timings.stages();
        assert!(found.all(|(_, times)| times.count == 1));
    }
}
