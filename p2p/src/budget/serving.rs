//! [`Serving`]: which question of which peer is handed on next, so that answers are made when they can be taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::AddressGroup;
use super::ledger::{Ledger, Payer};
use crate::wire::limits::{
    ANSWER_WINDOW_BYTES, MAX_ANSWER_BYTES, MAX_ANSWER_BYTES_OF_NEWCOMERS,
    MAX_ANSWER_BYTES_PER_GROUP, MAX_INBOUND_REQUESTS_PER_PEER, MAX_WAITING_REQUEST_BYTES,
    MAX_WAITING_REQUEST_BYTES_PER_PEER, MIN_READ_BYTES_PER_S, SMALL_ANSWER_BYTES,
};
use crate::{Mono, PeerNum};

/// An answer may lie unread for so long before its slowness counts.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// More questions of one peer wait than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuchAsked;

/// Questions of peers from their coming until their answers are read. `T` names a question.
///
/// A peer has one large answer in the making at a time, and none while more than a window of its answers is unread. All
/// answers together fit [`MAX_ANSWER_BYTES`]; who never took one shares half of that with the other newcomers, and a group
/// of addresses has a quarter. Those who wait take turns.
#[derive(Debug)]
pub struct Serving<T> {
    questions: BTreeMap<T, Question>,
    peers: BTreeMap<PeerNum, Asker<T>>,
    /// Answers in the making at their largest, and answers unread as they are.
    answers: Ledger,
    newcomers: usize,
    /// Questions that wait.
    waiting: Ledger,
    turns: u64,
}

#[derive(Debug)]
struct Question {
    payer: Payer,
    stage: Stage,
    /// What it holds of the ledger it is in.
    bytes: usize,
    /// The largest that its answer may be.
    largest: usize,
    /// Charged to the share of newcomers.
    of_newcomer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Making,
    Unread(Mono),
}

#[derive(Debug)]
struct Asker<T> {
    waiting: VecDeque<T>,
    /// Questions in any stage.
    questions: usize,
    /// Large answers in the making.
    making: usize,
    unread: usize,
    /// Has read a large answer to its end.
    proven: bool,
    last_turn: u64,
}

/// Room that is waited for.
#[derive(Debug, Default)]
struct Shortage {
    of_all: bool,
    of_newcomers: bool,
    /// Groups that have used up their share.
    groups: BTreeSet<AddressGroup>,
}

impl Shortage {
    /// Whether an unread answer takes room that is waited for.
    fn is_because_of(&self, question: &Question) -> bool {
        let group = question.payer.group;
        self.of_all
            || (self.of_newcomers && question.of_newcomer)
            || group.is_some_and(|group| self.groups.contains(&group))
    }
}

impl<T> Default for Serving<T> {
    fn default() -> Serving<T> {
        Serving {
            questions: BTreeMap::new(),
            peers: BTreeMap::new(),
            answers: Ledger::default(),
            newcomers: 0,
            waiting: Ledger::default(),
            turns: 0,
        }
    }
}

impl<T: Copy + Ord> Serving<T> {
    /// A question came: `bytes` of it, and an answer of at most `largest` bytes.
    ///
    /// # Errors
    ///
    /// [`TooMuchAsked`] when too many or too large ones wait; it is not kept.
    pub fn asked(
        &mut self,
        question: T,
        payer: Payer,
        bytes: usize,
        largest: usize,
    ) -> Result<(), TooMuchAsked> {
        let held = self.waiting.of_peer(payer.peer);
        let asker = self.peers.entry(payer.peer).or_insert_with(|| Asker {
            waiting: VecDeque::new(),
            questions: 0,
            making: 0,
            unread: 0,
            proven: false,
            last_turn: 0,
        });
        if asker.questions >= MAX_INBOUND_REQUESTS_PER_PEER
            || held + bytes > MAX_WAITING_REQUEST_BYTES_PER_PEER
            || self.waiting.all() + bytes > MAX_WAITING_REQUEST_BYTES
        {
            return Err(TooMuchAsked);
        }
        asker.questions += 1;
        asker.waiting.push_back(question);
        self.waiting.charge(&payer, bytes);
        self.questions.insert(
            question,
            Question {
                payer,
                stage: Stage::Waiting,
                bytes,
                largest,
                of_newcomer: false,
            },
        );
        Ok(())
    }

    /// The question to hand on now, if there is room for its answer. Ask again until there is none.
    pub fn take_next(&mut self) -> Option<T> {
        let mut askers: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, asker)| !asker.waiting.is_empty())
            .map(|(peer, asker)| (asker.last_turn, *peer))
            .collect();
        askers.sort_unstable();
        let question = askers
            .into_iter()
            .find_map(|(_, peer)| self.next_of(peer))?;
        self.turns += 1;
        let found = self.questions.get_mut(&question)?;
        let asker = self.peers.get_mut(&found.payer.peer)?;
        asker.waiting.retain(|waiting| *waiting != question);
        asker.last_turn = self.turns;
        asker.making += usize::from(found.largest > SMALL_ANSWER_BYTES);
        self.waiting.credit(&found.payer, found.bytes);
        found.stage = Stage::Making;
        found.bytes = found.largest;
        found.of_newcomer = !asker.proven;
        self.newcomers += found.bytes * usize::from(found.of_newcomer);
        self.answers.charge(&found.payer, found.bytes);
        Some(question)
    }

    /// The first question of a peer that may be handed on: small ones pass large ones.
    fn next_of(&self, peer: PeerNum) -> Option<T> {
        let asker = self.peers.get(&peer)?;
        let may = |question: &&T| {
            let Some(question) = self.questions.get(question) else {
                return false;
            };
            let small = question.largest <= SMALL_ANSWER_BYTES;
            (small || asker.making == 0)
                && asker.unread <= ANSWER_WINDOW_BYTES
                && self.answers.all() + question.largest <= MAX_ANSWER_BYTES
                && self.answers.of_group(&question.payer) + question.largest
                    <= MAX_ANSWER_BYTES_PER_GROUP
                && (asker.proven
                    || self.newcomers + question.largest <= MAX_ANSWER_BYTES_OF_NEWCOMERS)
        };
        asker.waiting.iter().find(may).copied()
    }

    /// An answer of `bytes` is on its way: it is unread from `now` on.
    pub fn answered(&mut self, question: T, bytes: usize, now: Mono) {
        let Some(found) = self.questions.get_mut(&question) else {
            return;
        };
        if found.stage != Stage::Making {
            return;
        }
        self.answers.credit(&found.payer, found.bytes);
        self.answers.charge(&found.payer, bytes);
        if found.of_newcomer {
            self.newcomers = self.newcomers - found.bytes + bytes;
        }
        found.bytes = bytes;
        found.stage = Stage::Unread(now);
        if let Some(asker) = self.peers.get_mut(&found.payer.peer) {
            asker.making -= usize::from(found.largest > SMALL_ANSWER_BYTES);
            asker.unread += bytes;
        }
    }

    /// A question is done with: its answer was read to the end (`delivered`), or it came to nothing.
    pub fn done(&mut self, question: T, delivered: bool) {
        let Some(found) = self.questions.remove(&question) else {
            return;
        };
        let asker = self.peers.get_mut(&found.payer.peer);
        match found.stage {
            Stage::Waiting => self.waiting.credit(&found.payer, found.bytes),
            Stage::Making | Stage::Unread(_) => {
                self.answers.credit(&found.payer, found.bytes);
                self.newcomers -= found.bytes * usize::from(found.of_newcomer);
            }
        }
        let Some(asker) = asker else { return };
        asker.questions -= 1;
        match found.stage {
            Stage::Waiting => asker.waiting.retain(|waiting| *waiting != question),
            Stage::Making => {
                asker.making -= usize::from(found.largest > SMALL_ANSWER_BYTES);
            }
            Stage::Unread(_) => {
                asker.unread -= found.bytes;
                asker.proven |= delivered && found.bytes > SMALL_ANSWER_BYTES;
            }
        }
    }

    /// A peer is gone, with all that it asked.
    pub fn left(&mut self, peer: PeerNum) {
        let asked: Vec<T> = self
            .questions
            .iter()
            .filter(|(_, question)| question.payer.peer == peer)
            .map(|(name, _)| *name)
            .collect();
        for question in asked {
            self.done(question, false);
        }
        self.peers.remove(&peer);
    }

    /// Why questions wait that their askers could have answered.
    fn shortage(&self) -> Shortage {
        let mut short = Shortage::default();
        for asker in self.peers.values() {
            if asker.making > 0 || asker.unread > ANSWER_WINDOW_BYTES {
                continue;
            }
            for question in asker
                .waiting
                .iter()
                .filter_map(|name| self.questions.get(name))
            {
                let largest = question.largest;
                let of_group = self.answers.of_group(&question.payer);
                // Its own group's fault, as long as there is one.
                if of_group + largest > MAX_ANSWER_BYTES_PER_GROUP {
                    short.groups.extend(question.payer.group);
                } else if !asker.proven && self.newcomers + largest > MAX_ANSWER_BYTES_OF_NEWCOMERS
                {
                    short.of_newcomers = true;
                } else if self.answers.all() + largest > MAX_ANSWER_BYTES {
                    short.of_all = true;
                }
            }
        }
        short
    }

    /// Unread answers that take room which others wait for, with the time from which on their readers count as slow.
    fn in_the_way(&self) -> impl Iterator<Item = (Mono, PeerNum)> {
        let short = self.shortage();
        self.questions
            .values()
            .filter_map(move |question| match question.stage {
                Stage::Unread(since) if short.is_because_of(question) => {
                    Some((since + patience(question.bytes), question.payer.peer))
                }
                _ => None,
            })
    }

    /// Peers that read their answers slower than anyone need, while others wait for that room: all others if there is too little
    /// for all, those of its group if a group has used up its share.
    pub fn too_slow(&self, now: Mono) -> Vec<PeerNum> {
        let slow = self.in_the_way().filter(|(due, _)| *due <= now);
        let mut slow: Vec<PeerNum> = slow.map(|(_, peer)| peer).collect();
        slow.dedup();
        slow
    }

    /// When [`Serving::too_slow`] may name someone; `None` while nobody waits for room.
    pub fn next_too_slow(&self) -> Option<Mono> {
        self.in_the_way().map(|(due, _)| due).min()
    }

    /// Bytes of answers that are being made, at most, and that are unread.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.answers.all()
    }
}

fn patience(bytes: usize) -> Duration {
    let seconds = u64::try_from(bytes / MIN_READ_BYTES_PER_S).unwrap_or(u64::MAX);
    READ_PATIENCE.saturating_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 4_000_000;

    fn payer(peer: u64) -> Payer {
        Payer {
            peer: PeerNum(peer),
            group: None,
        }
    }

    #[test]
    fn a_peer_that_reads_nothing_gets_one_answer_made() {
        let mut serving = Serving::default();
        for n in 0..16 {
            serving.asked(n, payer(1), 600, LARGE).unwrap();
        }
        assert_eq!(serving.take_next(), Some(0));
        assert_eq!(serving.take_next(), None, "one at a time");
        serving.answered(0, LARGE, Mono::ZERO);
        assert_eq!(serving.take_next(), None, "it is unread");
        assert_eq!(serving.bytes(), LARGE);
        serving.done(0, true);
        assert_eq!(serving.take_next(), Some(1));
        serving.left(PeerNum(1));
        assert_eq!(serving.bytes(), 0);
        assert_eq!(serving.take_next(), None);
    }

    #[test]
    fn answers_that_are_taken_follow_each_other_without_a_gap() {
        let mut serving = Serving::default();
        for n in 0..16 {
            serving.asked(n, payer(1), 600, LARGE).unwrap();
        }
        assert_eq!(serving.take_next(), Some(0));
        serving.answered(0, ANSWER_WINDOW_BYTES, Mono::ZERO);
        assert_eq!(
            serving.take_next(),
            Some(1),
            "made while the one before is on its way"
        );
    }

    #[test]
    fn small_answers_do_not_wait_for_large_ones() {
        let mut serving = Serving::default();
        serving.asked(0, payer(1), 600, LARGE).unwrap();
        serving.asked(1, payer(1), 600, LARGE).unwrap();
        serving.asked(2, payer(1), 100, 100).unwrap();
        assert_eq!(serving.take_next(), Some(0));
        assert_eq!(serving.take_next(), Some(2));
        assert_eq!(serving.take_next(), None);
    }

    #[test]
    fn all_answers_together_are_bounded_and_newcomers_leave_room_for_the_proven() {
        let mut serving = Serving::default();
        let now = Mono::ZERO;
        serving.asked(0, payer(1), 600, LARGE).unwrap();
        serving.take_next().unwrap();
        serving.answered(0, LARGE, now);
        serving.done(0, true);
        for n in 2..200 {
            serving.asked(n, payer(n), 600, LARGE).unwrap();
        }
        let mut made = 0;
        while let Some(question) = serving.take_next() {
            serving.answered(question, LARGE, now);
            made += 1;
        }
        assert_eq!(made, MAX_ANSWER_BYTES_OF_NEWCOMERS / LARGE);
        serving.asked(1_000, payer(1), 600, LARGE).unwrap();
        assert_eq!(serving.take_next(), Some(1_000));
        assert!(serving.bytes() <= MAX_ANSWER_BYTES);
    }

    #[test]
    fn a_group_of_addresses_has_a_share_only() {
        let mut serving = Serving::default();
        let group = AddressGroup::of("8.8.8.8".parse().unwrap());
        for n in 0..20 {
            let payer = Payer {
                peer: PeerNum(n),
                group,
            };
            serving.asked(n, payer, 600, LARGE).unwrap();
        }
        while serving.take_next().is_some() {}
        assert!(serving.bytes() <= MAX_ANSWER_BYTES_PER_GROUP);
        serving.asked(100, payer(100), 600, LARGE).unwrap();
        assert_eq!(serving.take_next(), Some(100), "others are not affected");
    }

    #[test]
    fn who_does_not_read_is_named_when_others_wait_for_the_room() {
        let mut serving = Serving::default();
        let start = Mono::ZERO;
        for n in 0..100 {
            serving.asked(n, payer(n), 600, LARGE).unwrap();
        }
        let mut holders = Vec::new();
        while let Some(question) = serving.take_next() {
            serving.answered(question, LARGE, start);
            holders.push(PeerNum(question));
        }
        assert!(serving.too_slow(start).is_empty());
        let due = serving.next_too_slow().expect("others wait");
        assert!(due.since(start) < Duration::from_secs(120));
        assert_eq!(serving.too_slow(due), holders);
        // Nobody waits: the slow may take their time.
        let mut serving = Serving::default();
        serving.asked(0, payer(1), 600, LARGE).unwrap();
        serving.take_next().unwrap();
        serving.answered(0, LARGE, start);
        assert!(serving.too_slow(due).is_empty());
        assert_eq!(serving.next_too_slow(), None);
    }

    /// Slow readers everywhere were let go as soon as one group had used up its share.
    #[test]
    fn a_group_that_used_up_its_share_costs_nobody_else_his_place() {
        let mut serving = Serving::default();
        let start = Mono::ZERO;
        let slow = PeerNum(50);
        serving
            .asked(
                50,
                Payer {
                    peer: slow,
                    group: AddressGroup::of("9.9.9.9".parse().unwrap()),
                },
                600,
                LARGE,
            )
            .unwrap();
        let group = AddressGroup::of("8.8.8.8".parse().unwrap());
        for n in 0..10 {
            let payer = Payer {
                peer: PeerNum(n),
                group,
            };
            serving.asked(n, payer, 600, LARGE).unwrap();
        }
        let mut greedy = Vec::new();
        while let Some(question) = serving.take_next() {
            serving.answered(question, LARGE, start);
            greedy.extend((question != 50).then_some(PeerNum(question)));
        }
        assert_eq!(greedy.len(), MAX_ANSWER_BYTES_PER_GROUP / LARGE);
        assert!(
            serving.bytes() + LARGE <= MAX_ANSWER_BYTES_OF_NEWCOMERS,
            "there is room for others"
        );
        let due = serving.next_too_slow().expect("the group waits for itself");
        assert_eq!(serving.too_slow(due), greedy);
    }

    #[test]
    fn those_who_wait_take_turns() {
        let mut serving = Serving::default();
        for n in 0..6 {
            serving.asked(n, payer(n / 3), 600, 10).unwrap();
        }
        let order: Vec<_> = std::iter::from_fn(|| serving.take_next()).collect();
        assert_eq!(order, [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn questions_that_wait_are_bounded_too() {
        let mut serving = Serving::default();
        let asked = (0..1_000).filter(|n| serving.asked(*n, payer(1), 10, 10).is_ok());
        assert_eq!(asked.count(), MAX_INBOUND_REQUESTS_PER_PEER);
        let mut serving = Serving::default();
        let half = MAX_WAITING_REQUEST_BYTES_PER_PEER / 2;
        for n in 0..10_000 {
            let _ = serving.asked(n, payer(n / 10), half, LARGE);
        }
        assert!(serving.waiting.all() <= MAX_WAITING_REQUEST_BYTES);
        assert_eq!(serving.waiting.of_peer(PeerNum(0)), half * 2);
    }
}
