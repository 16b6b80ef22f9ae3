//! Which wanted block is asked of whom, and how many in one request.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcoin::BlockHash;
use chain::Height;

use super::bodies::{Bodies, PeerBodies, has_on_path};
use super::outbox::Context;
use super::peers::Peers;
use super::timing::{
    BODY_PAUSE, BODY_PAUSE_MAX, DAMAGED_PAUSE_MAX, IN_FLIGHT_BLOCKS, IN_FLIGHT_BYTES,
    IN_FLIGHT_BYTES_QUICK, IN_FLIGHT_FIRST, MAX_ANNOUNCED_ROUNDS, MAX_HANDED_BLOCKS,
    QUICK_BYTES_PER_S, REQUEST_BYTES, doubled,
};
use super::wants::{State, Want};
use crate::wire::Request;
use crate::wire::limits::MAX_BLOCKS_PER_REQUEST;
use crate::{Mono, PeerNum};

impl Bodies {
    /// Asks for what is needed, lowest first, each block of the least busy peer that has it.
    pub(super) fn refill(&mut self, cx: &mut Context<'_>, peers: &Peers) {
        if !std::mem::take(&mut self.refill_due) || !self.wants.has_needed() {
            return;
        }
        let mut room = self.room(cx.now);
        let unhanded = MAX_HANDED_BLOCKS.saturating_sub(self.wants.handed());
        let mut left = room.values().sum::<usize>().min(unhanded);
        let mut batches: BTreeMap<PeerNum, Vec<BlockHash>> = BTreeMap::new();
        let mut in_vain = Vec::new();
        let mut settled = Vec::new();
        let highest = self.peers.values().filter_map(|state| state.shared).max();
        for (height, hash) in self.wants.needed() {
            let beyond = self.wants.extras() == 0 && highest.is_none_or(|top| height > top);
            if left == 0 || beyond {
                break;
            }
            let Some(want) = self.wants.get(&hash) else {
                continue;
            };
            if is_settled(cx, &hash, want) {
                settled.push(hash);
                continue;
            }
            match self.choose(cx, peers, &hash, want, &room) {
                Choice::Peer(peer) => {
                    batches.entry(peer).or_default().push(hash);
                    if let Some(room) = room.get_mut(&peer) {
                        *room -= 1;
                    }
                    left -= 1;
                }
                Choice::AllTried => in_vain.push((hash, pause_after(want))),
                Choice::Wait => {}
            }
        }
        for hash in settled {
            self.wants.remove(&hash);
        }
        for (hash, pause) in in_vain {
            self.wants.next_round(&hash, cx.now + pause);
        }
        self.send(cx, batches);
    }

    /// Whether no block is asked for or to be asked for: then no peer's part in the download need be looked at.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && !self.wants.has_needed()
    }

    /// How many more blocks each peer may be asked for now. Nothing until a whole request fits, so that small blocks
    /// are not asked for one by one.
    fn room(&self, now: Mono) -> BTreeMap<PeerNum, usize> {
        let rested = self
            .peers
            .iter()
            .filter(|(_, state)| state.rest_until <= now);
        rested
            .map(|(number, state)| {
                let limit = self.in_flight_limit(state);
                let room = limit.saturating_sub(state.in_flight.len());
                (*number, room, self.blocks_per_request(state))
            })
            .filter(|(_, room, request)| room >= request)
            .map(|(number, room, _)| (number, room))
            .collect()
    }

    fn send(&mut self, cx: &mut Context<'_>, batches: BTreeMap<PeerNum, Vec<BlockHash>>) {
        for (peer, hashes) in batches {
            let Some(state) = self.peers.get(&peer) else {
                continue;
            };
            let per_request = self.blocks_per_request(state);
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            if state.in_flight.is_empty() {
                state.stall_at = cx.now + self.stall_timeout;
            }
            state.in_flight.extend(&hashes);
            for chunk in hashes.chunks(per_request) {
                for hash in chunk {
                    self.wants.set(hash, State::Asked(peer));
                }
                let id = cx
                    .out
                    .request(cx.now, peer, Request::Blocks(chunk.to_vec()));
                self.requests.insert(id, (peer, cx.now, chunk.to_vec()));
            }
        }
    }

    /// The least busy peer that has room and the block; rather one that was not tried yet.
    fn choose(
        &self,
        cx: &Context<'_>,
        peers: &Peers,
        hash: &BlockHash,
        want: &Want,
        room: &BTreeMap<PeerNum, usize>,
    ) -> Choice {
        let mut best: Option<((bool, bool, usize), PeerNum)> = None;
        let (mut tried, mut busy) = (false, false);
        for (number, state) in &self.peers {
            let has = want.announcers.contains(number)
                || (!want.ordered
                    && (has_on_path(state, want)
                        || want.from_anyone
                        || (!want.on_path
                            && has_on_its_chain(cx, peers, *number, hash, want.height))));
            if !has || cx.out.is_dismissed(*number) {
                continue;
            }
            let fresh = !want.avoid.contains(number);
            // Where one has failed, rather one that has delivered before.
            let room = room.get(number).copied().unwrap_or(0);
            let trusted = state.proven && !want.avoid.is_empty();
            let key = (fresh, trusted, room);
            if !fresh && !want.second_chance {
                tried = true;
            } else if room == 0 {
                busy = true;
            } else if best.is_none_or(|(most, _)| key > most) {
                best = Some((key, *number));
            }
        }
        match best {
            Some((_, peer)) => Choice::Peer(peer),
            None if tried && !busy => Choice::AllTried,
            None => Choice::Wait,
        }
    }

    /// Blocks in flight from one peer: few when they are large or the peer is slow, many when they are small.
    pub(super) fn in_flight_limit(&self, state: &PeerBodies) -> usize {
        let bytes = match state.bytes_per_s {
            0 => return IN_FLIGHT_FIRST,
            quick if quick >= QUICK_BYTES_PER_S => IN_FLIGHT_BYTES_QUICK,
            _ => IN_FLIGHT_BYTES,
        };
        (bytes / self.average_bytes).clamp(1, IN_FLIGHT_BLOCKS)
    }

    /// One at a time, as long as nothing is known of the peer: a whole request may be too much for its link.
    fn blocks_per_request(&self, state: &PeerBodies) -> usize {
        if state.bytes_per_s == 0 {
            return 1;
        }
        (REQUEST_BYTES / self.average_bytes).clamp(1, MAX_BLOCKS_PER_REQUEST)
    }
}

/// The body came by another way, or it is not worth more questions: ordered of a peer that is gone or has it not; or only
/// announced, and overtaken by our tip or asked for in vain (whoever announces has not seen the body: it may be invalid). A
/// status would bring it back.
fn is_settled(cx: &Context<'_>, hash: &BlockHash, want: &Want) -> bool {
    let Some(header) = cx.chain.header(hash) else {
        return true;
    };
    if want.ordered {
        return header.has_body || want.announcers.is_empty() || want.rounds > 0;
    }
    let only_announced = !want.on_path && !want.from_anyone;
    let overtaken = header.chain_work < cx.chain.tip().chain_work;
    header.has_body || (only_announced && (overtaken || want.rounds >= MAX_ANNOUNCED_ROUNDS))
}

/// How long to wait before everyone is asked again.
fn pause_after(want: &Want) -> Duration {
    let most = if want.from_anyone {
        DAMAGED_PAUSE_MAX
    } else {
        BODY_PAUSE_MAX
    };
    doubled(BODY_PAUSE, want.rounds, most)
}

/// Whom to ask for a block.
enum Choice {
    Peer(PeerNum),
    /// Everyone who may have it was tried.
    AllTried,
    /// Those who have it are busy, or nobody has it.
    Wait,
}

fn has_on_its_chain(
    cx: &Context<'_>,
    peers: &Peers,
    peer: PeerNum,
    hash: &BlockHash,
    height: Height,
) -> bool {
    let best = peers.get(peer).and_then(|peer| peer.best);
    let at = best.and_then(|best| cx.chain.ancestor(&best.hash, height));
    at.is_some_and(|header| header.hash == *hash)
}
