//! [`Clock`]: time as the threads of a search see it.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::stop::StopFlag;

/// Time as the threads of a search see it; tests have their own.
pub(super) trait Clock: Debug + Send + Sync {
    /// The time.
    fn now(&self) -> Instant;

    /// The processor time that the calling thread has used so far, in which a preempted thread does not age.
    fn worked(&self) -> Duration;

    /// As [`StopFlag::sleep_until`].
    fn sleep_until(&self, deadline: Instant, stop: &StopFlag, over: &dyn Fn() -> bool);
}

/// The system's.
#[derive(Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[cfg(unix)]
    fn worked(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
    }

    /// Where processor time is not known, the clock on the wall must do.
    #[cfg(not(unix))]
    fn worked(&self) -> Duration {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep_until(&self, deadline: Instant, stop: &StopFlag, over: &dyn Fn() -> bool) {
        stop.sleep_until(deadline, over);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock for one thread, on which only sleeps and [`FakeClock::work`] pass time.
    #[derive(Debug)]
    pub(in crate::search) struct FakeClock(Mutex<Times>);

    #[derive(Clone, Copy, Debug)]
    pub(in crate::search) struct Times {
        pub(in crate::search) now: Instant,
        pub(in crate::search) worked: Duration,
        pub(in crate::search) slept: Duration,
    }

    impl FakeClock {
        pub(in crate::search) fn new() -> Self {
            Self(Mutex::new(Times {
                now: Instant::now(),
                worked: Duration::ZERO,
                slept: Duration::ZERO,
            }))
        }

        pub(in crate::search) fn times(&self) -> Times {
            *self.0.lock().expect("no panic")
        }

        /// The thread works, and has no processor for some time besides.
        pub(in crate::search) fn work(&self, worked: Duration, preempted: Duration) {
            let mut times = self.0.lock().expect("no panic");
            times.now += worked + preempted;
            times.worked += worked;
        }
    }

    impl Clock for FakeClock {
        fn now(&self) -> Instant {
            self.times().now
        }

        fn worked(&self) -> Duration {
            self.times().worked
        }

        fn sleep_until(&self, deadline: Instant, _: &StopFlag, _: &dyn Fn() -> bool) {
            let mut times = self.0.lock().expect("no panic");
            let left = deadline.saturating_duration_since(times.now);
            times.slept += left;
            times.now += left;
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_thread_that_sleeps_does_not_work() {
        let clock = SystemClock;
        let (start, before) = (clock.now(), clock.worked());
        std::thread::sleep(Duration::from_millis(200));
        let worked = clock.worked() - before;
        assert!(
            worked < start.elapsed() / 2,
            "{worked:?} of {:?}",
            start.elapsed()
        );
        let before = clock.worked();
        while clock.worked() - before < Duration::from_millis(1) {}
    }
}
