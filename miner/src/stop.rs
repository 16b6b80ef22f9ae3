//! [`StopFlag`]: ends a search from another thread, and tells when it began.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Ends a search from another thread, even one that sleeps. Clones are the same flag, and it is never lowered:
/// every search gets a new one.
///
/// Raising it takes no lock. Mining threads are the last that the system runs, and who raises the flag may hold locks of its
/// own that a whole node waits for.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    raised: AtomicBool,
    begun: OnceLock<Instant>,
    sleepers: Sleepers,
}

impl StopFlag {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag for good. Never waits.
    pub fn stop(&self) {
        self.shared.raised.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it has been raised.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.shared.raised.load(Ordering::Acquire)
    }

    /// When the first thread of the search took it up; `None` before, and for good if the flag was raised first.
    #[must_use]
    pub fn begun_at(&self) -> Option<Instant> {
        self.shared.begun.get().copied()
    }

    /// A thread takes the search up. The first one counts.
    pub(crate) fn note_begun(&self) {
        // The clock before the flag: who raises it and reads the clock afterwards sees a later time, or no beginning.
        let now = Instant::now();
        if !self.is_stopped() {
            self.shared.begun.get_or_init(|| now);
        }
    }

    /// Lets sleepers look around. Never waits.
    pub(crate) fn wake(&self) {
        // What was changed before is seen by all who look after they were added to the sleepers; the others are woken.
        fence(Ordering::SeqCst);
        self.shared.sleepers.unpark_all();
    }

    /// Sleeps until `deadline`, the flag, or `over` said so at a [`StopFlag::wake`]. Uses no CPU meanwhile.
    pub(crate) fn sleep_until(&self, deadline: Instant, over: impl Fn() -> bool) {
        let left = || deadline.saturating_duration_since(Instant::now());
        self.shared.sleepers.add_current();
        fence(Ordering::SeqCst);
        while !self.is_stopped() && !over() && !left().is_zero() {
            thread::park_timeout(left());
        }
    }

    /// Sleeps until the flag, or `over` said so at a [`StopFlag::wake`].
    pub(crate) fn sleep_unless(&self, over: impl Fn() -> bool) {
        self.shared.sleepers.add_current();
        fence(Ordering::SeqCst);
        while !self.is_stopped() && !over() {
            thread::park();
        }
    }

    /// Sleeps for `time` or until the flag is raised.
    pub(crate) fn sleep(&self, time: Duration) {
        self.sleep_until(Instant::now() + time, || false);
    }
}

/// The threads that have slept under a flag. The list only grows, by a few threads, and is read without a lock.
#[derive(Debug, Default)]
struct Sleepers(OnceLock<Box<Sleeper>>);

#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    next: Sleepers,
}

impl Sleepers {
    /// Adds the calling thread, unless it is there.
    fn add_current(&self) {
        let me = thread::current();
        let mut place = &self.0;
        loop {
            match place.get() {
                Some(sleeper) if sleeper.thread.id() == me.id() => return,
                Some(sleeper) => place = &sleeper.next.0,
                // Of several that come at once one takes the place, and the others look at the next.
                None => {
                    let (thread, next) = (me.clone(), Sleepers::default());
                    drop(place.set(Box::new(Sleeper { thread, next })));
                }
            }
        }
    }

    /// Each next or present park of each ends at once.
    fn unpark_all(&self) {
        let mut place = self.0.get();
        while let Some(sleeper) = place {
            sleeper.thread.unpark();
            place = sleeper.next.0.get();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_sleeper_wakes_when_the_flag_is_raised() {
        let flag = StopFlag::new();
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| flag.sleep(PATIENCE));
            while flag.shared.sleepers.0.get().is_none() {
                thread::yield_now();
            }
            flag.clone().stop();
        });
        assert!(start.elapsed() < PATIENCE);
        assert!(flag.is_stopped());
    }

    #[test]
    fn raising_the_flag_does_not_wait_for_a_sleeper_that_gets_no_processor() {
        let flag = StopFlag::new();
        let (at_its_last_look, looking) = channel();
        let (go_on, held) = channel::<()>();
        let (raised, told) = channel();
        thread::scope(|scope| {
            let flag = &flag;
            scope.spawn(move || {
                // It stands still where a thread of the lowest priority is put aside: between looking and sleeping.
                let over = || {
                    at_its_last_look.send(()).expect("the test listens");
                    held.recv().is_err()
                };
                flag.sleep_until(Instant::now() + PATIENCE, over);
            });
            looking.recv_timeout(PATIENCE).expect("it looks");
            scope.spawn(move || {
                flag.stop();
                raised.send(()).expect("the test listens");
            });
            let told = told.recv_timeout(Duration::from_secs(10));
            drop(go_on);
            told.expect("raised while the sleeper stood still");
        });
    }

    #[test]
    fn no_wake_is_missed_by_sleepers_that_come_at_the_same_time() {
        let start = Instant::now();
        for _ in 0..500 {
            let flag = StopFlag::new();
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| flag.sleep(PATIENCE));
                }
                scope.spawn(|| flag.stop());
            });
        }
        assert!(start.elapsed() < PATIENCE, "one slept to the end");
    }

    #[test]
    fn a_thread_that_sleeps_again_is_listed_once() {
        let flag = StopFlag::new();
        for _ in 0..3 {
            flag.sleep(Duration::from_micros(1));
        }
        let first = flag.shared.sleepers.0.get().expect("listed");
        assert!(first.next.0.get().is_none());
    }

    #[test]
    fn the_first_thread_tells_the_beginning_unless_the_flag_was_up_before() {
        let (flag, late) = (StopFlag::new(), StopFlag::new());
        assert_eq!(flag.begun_at(), None);
        flag.note_begun();
        let begun = flag.begun_at();
        assert!(begun.is_some_and(|at| at <= Instant::now()));
        flag.stop();
        flag.note_begun();
        assert_eq!(flag.begun_at(), begun);
        late.stop();
        late.note_begun();
        assert_eq!(late.begun_at(), None);
    }
}
