//! The moving window: which bodies are wanted for the best chain that a peer has.

use chain::Height;

use super::KnownHeader;
use super::bodies::Bodies;
use super::outbox::Context;
use super::peers::Peers;
use super::timing::BODY_WINDOW;
use crate::PeerNum;

impl Bodies {
    /// Chooses the best chain that a peer has and that is worth more than ours, and moves the window along it.
    pub(super) fn follow(&mut self, cx: &Context<'_>, peers: &Peers) {
        self.want_damaged_now(cx);
        self.want_ordered_now(cx);
        if std::mem::take(&mut self.target_due) {
            self.retarget(cx, peers);
        }
        let Some(target) = self.target else { return };
        while self.next <= target.height {
            let lowest = self.wants.lowest_on_path().unwrap_or(self.next);
            if self.next.0 >= lowest.0.saturating_add(BODY_WINDOW) {
                break;
            }
            let Some(header) = cx.chain.ancestor(&target.hash, self.next) else {
                break;
            };
            if !header.has_body {
                self.wants.add(&header, true);
                self.refill_due = true;
            }
            self.next = self.next.next();
        }
    }

    fn retarget(&mut self, cx: &Context<'_>, peers: &Peers) {
        let tip = cx.chain.tip();
        let mut best: Option<(bool, KnownHeader)> = None;
        let own = self.target.map(|target| target.hash);
        for (_, peer) in peers.iter() {
            // Most peers are where we are: they are told by what is at hand.
            let ahead = peer.best.filter(|best| best.chain_work > tip.chain_work);
            let told = ahead.and_then(|best| cx.chain.header(&best.hash));
            let Some(header) = told.filter(|header| header.may_be_valid) else {
                continue;
            };
            // Of equal chains the one that is being fetched already stays.
            let key = |(given, header): &(bool, KnownHeader)| {
                (*given, header.chain_work, Some(header.hash) == own)
            };
            // Its bodies come, as far as is known: work that nobody backs by blocks comes after less work.
            let header = (!self.withheld.is_on(cx, &header), header);
            let better = best.is_none_or(|best| key(&header) > key(&best));
            if better {
                best = Some(header);
            }
        }
        let best = best.map(|(_, header)| header);
        self.refill_due = true;
        if best.is_none() && self.target.is_none() {
            // No peer has a part in a path then: `shared` says so already.
            return;
        }
        let extends = |new: &KnownHeader, old: &KnownHeader| {
            let at = cx.chain.ancestor(&new.hash, old.height);
            at.is_some_and(|header| header.hash == old.hash)
        };
        match (best, self.target) {
            (Some(new), Some(old)) if extends(&new, &old) => {}
            (new, _) => {
                self.withheld.came(cx.now);
                self.wants.leave_path(cx.chain, new.as_ref());
                let fork = new.and_then(|new| cx.chain.fork_point(&tip.hash, &new.hash));
                self.next = fork.map_or(Height::GENESIS, |fork| fork.height.next());
            }
        }
        self.target = best;
        for (number, state) in &mut self.peers {
            let has = peers.get(*number).and_then(|peer| peer.best);
            let fork = match (has, best) {
                (Some(has), Some(target)) => cx.chain.fork_point(&has.hash, &target.hash),
                _ => None,
            };
            state.shared = fork.map(|fork| fork.height);
        }
    }

    fn want_damaged_now(&mut self, cx: &Context<'_>) {
        for hash in std::mem::take(&mut self.damaged) {
            if let Some(header) = cx.chain.header(&hash)
                && !header.has_body
            {
                self.wants.add(&header, false).from_anyone = true;
                self.refill_due = true;
            }
        }
    }

    fn want_ordered_now(&mut self, cx: &Context<'_>) {
        for (hash, peer) in std::mem::take(&mut self.ordered) {
            let missing = cx.chain.header(&hash).filter(|header| !header.has_body);
            let Some(header) = missing.filter(|_| self.peers.contains_key(&peer)) else {
                continue;
            };
            let is_new = self.wants.get(&hash).is_none();
            let want = self.wants.add(&header, false);
            want.ordered |= is_new;
            want.announcers.insert(peer);
            want.avoid.remove(&peer);
            self.refill_due = true;
        }
    }

    pub(super) fn shares_path(&self, peer: PeerNum, height: Height) -> bool {
        let shared = self.peers.get(&peer).and_then(|state| state.shared);
        shared.is_some_and(|shared| height <= shared)
    }
}
