//! [`Wants`]: the blocks whose bodies are missing, and where each one stands. Knows nothing of peers' capacity or time-outs.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::BlockHash;
use chain::Height;

use super::blame::Origin;
use super::{ChainView, KnownHeader};
use crate::{Mono, PeerNum};

/// A block whose body is missing.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) height: Height,
    pub(super) state: State,
    /// On the way to the best chain that a peer has. Otherwise it was announced, or found damaged.
    pub(super) on_path: bool,
    /// Anyone may be asked, not only who is known to have it.
    pub(super) from_anyone: bool,
    /// An operator wants it of its announcers, once, and of nobody else.
    pub(super) ordered: bool,
    /// Peers that did not give it, or gave something else.
    pub(super) avoid: BTreeSet<PeerNum>,
    /// Peers that announced it.
    pub(super) announcers: BTreeSet<PeerNum>,
    /// How often all who may have it were tried in vain.
    pub(super) rounds: u32,
    /// The pause after that is over: who was tried may be tried again, if there is nobody else.
    pub(super) second_chance: bool,
}

/// Where a wanted block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be asked for.
    Needed,
    /// To be asked for, but not before a time.
    Delayed(Mono),
    /// Asked of a peer.
    Asked(PeerNum),
    /// Being rebuilt from an announcement.
    Rebuilding,
    /// With the chain.
    Handed(PeerNum, Origin),
}

/// All wanted blocks.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// Boxed, so that a map of one, made and thrown away with every announced block, is a small piece of memory.
    wants: BTreeMap<BlockHash, Box<Want>>,
    needed: BTreeSet<(Height, BlockHash)>,
    delayed: BTreeSet<(Mono, BlockHash)>,
    path: BTreeSet<(Height, BlockHash)>,
    handed: usize,
}

impl Wants {
    pub(super) fn get(&self, hash: &BlockHash) -> Option<&Want> {
        self.wants.get(hash).map(Box::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    /// Blocks outside the path.
    pub(super) fn extras(&self) -> usize {
        self.wants.len() - self.path.len()
    }

    /// Blocks that are with the chain.
    pub(super) fn handed(&self) -> usize {
        self.handed
    }

    /// The lowest missing block of the path, with its hash.
    pub(super) fn lowest_of_path(&self) -> Option<(Height, BlockHash)> {
        self.path.first().copied()
    }

    /// The lowest missing block of the path.
    pub(super) fn lowest_on_path(&self) -> Option<Height> {
        self.path.first().map(|(height, _)| *height)
    }

    /// What is to be asked for now, lowest first.
    pub(super) fn needed(&self) -> impl Iterator<Item = (Height, BlockHash)> {
        self.needed.iter().copied()
    }

    pub(super) fn has_needed(&self) -> bool {
        !self.needed.is_empty()
    }

    /// Adds a block, or notes one more reason to want it.
    pub(super) fn add(&mut self, header: &KnownHeader, on_path: bool) -> &mut Want {
        let key = (header.height, header.hash);
        let needed = &mut self.needed;
        let want = self.wants.entry(header.hash).or_insert_with(|| {
            needed.insert(key);
            Box::new(Want {
                height: header.height,
                state: State::Needed,
                on_path: false,
                from_anyone: false,
                ordered: false,
                avoid: BTreeSet::new(),
                announcers: BTreeSet::new(),
                rounds: 0,
                second_chance: false,
            })
        });
        if on_path {
            want.on_path = true;
            want.ordered = false;
            self.path.insert(key);
        }
        want
    }

    /// Moves a block to another state. The one place where the indexes follow.
    pub(super) fn set(&mut self, hash: &BlockHash, state: State) {
        let Some(want) = self.wants.get_mut(hash) else {
            return;
        };
        let old = std::mem::replace(&mut want.state, state);
        want.second_chance &= !matches!(state, State::Asked(_));
        let height = want.height;
        match old {
            State::Needed => {
                self.needed.remove(&(height, *hash));
            }
            State::Delayed(until) => {
                self.delayed.remove(&(until, *hash));
            }
            State::Handed(..) => self.handed -= 1,
            State::Asked(_) | State::Rebuilding => {}
        }
        match state {
            State::Needed => {
                self.needed.insert((height, *hash));
            }
            State::Delayed(until) => {
                self.delayed.insert((until, *hash));
            }
            State::Handed(..) => self.handed += 1,
            State::Asked(_) | State::Rebuilding => {}
        }
    }

    pub(super) fn avoid(&mut self, hash: &BlockHash, peer: PeerNum) {
        if let Some(want) = self.wants.get_mut(hash) {
            want.avoid.insert(peer);
        }
    }

    /// Everyone was tried: a pause, then everyone may be asked again.
    pub(super) fn next_round(&mut self, hash: &BlockHash, until: Mono) {
        if let Some(want) = self.wants.get_mut(hash) {
            want.second_chance = true;
            want.rounds += 1;
        }
        self.set(hash, State::Delayed(until));
    }

    /// Not wanted any more.
    pub(super) fn remove(&mut self, hash: &BlockHash) -> Option<Box<Want>> {
        // Through a state without index, so that all of them forget it.
        self.set(hash, State::Rebuilding);
        let want = self.wants.remove(hash)?;
        self.path.remove(&(want.height, *hash));
        Some(want)
    }

    /// Blocks whose pause is over are needed again.
    pub(super) fn wake(&mut self, now: Mono) -> bool {
        let mut woken = false;
        while let Some((until, hash)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            debug_assert!(until <= now, "sorted by time");
            self.set(&hash, State::Needed);
            woken = true;
        }
        woken
    }

    pub(super) fn next_wake(&self) -> Option<Mono> {
        self.delayed.first().map(|(until, _)| *until)
    }

    /// The path leads elsewhere now: what was not asked for yet and is not on the new one is forgotten.
    pub(super) fn leave_path(&mut self, chain: &dyn ChainView, new_target: Option<&KnownHeader>) {
        for (height, hash) in std::mem::take(&mut self.path) {
            let stays = new_target
                .and_then(|target| chain.ancestor(&target.hash, height))
                .is_some_and(|header| header.hash == hash);
            if stays {
                self.path.insert((height, hash));
                continue;
            }
            let Some(want) = self.wants.get_mut(&hash) else {
                continue;
            };
            want.on_path = false;
            let idle = matches!(want.state, State::Needed | State::Delayed(_));
            if idle && want.announcers.is_empty() && !want.from_anyone {
                self.remove(&hash);
            }
        }
    }

    pub(super) fn forget_peer(&mut self, peer: PeerNum) {
        for want in self.wants.values_mut() {
            want.announcers.remove(&peer);
            want.avoid.remove(&peer);
        }
    }
}
