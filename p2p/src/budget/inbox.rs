//! [`Inbox`]: what waits for the core, bounded, and taken out in the order of its worth.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::AddressGroup;
use super::ledger::{Ledger, Payer};
use crate::PeerNum;
use crate::wire::limits::{
    INBOX_ITEM_BYTES, MAX_INBOX_BYTES, MAX_INBOX_BYTES_PER_GROUP, MAX_INBOX_BYTES_PER_PEER,
    MAX_INBOX_PAYMENT_BYTES,
};

/// A later lane gets one turn after the lanes before it have had so many.
const TURNS_BEFORE_A_LATER_LANE: u32 = 32;
/// Parties whose time is remembered though nothing of them waits.
const REMEMBERED_PARTIES: usize = 1_000;

/// Which kind of thing waits, first what matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Blocks, headers, tips, and the coming and going of peers.
    Chain,
    /// Transactions, and addresses of peers.
    Payments,
    /// Questions of peers: work for others comes after work for oneself.
    Serving,
}

impl Lane {
    /// All lanes, in the order of their worth.
    pub const ALL: [Lane; 3] = [Lane::Chain, Lane::Payments, Lane::Serving];

    /// A word for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lane::Chain => "chain",
            Lane::Payments => "payments",
            Lane::Serving => "serving",
        }
    }
}

/// What one thing costs its sender while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Who pays.
    pub payer: Payer,
    /// Where it waits.
    pub lane: Lane,
    /// The memory that it takes, beside [`INBOX_ITEM_BYTES`].
    pub bytes: usize,
    /// We asked for it, or need to know it: it is charged, and never refused.
    pub firm: bool,
}

/// The payer has no room left, or nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What was refused so far, by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    items: [u64; Lane::ALL.len()],
    bytes: [u64; Lane::ALL.len()],
}

impl Shed {
    /// Things of a lane, and their bytes.
    #[must_use]
    pub fn of(&self, lane: Lane) -> (u64, u64) {
        (self.items[lane as usize], self.bytes[lane as usize])
    }
}

/// Who is given turns: a group, or a connection of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Group(AddressGroup),
    Peer(PeerNum),
}

impl From<&Payer> for Party {
    fn from(payer: &Payer) -> Party {
        payer.group.map_or(Party::Peer(payer.peer), Party::Group)
    }
}

/// Things that wait for the core.
///
/// Own orders come first. Then the lanes in their order; within a lane whoever has taken the least of the core's time. A party
/// that was silent does not save time up: it starts with what the least busy one has.
#[derive(Debug)]
pub struct Inbox<T> {
    orders: VecDeque<T>,
    lanes: [BTreeMap<PeerNum, VecDeque<Waiting<T>>>; Lane::ALL.len()],
    /// Turns that a lane was passed over while something waited in it.
    passed_over: [u32; Lane::ALL.len()],
    ledger: Ledger,
    items: BTreeMap<PeerNum, usize>,
    spent: BTreeMap<Party, Duration>,
    /// Connections of which something came.
    payers: BTreeMap<PeerNum, Payer>,
    /// What the last party had spent when it got its turn.
    floor: Duration,
    count: u64,
    shed: Shed,
}

#[derive(Debug)]
struct Waiting<T> {
    /// Numbers things in the order of their coming.
    number: u64,
    charge: Charge,
    item: T,
}

impl<T> Default for Inbox<T> {
    fn default() -> Inbox<T> {
        Inbox {
            orders: VecDeque::new(),
            lanes: Default::default(),
            passed_over: Default::default(),
            ledger: Ledger::default(),
            items: BTreeMap::new(),
            spent: BTreeMap::new(),
            payers: BTreeMap::new(),
            floor: Duration::ZERO,
            count: 0,
            shed: Shed::default(),
        }
    }
}

impl<T> Inbox<T> {
    /// Takes an order of our own: it goes before everything that peers cause.
    pub fn order(&mut self, item: T) {
        self.orders.push_back(item);
    }

    /// Takes what a peer caused.
    ///
    /// # Errors
    ///
    /// [`Full`] when its payer holds as much as it may, or all together do; it is counted and dropped.
    pub fn push(&mut self, mut charge: Charge, item: T) -> Result<(), Full> {
        let payer = charge.payer;
        charge.bytes += INBOX_ITEM_BYTES;
        if !charge.firm && !self.has_room(&charge) {
            self.shed.items[charge.lane as usize] += 1;
            self.shed.bytes[charge.lane as usize] += charge.bytes as u64;
            return Err(Full);
        }
        self.ledger.charge(&payer, charge.bytes);
        self.payers.insert(payer.peer, payer);
        let spent = self.spent.entry(Party::from(&payer)).or_default();
        let items = self.items.entry(payer.peer).or_default();
        if *items == 0 {
            *spent = (*spent).max(self.floor);
        }
        *items += 1;
        self.count += 1;
        let waiting = Waiting {
            number: self.count,
            charge,
            item,
        };
        let lane = &mut self.lanes[charge.lane as usize];
        lane.entry(payer.peer).or_default().push_back(waiting);
        Ok(())
    }

    fn has_room(&self, charge: &Charge) -> bool {
        let payer = &charge.payer;
        let all = match charge.lane {
            Lane::Chain => MAX_INBOX_BYTES,
            Lane::Payments | Lane::Serving => MAX_INBOX_PAYMENT_BYTES,
        };
        self.ledger.of_peer(payer.peer) + charge.bytes <= MAX_INBOX_BYTES_PER_PEER
            && self.ledger.of_group(payer) + charge.bytes <= MAX_INBOX_BYTES_PER_GROUP
            && self.ledger.all() + charge.bytes <= all
    }

    /// The next thing to do, with the one who pays for it if it is not our own.
    pub fn pop(&mut self) -> Option<(T, Option<Payer>)> {
        if let Some(item) = self.orders.pop_front() {
            return Some((item, None));
        }
        let lane = self.next_lane()?;
        let (peer, _) = self.lanes[lane]
            .iter()
            .filter_map(|(peer, queue)| Some((*peer, queue.front()?)))
            .min_by_key(|(_, front)| {
                let party = Party::from(&front.charge.payer);
                let spent = self.spent.get(&party).copied().unwrap_or_default();
                (spent, front.number)
            })?;
        let queue = self.lanes[lane].get_mut(&peer)?;
        let waiting = queue.pop_front()?;
        if queue.is_empty() {
            self.lanes[lane].remove(&peer);
        }
        let payer = waiting.charge.payer;
        self.credit(&waiting.charge);
        let spent = self.spent.get(&Party::from(&payer)).copied();
        self.floor = self.floor.max(spent.unwrap_or_default());
        Some((waiting.item, Some(payer)))
    }

    /// The first lane in which something waits, unless a later one was passed over for long.
    fn next_lane(&mut self) -> Option<usize> {
        let waits = |lane: &usize| !self.lanes[*lane].is_empty();
        let first = (0..self.lanes.len()).find(waits)?;
        let overdue = (first..self.lanes.len())
            .filter(waits)
            .find(|lane| self.passed_over[*lane] >= TURNS_BEFORE_A_LATER_LANE);
        let chosen = overdue.unwrap_or(first);
        for lane in first + 1..self.lanes.len() {
            self.passed_over[lane] += u32::from(!self.lanes[lane].is_empty());
        }
        self.passed_over[chosen] = 0;
        Some(chosen)
    }

    /// Work for a payer took so much of the core's time.
    pub fn spent(&mut self, payer: &Payer, time: Duration) {
        *self.spent.entry(Party::from(payer)).or_default() += time;
        if self.spent.len() > REMEMBERED_PARTIES {
            // Who has spent no more than a newcomer would have has nothing to be remembered for.
            let floor = self.floor;
            self.spent.retain(|_, spent| *spent > floor);
        }
    }

    /// Work for a peer that was put off when it was its turn took so much of the core's time. Nothing to note once it is gone.
    pub fn spent_for(&mut self, peer: PeerNum, time: Duration) {
        if let Some(payer) = self.payers.get(&peer).copied() {
            self.spent(&payer, time);
        }
    }

    /// A peer is gone: its questions need no answer any more.
    pub fn left(&mut self, peer: PeerNum) {
        self.payers.remove(&peer);
        let questions = self.lanes[Lane::Serving as usize].remove(&peer);
        for waiting in questions.into_iter().flatten() {
            self.credit(&waiting.charge);
        }
    }

    fn credit(&mut self, charge: &Charge) {
        self.ledger.credit(&charge.payer, charge.bytes);
        if let Some(items) = self.items.get_mut(&charge.payer.peer) {
            *items -= 1;
            if *items == 0 {
                self.items.remove(&charge.payer.peer);
            }
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ledger.all()
    }

    /// What was refused so far.
    #[must_use]
    pub fn shed(&self) -> Shed {
        self.shed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: usize = MAX_INBOX_BYTES_PER_PEER / 2 - INBOX_ITEM_BYTES;

    fn charge(peer: u64, lane: Lane, bytes: usize) -> Charge {
        Charge {
            payer: Payer {
                peer: PeerNum(peer),
                group: None,
            },
            lane,
            bytes,
            firm: false,
        }
    }

    fn far(peer: u64, lane: Lane, bytes: usize) -> Charge {
        let mut charge = charge(peer, lane, bytes);
        charge.payer.group = AddressGroup::of("8.8.8.8".parse().unwrap());
        charge
    }

    fn names(inbox: &mut Inbox<&'static str>, count: usize) -> Vec<&'static str> {
        (0..count)
            .map(|_| inbox.pop().expect("something waits").0)
            .collect()
    }

    #[test]
    fn own_orders_go_first_then_blocks_then_payments_then_questions() {
        let mut inbox = Inbox::default();
        inbox.push(charge(1, Lane::Serving, 1), "question").unwrap();
        inbox.push(charge(2, Lane::Payments, 1), "payment").unwrap();
        inbox.push(charge(3, Lane::Chain, 1), "block").unwrap();
        inbox.order("stop");
        assert_eq!(
            names(&mut inbox, 4),
            ["stop", "block", "payment", "question"]
        );
        assert!(inbox.pop().is_none());
        assert_eq!(inbox.bytes(), 0);
    }

    #[test]
    fn what_matters_less_is_not_starved() {
        let mut inbox = Inbox::default();
        inbox.push(charge(1, Lane::Serving, 1), "question").unwrap();
        for _ in 0..100 {
            inbox.push(charge(2, Lane::Chain, 1), "block").unwrap();
        }
        let order = names(&mut inbox, 101);
        let question = order.iter().position(|name| *name == "question");
        assert_eq!(question, Some(TURNS_BEFORE_A_LATER_LANE as usize));
    }

    /// With the clock alone a peer got its credit back every six seconds, whatever the core had done by then.
    #[test]
    fn credit_comes_back_when_a_thing_is_taken_out_and_not_before() {
        let mut inbox = Inbox::default();
        let half = charge(1, Lane::Payments, HALF);
        inbox.push(half, "a").unwrap();
        inbox.push(half, "b").unwrap();
        assert_eq!(inbox.push(half, "c"), Err(Full));
        assert_eq!(
            inbox.shed().of(Lane::Payments),
            (1, (HALF + INBOX_ITEM_BYTES) as u64)
        );
        inbox
            .push(charge(2, Lane::Payments, 1), "of another")
            .unwrap();
        inbox.pop().unwrap();
        inbox.push(half, "d").unwrap();
    }

    #[test]
    fn many_connections_of_one_group_have_the_budget_of_a_group() {
        let mut inbox = Inbox::default();
        let taken = (0..1_000).filter(|n| {
            let gossip = far(*n, Lane::Chain, HALF);
            inbox.push(gossip, "gossip").is_ok()
        });
        assert_eq!(
            taken.count(),
            MAX_INBOX_BYTES_PER_GROUP / (HALF + INBOX_ITEM_BYTES)
        );
        let other = charge(2_000, Lane::Chain, HALF);
        inbox.push(other, "a block from here").unwrap();
    }

    #[test]
    fn however_many_there_are_payments_leave_room_for_blocks() {
        let mut inbox = Inbox::default();
        for n in 0..1_000 {
            let _ = inbox.push(charge(n, Lane::Payments, HALF), "payment");
        }
        assert!(inbox.bytes() <= MAX_INBOX_PAYMENT_BYTES);
        inbox
            .push(charge(2_000, Lane::Chain, HALF), "block")
            .unwrap();
        for n in 3_000..4_000 {
            let _ = inbox.push(charge(n, Lane::Chain, HALF), "block");
        }
        assert!(inbox.bytes() <= MAX_INBOX_BYTES);
        let answer = Charge {
            firm: true,
            ..charge(9_000, Lane::Chain, HALF)
        };
        inbox.push(answer, "what we asked for").unwrap();
    }

    #[test]
    fn who_took_much_time_waits_for_those_who_took_little() {
        let mut inbox = Inbox::default();
        for _ in 0..3 {
            inbox.push(charge(1, Lane::Serving, 1), "costly").unwrap();
        }
        let (_, payer) = inbox.pop().unwrap();
        inbox.spent(&payer.unwrap(), Duration::from_millis(60));
        inbox.push(charge(2, Lane::Serving, 1), "cheap").unwrap();
        inbox.push(charge(2, Lane::Serving, 1), "cheap").unwrap();
        assert_eq!(names(&mut inbox, 4), ["cheap", "cheap", "costly", "costly"]);
    }

    #[test]
    fn who_was_silent_has_saved_nothing_up() {
        let mut inbox = Inbox::default();
        let turn = |inbox: &mut Inbox<&'static str>| {
            let (name, payer) = inbox.pop().unwrap();
            inbox.spent(&payer.unwrap(), Duration::from_millis(10));
            name
        };
        for _ in 0..50 {
            inbox.push(charge(1, Lane::Chain, 1), "busy").unwrap();
        }
        for _ in 0..40 {
            turn(&mut inbox);
        }
        for _ in 0..10 {
            inbox.push(charge(2, Lane::Chain, 1), "fresh").unwrap();
        }
        let order: Vec<_> = (0..10).map(|_| turn(&mut inbox)).collect();
        let busy = order.iter().filter(|name| **name == "busy").count();
        assert!((4..=6).contains(&busy), "they take turns: {order:?}");
    }

    #[test]
    fn questions_of_a_peer_that_is_gone_are_dropped_and_what_it_told_is_kept() {
        let mut inbox = Inbox::default();
        inbox.push(charge(1, Lane::Serving, 5), "question").unwrap();
        inbox.push(charge(1, Lane::Chain, 7), "block").unwrap();
        inbox.left(PeerNum(1));
        assert_eq!(inbox.bytes(), 7 + INBOX_ITEM_BYTES);
        assert_eq!(names(&mut inbox, 1), ["block"]);
        assert!(inbox.pop().is_none());
    }
}
