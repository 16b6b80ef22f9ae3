//! [`Background`]: threads for what others ask of the node, behind what the node does for itself.
//!
//! Blocks are checked at the node's own priority; whoever asks for blocks, coins or counts must not slow that down. So these
//! threads are nicer than the rest, and few. They start when there is work and end when there is none for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// Short work at once: as many as there are cores, within these bounds.
const SHORT_JOBS: std::ops::RangeInclusive<u32> = 2..=8;
/// Long work at once: walks over all coins or many blocks. Counted apart, so that short work never waits for it.
const LONG_JOBS: u32 = 2;
/// Answers to anybody at once, who need not show a password: they never stand in the way of those who do.
const PUBLIC_JOBS: u32 = 2;
/// How long a thread waits for more.
const IDLE_LIFE: Duration = Duration::from_secs(5);

/// The work was lost: it panicked, or the node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("internal error, see the node's log")]
pub struct WorkLost;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that give way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Background {
    short: Places,
    long: Places,
    public: Places,
    queue: Arc<Queue>,
}

/// How much may be worked on at once.
#[derive(Clone, Debug)]
struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

impl Places {
    fn new(all: u32) -> Places {
        Places {
            free: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that there are.
    threads: usize,
    /// Threads that wait for a job, also those that were woken and have not taken one yet.
    idle: usize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("jobs", &self.lock().jobs.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// A thread that was counted could not be started. Others take the jobs when they are free; where there are none, the jobs
    /// are dropped, and who waits for them learns so.
    fn no_thread_came(&mut self) {
        self.threads -= 1;
        if self.threads == 0 {
            self.jobs.clear();
        }
    }
}

impl Default for Background {
    fn default() -> Background {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        Background {
            short: Places::new(cores.clamp(*SHORT_JOBS.start(), *SHORT_JOBS.end())),
            long: Places::new(LONG_JOBS),
            public: Places::new(PUBLIC_JOBS),
            queue: Arc::default(),
        }
    }
}

impl Background {
    /// Does short work: a look-up, a block to be shown.
    ///
    /// # Errors
    ///
    /// [`WorkLost`].
    pub async fn short<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, WorkLost> {
        self.run(&self.short, work).await
    }

    /// Does long work: a walk over all coins or many blocks.
    ///
    /// # Errors
    ///
    /// [`WorkLost`].
    pub async fn long<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, WorkLost> {
        self.run(&self.long, work).await
    }

    /// Does short work for somebody who has shown no password.
    ///
    /// # Errors
    ///
    /// [`WorkLost`].
    pub async fn public<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, WorkLost> {
        self.run(&self.public, work).await
    }

    /// Waits until nothing is worked on any more, and takes nothing from then on. What does not end in time goes on.
    pub async fn end(&self, patience: Duration) {
        let ended = async {
            for places in [&self.short, &self.long, &self.public] {
                let _all = places.free.acquire_many(places.all).await;
                places.free.close();
            }
        };
        let _ = tokio::time::timeout(patience, ended).await;
    }

    async fn run<R: Send + 'static>(
        &self,
        places: &Places,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, WorkLost> {
        let place = Arc::clone(&places.free)
            .acquire_owned()
            .await
            .map_err(|_| WorkLost)?;
        let (answer, answered) = oneshot::channel();
        self.queue.push(Box::new(move || {
            // Who asked may have gone away; the place is held all the same until the work is done.
            let _ = answer.send(work());
            drop(place);
        }));
        answered.await.map_err(|_| WorkLost)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Queue>, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            drop(state);
            self.came.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        // Rayon's threads are as nice as the thread that first needs them, and they check blocks: not one of ours.
        rayon::current_num_threads();
        let queue = Arc::clone(self);
        let thread = std::thread::Builder::new().name("background".to_owned());
        let started = thread.spawn(move || {
            give_way();
            queue.work();
        });
        if let Err(error) = started {
            tracing::error!(target: "rpc", %error, "cannot start a thread");
            self.lock().no_thread_came();
        }
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The panic is on standard error already, and the lost answer tells who asked.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let waited = self
                .came
                .wait_timeout_while(state, IDLE_LIFE, |state| state.jobs.is_empty());
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.idle -= 1;
            if timeout.timed_out() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// Puts the calling thread behind what is more urgent, but before miners. On Linux niceness is a thread's own.
#[cfg(target_os = "linux")]
fn give_way() {
    const NICER: i32 = 10;
    // A lower priority is refused to nobody; if it were, calls would merely be as urgent as the rest.
    let _ = rustix::process::nice(NICER);
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads of the pool at once must not pass this, however much is asked.
    fn places() -> usize {
        (*SHORT_JOBS.end() + LONG_JOBS + PUBLIC_JOBS) as usize
    }

    #[tokio::test]
    async fn work_is_done_and_its_result_comes_back() {
        let background = Background::default();
        let sums = (0..100_u64).map(|number| {
            let background = background.clone();
            async move { background.short(move || number * 2).await }
        });
        let sums = futures::future::join_all(sums).await;
        assert!(sums.into_iter().eq((0..100).map(|number| Ok(number * 2))));
        assert_eq!(background.long(|| "walked").await, Ok("walked"));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_costs_nothing_else() {
        let background = Background::default();
        for _ in 0..places() * 2 {
            let lost = background.short(|| panic!("expected in this test")).await;
            assert_eq!(lost, Err::<(), _>(WorkLost));
        }
        assert_eq!(background.short(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn long_work_does_not_keep_short_work_waiting() {
        let background = Background::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let walks: Vec<_> = (0..LONG_JOBS * 3)
            .map(|_| {
                let (background, held) = (background.clone(), Arc::clone(&held));
                tokio::spawn(async move {
                    let wait = move || held.lock().expect("not poisoned").recv().is_err();
                    background.long(wait).await
                })
            })
            .collect();
        assert_eq!(background.short(|| 5).await, Ok(5));
        drop(release);
        for walk in walks {
            assert_eq!(walk.await.expect("joined"), Ok(true));
        }
    }

    #[tokio::test]
    async fn what_anybody_may_ask_does_not_keep_callers_waiting() {
        let background = Background::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let crowd: Vec<_> = (0..PUBLIC_JOBS * 20)
            .map(|_| {
                let (background, held) = (background.clone(), Arc::clone(&held));
                tokio::spawn(async move {
                    let wait = move || held.lock().expect("not poisoned").recv().is_err();
                    background.public(wait).await
                })
            })
            .collect();
        assert_eq!(background.short(|| 5).await, Ok(5));
        assert!(crowd.iter().all(|one| !one.is_finished()));
        drop(release);
        for one in crowd {
            assert_eq!(one.await.expect("joined"), Ok(true));
        }
    }

    #[tokio::test]
    async fn the_end_waits_for_what_is_worked_on() {
        let background = Background::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let walker = background.clone();
        let walk = tokio::spawn(async move { walker.long(move || held.recv().is_err()).await });
        background.short(|| ()).await.expect("no panic");
        background.end(Duration::from_millis(50)).await;
        assert!(!walk.is_finished(), "it is held, and still goes on");
        drop(release);
        background.end(Duration::from_secs(30)).await;
        assert_eq!(walk.await.expect("joined"), Ok(true));
        assert_eq!(background.short(|| ()).await, Err(WorkLost));
    }

    #[test]
    fn without_a_new_thread_jobs_wait_for_one_that_is_there() {
        let mut state = State {
            threads: 2,
            ..State::default()
        };
        state.jobs.push_back(Box::new(|| ()));
        state.jobs.push_back(Box::new(|| ()));
        state.no_thread_came();
        assert_eq!(state.jobs.len(), 2, "one thread is left to take them");
        state.no_thread_came();
        assert!(state.jobs.is_empty(), "nobody would take them");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_others_ask_for_gives_way_and_the_checking_of_blocks_does_not() {
        fn niceness() -> i32 {
            rustix::process::getpriority_process(None).expect("one's own")
        }
        let own = niceness();
        let background = Background::default();
        let nicer = background.short(niceness).await.expect("no panic");
        assert_eq!(nicer, (own + 10).min(19));
        let (sender, receiver) = std::sync::mpsc::channel();
        let checked = background.long(move || {
            rayon::spawn(move || {
                let _ = sender.send(niceness());
            });
        });
        checked.await.expect("no panic");
        let patience = Duration::from_secs(30);
        assert_eq!(receiver.recv_timeout(patience), Ok(own));
    }
}
