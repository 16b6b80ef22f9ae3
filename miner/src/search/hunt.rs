//! [`Hunt`]: one search, as its threads work on it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::block::Header;

use super::job::NONCES;
use super::{Job, SearchOutcome, Searcher};
use crate::kernel::{Hit, NonceRange, Work};
use crate::stop::StopFlag;
use crate::throttle::{Duty, Grant};

/// What a thread aims to do between two looks at the flags.
const SLICE: Duration = Duration::from_millis(2);
/// Nonces of a thread's first slice, before it knows its speed.
const FIRST_SLICE: u64 = 512;
/// A slice is never taken for longer than this, whatever a clock says, so that no rest is without bounds.
const LONGEST_SLICE: Duration = SLICE.saturating_mul(10);

/// One search: what its threads share.
pub(super) struct Hunt<'a> {
    searcher: &'a Searcher,
    job: &'a Job,
    stop: &'a StopFlag,
    /// Versions that are tested side by side.
    group: u64,
    /// All groups of versions times all nonces.
    end: u64,
    /// The next candidate nobody has taken: group of versions times 2^32 plus nonce.
    next: AtomicU64,
    over: AtomicBool,
    found: Mutex<Option<Header>>,
}

impl<'a> Hunt<'a> {
    pub(super) fn new(searcher: &'a Searcher, job: &'a Job, stop: &'a StopFlag) -> Self {
        // A limited rate has no use for speed, and one nonce in four versions would be four hashes at once.
        let shared = if searcher.bucket.is_some() {
            1
        } else {
            searcher.kernel.versions_shared()
        };
        let group = job.versions().min(shared as u64);
        Self {
            searcher,
            job,
            stop,
            group,
            end: job.versions() / group * NONCES,
            next: AtomicU64::new(0),
            over: AtomicBool::new(false),
            found: Mutex::new(None),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.stop.is_stopped()
    }

    /// How it ended; asked when all threads have left.
    pub(super) fn outcome(self) -> SearchOutcome {
        match self
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(header) => SearchOutcome::Found(header),
            None if self.stop.is_stopped() => SearchOutcome::Stopped,
            None => SearchOutcome::Exhausted,
        }
    }

    /// What each thread does.
    pub(super) fn work(&self) {
        self.stop.note_begun();
        let mut slice = FIRST_SLICE;
        let mut prepared: Option<(u64, Work)> = None;
        let (clock, pause) = (&self.searcher.clock, &self.searcher.pause);
        let mut duty = self.searcher.duty.map(Duty::new);
        while !self.is_over() {
            if pause.is_closed() {
                pause.wait_open(|| self.is_over());
                continue;
            }
            let Some(granted) = self.allowance(slice) else {
                continue;
            };
            let started = clock.worked();
            let Some(done) = self.scan_next(granted, &mut prepared) else {
                return;
            };
            let busy = clock.worked().saturating_sub(started);
            slice = next_slice(slice, done, busy);
            let worked = busy.min(LONGEST_SLICE);
            if let Some(rest) = duty.as_mut().and_then(|duty| duty.rest_after(worked)) {
                self.sleep_until(clock.now() + rest);
            }
        }
    }

    fn sleep_until(&self, deadline: Instant) {
        let clock = &self.searcher.clock;
        clock.sleep_until(deadline, self.stop, &|| self.is_over());
    }

    /// How many nonces may be tested now, at most `wanted`; `None` after having slept for lack of any.
    fn allowance(&self, wanted: u64) -> Option<u64> {
        let Some(bucket) = &self.searcher.bucket else {
            return Some(wanted);
        };
        let grant = bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(wanted, self.searcher.clock.now());
        match grant {
            Grant::Hashes(hashes) => Some(hashes),
            Grant::NotBefore(then) => {
                self.sleep_until(then);
                None
            }
        }
    }

    /// Tests the next `count` nonces that nobody has taken and gives how many it tested. `None` when there are none
    /// left.
    fn scan_next(&self, count: u64, prepared: &mut Option<(u64, Work)>) -> Option<u64> {
        let mut at = self.next.fetch_add(count, Ordering::Relaxed);
        let to = at.saturating_add(count).min(self.end);
        let mut tested = 0;
        while at < to {
            let (group, first) = (at / NONCES, (at % NONCES) as u32);
            let range = NonceRange::starting_at(first, to - at)?;
            at += range.count();
            if prepared.as_ref().is_none_or(|(known, _)| *known != group) {
                *prepared = Some((group, self.prepare(group)));
            }
            let (_, work) = prepared.as_ref()?;
            let hit = self.searcher.kernel.scan(work, range);
            tested += hit.map_or(range.count(), |hit| {
                u64::from(hit.nonce - range.first()) + 1
            });
            if let Some(hit) = hit {
                self.finish(work, hit);
                break;
            }
        }
        let hashes = tested * self.group;
        self.searcher.hashes.fetch_add(hashes, Ordering::Relaxed);
        self.give_back(count - tested);
        (tested > 0).then_some(tested)
    }

    fn prepare(&self, group: u64) -> Work {
        let first = group * self.group;
        let versions: Vec<_> = (first..first + self.group)
            .map(|i| self.job.version(i))
            .collect();
        Work::new(&self.job.header, self.job.target, &versions)
    }

    fn finish(&self, work: &Work, hit: Hit) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get_or_insert(work.header(hit));
        drop(found);
        self.over.store(true, Ordering::Release);
        self.stop.wake();
    }

    fn give_back(&self, nonces: u64) {
        if nonces > 0
            && let Some(bucket) = &self.searcher.bucket
        {
            bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .give_back(nonces);
        }
    }
}

/// The size of a thread's next slice, so that it takes about [`SLICE`]; it at most doubles.
fn next_slice(slice: u64, done: u64, busy: Duration) -> u64 {
    let per_second = done as f64 / busy.as_secs_f64().max(1e-9);
    let ideal = per_second * SLICE.as_secs_f64();
    (ideal as u64).clamp(1, slice.saturating_mul(2))
}

#[cfg(test)]
mod tests;
