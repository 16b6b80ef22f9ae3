//! [`Probe`]: how long the stages of a block take, for a host that has a clock. This crate reads none.

use std::sync::Arc;

/// A stage on the way of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A body by itself: merkle root, weight, coinbase.
    Check,
    /// A body on its parent's coins, all but signatures.
    Coins,
    /// The signatures of one block, or of a part of it on another thread.
    Signatures,
    /// Moving the tip by one step, coins and signatures included.
    Connect,
    /// One transaction of the database.
    Commit,
}

impl Stage {
    /// All stages in the order in which a block passes them.
    pub const ALL: [Stage; 5] = [
        Stage::Check,
        Stage::Coins,
        Stage::Signatures,
        Stage::Connect,
        Stage::Commit,
    ];

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Check => "check",
            Stage::Coins => "coins",
            Stage::Signatures => "signatures",
            Stage::Connect => "connect",
            Stage::Commit => "commit",
        }
    }
}

/// Told when stages begin and end, on whichever thread they run.
pub trait Probe: Send + Sync {
    /// A stage begins. What it gives is handed back at the end.
    fn begun(&self, stage: Stage) -> u64;

    /// The stage that began when [`Probe::begun`] gave `begun` has ended.
    fn ended(&self, stage: Stage, begun: u64);
}

/// The probe that a chain may have.
#[derive(Clone, Default)]
pub(crate) struct Probes(Option<Arc<dyn Probe>>);

impl Probes {
    pub(crate) fn of(probe: Arc<dyn Probe>) -> Probes {
        Probes(Some(probe))
    }

    /// Runs a stage.
    pub(crate) fn run<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let Some(probe) = &self.0 else {
            return work();
        };
        let _running = Running {
            begun: probe.begun(stage),
            probe: probe.as_ref(),
            stage,
        };
        work()
    }
}

/// A stage that has begun. It ends when this is dropped, also by a panic: a host may hold something up meanwhile.
struct Running<'a> {
    probe: &'a dyn Probe,
    stage: Stage,
    begun: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.probe.ended(self.stage, self.begun);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Diary(Mutex<Vec<(Stage, Option<u64>)>>);

    impl Probe for Diary {
        fn begun(&self, stage: Stage) -> u64 {
            self.0.lock().expect("no panic").push((stage, None));
            7
        }

        fn ended(&self, stage: Stage, begun: u64) {
            self.0.lock().expect("no panic").push((stage, Some(begun)));
        }
    }

    #[test]
    fn a_stage_that_panics_has_ended_too() {
        let diary = Arc::new(Diary::default());
        let probes = Probes::of(Arc::clone(&diary) as Arc<dyn Probe>);
        assert_eq!(probes.run(Stage::Coins, || 5), 5);
        let work =
            std::panic::AssertUnwindSafe(|| probes.run(Stage::Connect, || panic!("in work")));
        assert!(std::panic::catch_unwind(work).is_err());
        let told = diary.0.lock().expect("no panic").clone();
        let of = |stage| [(stage, None), (stage, Some(7))];
        assert_eq!(told, [of(Stage::Coins), of(Stage::Connect)].concat());
    }
}
