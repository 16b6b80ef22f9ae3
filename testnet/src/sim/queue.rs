//! The event heap: ordered by time, then by the order in which events were put in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Events that are to come.
pub(super) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    number: u64,
}

struct Entry<E> {
    at_us: u64,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Queue<E> {
        Queue {
            heap: BinaryHeap::new(),
            number: 0,
        }
    }

    /// Puts in an event.
    pub(super) fn push(&mut self, at_us: u64, event: E) {
        self.number += 1;
        self.heap.push(Entry {
            at_us,
            number: self.number,
            event,
        });
    }

    /// Takes out the next event and its time.
    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|entry| (entry.at_us, entry.event))
    }

    /// How many events were put in so far.
    pub(super) fn count(&self) -> u64 {
        self.number
    }
}

impl<E> Entry<E> {
    fn key(&self) -> (u64, u64) {
        (self.at_us, self.number)
    }
}

impl<E> Ord for Entry<E> {
    /// The heap gives its greatest first: the earliest has to be that.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_comes_first_and_ties_keep_their_order() {
        let mut queue = Queue::new();
        for (at, event) in [(5, "b"), (1, "a"), (5, "c"), (9, "d")] {
            queue.push(at, event);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, "a"), (5, "b"), (5, "c"), (9, "d")]);
        assert_eq!(queue.count(), 4);
    }
}
