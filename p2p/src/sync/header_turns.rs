//! Whose turn it is to be asked for headers.
//!
//! A claim of work decides that a peer is asked, never when: claims cost nothing. While a fetch goes briskly nobody else is asked.
//! A silent or slow one keeps nobody back: after one time-out many are asked at the same time. Peers of groups that were
//! fruitless before never keep others waiting, and peers that dialled us never keep those waiting that we chose.

use super::header_fetch::{Fetch, Stage};
use super::header_sync::HeaderSync;
use super::outbox::Context;
use super::peers::Peers;
use super::timing::{
    BRISK_HEADERS_PER_S, HEADERS_ALARM, HEADERS_STALL, MAX_HEADER_FETCHES, MAX_SUSPECT_FETCHES,
    earlier,
};
use crate::{Direction, Mono, PeerNum};

/// Fetches under way that have not turned silent or slow.
#[derive(Debug, Default)]
struct Brisk {
    outbound: usize,
    inbound: usize,
    suspect: usize,
}

/// The least is next: doubts, whether it dialled us, when it was last asked, its number.
type Turn = (u32, bool, Option<Mono>, PeerNum);

impl HeaderSync {
    /// Starts fetches for those whose turn it is.
    pub(super) fn schedule(&mut self, cx: &mut Context<'_>, peers: &mut Peers) {
        if self.busy.is_empty() {
            return;
        }
        self.notice_silence(cx.now);
        self.resume_parked(cx, peers);
        while let Some(peer) = self.next_turn(cx, peers) {
            self.start(cx, peers, peer);
        }
        let states = &self.peers;
        self.busy.retain(|peer| {
            let state = states.get(peer);
            state.is_some_and(|state| state.claim.is_some() || state.fetch.is_some())
        });
    }

    /// Who does not answer is noted once, and alarms.
    fn notice_silence(&mut self, now: Mono) {
        for number in &self.busy {
            let Some(state) = self.peers.get_mut(number) else {
                continue;
            };
            if let Some(fetch) = &mut state.fetch
                && !fetch.noted_silent
                && fetch.silent_at().is_some_and(|at| at <= now)
            {
                fetch.noted_silent = true;
                self.alarm_until = Some(now + HEADERS_ALARM);
                state.new_faults += 1;
            }
            let faults = std::mem::take(&mut state.new_faults);
            if faults > 0 {
                self.groups.fruitless(state.group, faults, now);
            }
        }
    }

    /// The peer to be asked next, if one may be asked now: the least doubtful, then one that we chose, then the one that was
    /// asked least lately.
    fn next_turn(&mut self, cx: &Context<'_>, peers: &mut Peers) -> Option<PeerNum> {
        let tip_work = cx.chain.tip().chain_work;
        let alarm = self.alarm_until.is_some_and(|until| cx.now < until);
        let brisk = self.brisk(cx.now);
        let mut best: Option<Turn> = None;
        for number in &self.busy {
            let Some(state) = self.peers.get_mut(number) else {
                continue;
            };
            let Some(claim) = state.claim else { continue };
            if let Some(known) = cx.chain.header(&claim.hash) {
                if claim.work.is_some() {
                    peers.has_chain(*number, known);
                }
                state.claim = None;
                continue;
            }
            let low = claim.work.is_some_and(|work| work < tip_work)
                && self.groups.is_low_work_spent(state.group, cx.now);
            if low || state.fetch.is_some() || cx.now < state.not_before {
                continue;
            }
            let doubts = self.groups.doubts(state.group, cx.now);
            let inbound = state.direction == Direction::Inbound;
            if !brisk.leave_room(doubts > 0, inbound, alarm) {
                continue;
            }
            let turn = (doubts, inbound, state.last_asked, *number);
            if best.is_none_or(|best| turn < best) {
                best = Some(turn);
            }
        }
        best.map(|(.., peer)| peer)
    }

    fn brisk(&mut self, now: Mono) -> Brisk {
        let mut brisk = Brisk::default();
        for number in &self.busy {
            let Some(state) = self.peers.get(number) else {
                continue;
            };
            let until = state.fetch.as_ref().and_then(|fetch| fetch.brisk_until());
            if until.is_none_or(|until| until <= now) {
                continue;
            }
            if self.groups.doubts(state.group, now) > 0 {
                brisk.suspect += 1;
            } else if state.direction == Direction::Outbound {
                brisk.outbound += 1;
            } else {
                brisk.inbound += 1;
            }
        }
        brisk
    }

    /// When a turn may come without any other input.
    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let mut due = None;
        let mut waiting = false;
        for state in self.busy_peers() {
            let parked = state
                .fetch
                .as_ref()
                .is_some_and(|fetch| matches!(fetch.stage, Stage::Parked { .. }));
            if parked || (state.claim.is_some() && state.fetch.is_none()) {
                waiting |= !parked;
                due = earlier(due, Some(state.not_before).filter(|time| *time > now));
            }
        }
        if waiting {
            let fetches = self.busy_peers().filter_map(|state| state.fetch.as_ref());
            let ends = fetches.flat_map(|fetch| [fetch.silent_at(), fetch.brisk_until()]);
            due = earlier(due, ends.flatten().filter(|time| *time > now).min());
        }
        due
    }
}

impl Brisk {
    /// Whether one more may be asked beside these.
    fn leave_room(&self, suspect: bool, inbound: bool, alarm: bool) -> bool {
        let most = if alarm { MAX_HEADER_FETCHES } else { 1 };
        if suspect {
            let most = if alarm {
                MAX_HEADER_FETCHES
            } else {
                MAX_SUSPECT_FETCHES
            };
            return self.outbound + self.inbound == 0 && self.suspect < most;
        }
        let before = if inbound && !alarm {
            self.inbound + self.outbound
        } else if inbound {
            self.inbound
        } else {
            self.outbound
        };
        before < most
    }
}

impl Fetch {
    /// When the request that is under way counts as unanswered.
    fn silent_at(&self) -> Option<Mono> {
        let asked = matches!(self.stage, Stage::Asked { .. });
        asked.then(|| self.asked_at + HEADERS_STALL)
    }

    /// Until when the fetch may keep others waiting: until it turns silent, or falls behind the pace of a good one. What
    /// counts is headers that the chain took.
    fn brisk_until(&self) -> Option<Mono> {
        let earned = std::time::Duration::from_micros(self.taken * 1_000_000 / BRISK_HEADERS_PER_S);
        let pace = self.started + HEADERS_STALL + earned;
        match self.stage {
            Stage::Parked { .. } => None,
            Stage::Handed { .. } => Some(pace),
            Stage::Asked { .. } => Some(pace.min(self.asked_at + HEADERS_STALL)),
        }
    }
}
