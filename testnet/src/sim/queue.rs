//! The events that are to come: ordered by time, then by the order in which they were put in.
//!
//! Most lie within the next seconds. They are laid into slices of time, unordered, and each slice is sorted when its time has
//! come: that moves less memory than one heap of all, and walks through it in order. So events should be small.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};

/// A slice of time is two to this many microseconds, 33 ms.
const SLICE_BITS: u32 = 15;
/// Slices ahead that are kept apart: four seconds.
const SLICES: u64 = 128;

/// Events that are to come.
///
/// Those that are put in in the order of their times (those of one fixed delay, as time-outs) wait in a plain queue beside the
/// others, in a smaller form `L`.
pub(super) struct Queue<E, L> {
    /// The slice that is being worked off, last first. With `inserted` it holds everything up to its end.
    present: Vec<Entry<E>>,
    present_slice: u64,
    /// What was put into the present slice, or before it, when that was sorted already.
    inserted: BinaryHeap<Reverse<Entry<E>>>,
    /// The slices after the present one, by number modulo [`SLICES`].
    near: Vec<Vec<Entry<E>>>,
    near_len: usize,
    /// What lies beyond them.
    far: BinaryHeap<Reverse<Entry<E>>>,
    in_order: VecDeque<Entry<L>>,
    number: u64,
}

/// An event, its time, and its number: ordered by these two, and numbers never tie.
struct Entry<E> {
    at_us: u64,
    number: u64,
    event: E,
}

impl<E> Entry<E> {
    fn key(&self) -> (u64, u64) {
        (self.at_us, self.number)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Entry<E>) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Entry<E>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Entry<E>) -> Ordering {
        self.key().cmp(&other.key())
    }
}

fn slice_of(at_us: u64) -> u64 {
    at_us >> SLICE_BITS
}

fn index_of(slice: u64) -> usize {
    (slice % SLICES) as usize
}

impl<E: From<L>, L> Queue<E, L> {
    pub(super) fn new() -> Queue<E, L> {
        Queue {
            present: Vec::new(),
            present_slice: 0,
            inserted: BinaryHeap::new(),
            near: (0..SLICES).map(|_| Vec::new()).collect(),
            near_len: 0,
            far: BinaryHeap::new(),
            in_order: VecDeque::new(),
            number: 0,
        }
    }

    /// Puts in an event.
    pub(super) fn push(&mut self, at_us: u64, event: E) {
        self.number += 1;
        let entry = Entry {
            at_us,
            number: self.number,
            event,
        };
        let slice = slice_of(at_us);
        if slice <= self.present_slice {
            self.inserted.push(Reverse(entry));
        } else if slice < self.present_slice + SLICES {
            self.near[index_of(slice)].push(entry);
            self.near_len += 1;
        } else {
            self.far.push(Reverse(entry));
        }
    }

    /// Puts in an event that is not before any other that came this way.
    pub(super) fn push_last(&mut self, at_us: u64, event: L) {
        match self.in_order.back() {
            Some(last) if last.at_us > at_us => self.push(at_us, event.into()),
            _ => {
                self.number += 1;
                self.in_order.push_back(Entry {
                    at_us,
                    number: self.number,
                    event,
                });
            }
        }
    }

    /// Takes out the next event and its time.
    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        if self.present.is_empty() && self.inserted.is_empty() {
            self.advance();
        }
        let sorted = self.present.last().map(Entry::key);
        let inserted = self.inserted.peek().map(|Reverse(entry)| entry.key());
        let next = earlier(sorted, inserted);
        if let Some(first) = self.in_order.front()
            && next.is_none_or(|next| first.key() < next)
        {
            let first = self.in_order.pop_front()?;
            return Some((first.at_us, first.event.into()));
        }
        let entry = if next == sorted {
            self.present.pop()
        } else {
            self.inserted.pop().map(|Reverse(entry)| entry)
        };
        entry.map(|entry| (entry.at_us, entry.event))
    }

    /// Goes on to the next slice that holds anything.
    fn advance(&mut self) {
        let first_near = (self.near_len > 0).then(|| {
            let mut later = self.present_slice + 1..self.present_slice + SLICES;
            later.find(|slice| !self.near[index_of(*slice)].is_empty())
        });
        let first_far = self.far.peek().map(|Reverse(entry)| slice_of(entry.at_us));
        let Some(slice) = earlier(first_near.flatten(), first_far) else {
            return;
        };
        self.present_slice = slice;
        std::mem::swap(&mut self.present, &mut self.near[index_of(slice)]);
        self.near_len -= self.present.len();
        while let Some(first) = self.far.peek_mut()
            && slice_of(first.0.at_us) == slice
        {
            self.present.push(PeekMut::pop(first).0);
        }
        self.present.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// How many events were put in so far.
    pub(super) fn count(&self) -> u64 {
        self.number
    }
}

/// The smaller of two, where there are any.
fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn drained(mut queue: Queue<&'static str, &'static str>) -> Vec<(u64, &'static str)> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn earlier_comes_first_and_ties_keep_their_order() {
        let mut queue = Queue::new();
        for (at, event) in [(5, "b"), (1, "a"), (5, "c"), (9, "d")] {
            queue.push(at, event);
        }
        assert_eq!(queue.count(), 4);
        assert_eq!(drained(queue), [(1, "a"), (5, "b"), (5, "c"), (9, "d")]);
    }

    #[test]
    fn events_beside_the_slices_keep_their_place() {
        let mut queue = Queue::new();
        queue.push(3, "x");
        queue.push_last(3, "y");
        queue.push_last(7, "later");
        queue.push(3, "z");
        // Out of order: it goes with the others.
        queue.push_last(1, "first");
        queue.push(7, "last");
        let expected = [
            (1, "first"),
            (3, "x"),
            (3, "y"),
            (3, "z"),
            (7, "later"),
            (7, "last"),
        ];
        assert_eq!(drained(queue), expected);
    }

    /// Against a sorted list: near and far, at slice borders, with pauses, while time goes on.
    #[test]
    fn any_mix_comes_out_as_if_sorted() {
        for seed in 0..50 {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let mut queue: Queue<u64, u64> = Queue::new();
            let mut model: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for _ in 0..2_000 {
                if rng.random_range(0..100) < 52 {
                    let reach = [1, 1 << SLICE_BITS, SLICES << SLICE_BITS, 2_000_000_000];
                    let reach = reach[rng.random_range(0..reach.len())];
                    let ahead = rng.random_range(0..=reach);
                    let number = queue.count() + 1;
                    model.push((now + ahead, number));
                    queue.push(now + ahead, number);
                } else if rng.random_range(0..10) == 0 {
                    let number = queue.count() + 1;
                    model.push((now + 10_000_000, number));
                    queue.push_last(now + 10_000_000, number);
                } else {
                    model.sort_unstable();
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    let popped = queue.pop();
                    assert_eq!(popped, expected, "seed {seed}");
                    now = popped.map_or(now, |(at, _)| at);
                }
            }
        }
    }
}
