//! The events that are to come: ordered by time, then by the order in which they were put in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Events that are to come.
///
/// The heap holds small entries only, so that ordering moves little memory; the events lie in slots of their own. Events that
/// are put in in the order of their times (those of one fixed delay, as time-outs) wait in a plain queue beside the heap.
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry>>,
    slots: Vec<Option<E>>,
    free: Vec<usize>,
    in_order: VecDeque<(u64, u64, E)>,
    number: u64,
}

/// When, the number of the event, and its slot: compared in this order, and numbers never tie.
type Entry = (u64, u64, usize);

impl<E> Queue<E> {
    pub(super) fn new() -> Queue<E> {
        Queue {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            in_order: VecDeque::new(),
            number: 0,
        }
    }

    /// Puts in an event.
    pub(super) fn push(&mut self, at_us: u64, event: E) {
        self.number += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                self.slots.len() - 1
            }
        };
        self.heap.push(Reverse((at_us, self.number, slot)));
    }

    /// Puts in an event that is not before any other that came this way.
    pub(super) fn push_last(&mut self, at_us: u64, event: E) {
        match self.in_order.back() {
            Some((last, ..)) if *last > at_us => self.push(at_us, event),
            _ => {
                self.number += 1;
                self.in_order.push_back((at_us, self.number, event));
            }
        }
    }

    /// Takes out the next event and its time.
    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        let from_heap = self
            .heap
            .peek()
            .map(|Reverse((at, number, _))| (*at, *number));
        let from_order = self.in_order.front().map(|(at, number, _)| (*at, *number));
        let heap_first = match (from_heap, from_order) {
            (Some(heap), Some(order)) => heap < order,
            (heap, _) => heap.is_some(),
        };
        if !heap_first {
            let (at, _, event) = self.in_order.pop_front()?;
            return Some((at, event));
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let event = self.slots[slot].take()?;
        self.free.push(slot);
        Some((at, event))
    }

    /// How many events were put in so far.
    pub(super) fn count(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(mut queue: Queue<&'static str>) -> Vec<(u64, &'static str)> {
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
    fn events_beside_the_heap_keep_their_place() {
        let mut queue = Queue::new();
        queue.push(3, "x");
        queue.push_last(3, "y");
        queue.push_last(7, "later");
        queue.push(3, "z");
        // Out of order: it goes through the heap.
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

    #[test]
    fn slots_are_used_again() {
        let mut queue = Queue::new();
        for round in 0..1_000 {
            queue.push(round, "a");
            queue.push(round, "b");
            assert_eq!(queue.pop(), Some((round, "a")));
            assert_eq!(queue.pop(), Some((round, "b")));
        }
        assert_eq!(queue.slots.len(), 2);
    }
}
