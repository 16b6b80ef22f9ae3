//! Peers that deliver nothing: noticed, relieved of their blocks, and given up if it goes on. The same for branches of which nobody
//! delivers anything.
//!
//! As in Core the time-out starts at two seconds, doubles with every stall (so that a link that is slow for everyone is
//! not taken for bad will) and decays with every delivery. A peer counts as stalled only while another one could
//! deliver instead: one that is asked for nothing, or that delivers.

use std::time::Duration;

use super::bodies::Bodies;
use super::outbox::Context;
use super::timing::{
    MAX_STALLS, STALL_DECAY_PERCENT, STALL_TIMEOUT, STALL_TIMEOUT_MAX, WITHHELD_AFTER,
};
use super::wants::State;
use crate::wire::limits::{MAX_BLOCK_BYTES, MIN_READ_BYTES_PER_S};
use crate::{Mono, PeerNum};

impl Bodies {
    /// Takes the blocks away from peers that have stalled. What they still send is welcome.
    pub(super) fn relieve_stalled(&mut self, cx: &mut Context<'_>) {
        if self.requests.is_empty() {
            return;
        }
        let overdue: Vec<PeerNum> = self
            .peers
            .iter()
            .filter(|(_, state)| !state.in_flight.is_empty() && state.stall_at <= cx.now)
            .map(|(number, _)| *number)
            .collect();
        for peer in overdue {
            if self.another_could_deliver(cx, peer) {
                self.relieve(cx, peer);
            } else if let Some(state) = self.peers.get_mut(&peer) {
                state.stall_at = cx.now + self.stall_timeout;
            }
        }
    }

    fn another_could_deliver(&self, cx: &Context<'_>, stalled: PeerNum) -> bool {
        let Some(state) = self.peers.get(&stalled) else {
            return false;
        };
        let mut wants = state
            .in_flight
            .iter()
            .filter_map(|hash| self.wants.get(hash));
        let able = |number: PeerNum| {
            self.peers.get(&number).is_some_and(|other| {
                number != stalled
                    && other.in_flight.len() < self.in_flight_limit(other)
                    && (other.in_flight.is_empty()
                        || cx.now.since(other.delivered_at) < self.stall_timeout)
                    && other.rest_until <= cx.now
            })
        };
        wants.any(|want| {
            want.announcers.iter().any(|number| able(*number))
                || self.peers.keys().any(|number| {
                    able(*number) && (want.from_anyone || self.shares_path(*number, want.height))
                })
        })
    }

    fn relieve(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let timeout = self.stall_timeout;
        let average = match self.sizes_seen {
            true => self.average_bytes,
            false => MAX_BLOCK_BYTES,
        };
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.proven {
            // Also good peers are slow here. Who never delivered says nothing about the link.
            self.stall_timeout = (timeout * 2).min(STALL_TIMEOUT_MAX);
        }
        let owed = average * state.in_flight.len();
        let slow = Duration::from_secs((owed / MIN_READ_BYTES_PER_S) as u64);
        let hashes = std::mem::take(&mut state.in_flight);
        state.stalls += 1;
        state.rest_until = cx.now + timeout * 2;
        if state.stalls >= MAX_STALLS && cx.now.since(state.delivered_at) >= slow {
            cx.out.disconnect(
                peer,
                "stalled: others had to deliver the blocks asked of it",
            );
        }
        for hash in hashes {
            if self
                .wants
                .get(&hash)
                .is_some_and(|want| want.state == State::Asked(peer))
            {
                self.release(cx.now, &hash, Some(peer));
            }
        }
    }

    pub(super) fn decay_stall_timeout(&mut self) {
        self.stall_timeout = (self.stall_timeout * STALL_DECAY_PERCENT / 100).max(STALL_TIMEOUT);
    }

    /// The path does not get on: what keeps it back is left for later.
    pub(super) fn notice_withholding(&mut self, cx: &Context<'_>) {
        if self.withholding_due().is_none_or(|due| due > cx.now) {
            return;
        }
        if let Some((height, hash)) = self.wants.lowest_of_path() {
            self.withheld.add(hash, height, cx.now);
            self.target_due = true;
        }
    }

    /// When the path has not got on for too long.
    pub(super) fn withholding_due(&self) -> Option<Mono> {
        let waits = self.wants.lowest_of_path().is_some() && self.wants.handed() == 0;
        waits.then(|| self.withheld.moved() + WITHHELD_AFTER)
    }
}
