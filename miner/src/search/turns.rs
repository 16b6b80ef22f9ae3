//! [`Turns`]: one search at a time, without losing sight of a stop.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stop::StopFlag;

/// Lets one search at a time through.
#[derive(Debug, Default)]
pub(super) struct Turns {
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    taken: bool,
    waiting: Vec<StopFlag>,
}

/// The turn of one search; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits until no other has the turn. `None`: `stop` was raised before.
    pub(super) fn take(&self, stop: &StopFlag) -> Option<Turn<'_>> {
        loop {
            if stop.is_stopped() {
                return None;
            }
            {
                let mut line = self.lock();
                if !line.taken {
                    line.taken = true;
                    return Some(Turn(self));
                }
                line.waiting.push(stop.clone());
            }
            stop.sleep_unless(|| !self.lock().taken);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        line.taken = false;
        // All of them: the first may have been stopped.
        for waiting in line.waiting.drain(..) {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn who_waits_for_the_turn_goes_when_stopped_and_the_others_get_it() {
        let turns = Turns::default();
        let (flags, (done, ended)) = ([StopFlag::new(), StopFlag::new()], channel());
        let mine = turns.take(&StopFlag::new()).expect("nobody before");
        std::thread::scope(|scope| {
            for flag in &flags {
                let (turns, done) = (&turns, done.clone());
                scope.spawn(move || done.send(turns.take(flag).is_some()));
            }
            while turns.lock().waiting.len() < 2 {
                std::thread::yield_now();
            }
            flags[0].stop();
            let first = ended.recv_timeout(PATIENCE);
            drop(mine);
            let second = ended.recv_timeout(PATIENCE);
            flags[1].stop();
            assert_eq!(first, Ok(false), "stopped while another has the turn");
            assert_eq!(second, Ok(true), "it is free");
        });
    }
}
