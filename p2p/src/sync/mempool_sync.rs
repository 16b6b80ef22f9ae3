//! [`MempoolSync`]: transactions that gossip did not bring: once we are level with a peer, its mempool is compared with ours, and
//! the missing parents of a transaction are asked of whoever sent it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{Transaction, Txid};

use super::Action;
use super::outbox::Context;
use super::peers::Peers;
use super::timing::{MAX_PARENTS_WANTED, MAX_QUEUED_TXIDS, TRANSACTIONS_PATIENCE};
use crate::wire::Request;
use crate::wire::limits::MAX_TRANSACTIONS_PER_REQUEST;
use crate::{Mono, PeerNum};

/// How far the comparison with one peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// To be done once we are level.
    Waiting,
    /// Its ids were asked for.
    Asked,
    /// Done, until the peer changes its branch: what was missing is queued.
    Done,
}

/// What is fetched of one peer.
#[derive(Debug)]
struct Fetch {
    comparison: Comparison,
    /// Missing parents of what it sent, still to be asked for: children wait for them, so they come first.
    parents: VecDeque<Txid>,
    /// What the comparison brought up, still to be asked for.
    queue: VecDeque<Txid>,
    /// The batch that is under way.
    asked: BTreeSet<Txid>,
    /// When others may be asked for the batch as well.
    late_at: Mono,
}

/// What is fetched of all peers.
#[derive(Debug, Default)]
pub(super) struct MempoolSync {
    peers: BTreeMap<PeerNum, Fetch>,
    /// Whether a comparison may be [`Comparison::Waiting`]: after most inputs there is none, and nobody need be looked at.
    any_waiting: bool,
    /// Whom something was asked of, so that no other is asked for it before that one is late.
    in_flight: BTreeMap<Txid, PeerNum>,
    /// Batches under way that are not late yet, first what will be late first.
    punctual: BTreeSet<(Mono, PeerNum)>,
}

impl MempoolSync {
    pub(super) fn join(&mut self, peer: PeerNum) {
        let fetch = Fetch {
            comparison: Comparison::Waiting,
            parents: VecDeque::new(),
            queue: VecDeque::new(),
            asked: BTreeSet::new(),
            late_at: Mono::ZERO,
        };
        self.peers.insert(peer, fetch);
        self.any_waiting = true;
    }

    /// A peer is gone. What it was asked for is asked of others that have it.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        self.end_batch(peer);
        if self.peers.remove(&peer).is_some() {
            self.ask_all(cx);
        }
    }

    /// What a peer has not given in time may be asked of others that have it. It may still come.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) {
        let mut any = false;
        while let Some((late_at, peer)) = self.punctual.first().copied()
            && late_at <= cx.now
        {
            self.punctual.pop_first();
            let fetch = self.peers.get(&peer);
            let asked = fetch.into_iter().flat_map(|fetch| &fetch.asked);
            for txid in asked {
                self.in_flight.remove(txid);
            }
            any = true;
        }
        if any {
            self.ask_all(cx);
        }
    }

    pub(super) fn next_due(&self) -> Option<Mono> {
        self.punctual.first().map(|(late_at, _)| *late_at)
    }

    /// The peer's mempool is to be compared with ours once more.
    pub(super) fn compare_again(&mut self, peer: PeerNum) {
        if let Some(fetch) = self.peers.get_mut(&peer)
            && fetch.comparison == Comparison::Done
        {
            fetch.comparison = Comparison::Waiting;
            self.any_waiting = true;
        }
    }

    /// Starts the comparison with every peer whose tip is on our chain. Less work is not enough: a peer on a losing branch has
    /// its payments confirmed there, and gets them back into its mempool only when it has come over.
    pub(super) fn schedule(&mut self, cx: &mut Context<'_>, peers: &Peers) {
        if !std::mem::take(&mut self.any_waiting) {
            return;
        }
        let ours = cx.chain.tip().hash;
        for (number, fetch) in &mut self.peers {
            if fetch.comparison != Comparison::Waiting {
                continue;
            }
            self.any_waiting = true;
            let Some(status) = peers.get(*number).and_then(|peer| peer.status) else {
                continue;
            };
            let theirs = cx.chain.header(&status.hash);
            let on_our_chain = theirs.is_some_and(|theirs| {
                let ours = cx.chain.ancestor(&ours, theirs.height);
                ours.is_some_and(|ours| ours.hash == theirs.hash)
            });
            if on_our_chain {
                cx.out.request(cx.now, *number, Request::MempoolIds);
                fetch.comparison = Comparison::Asked;
            }
        }
    }

    pub(super) fn ids_received(&mut self, cx: &mut Context<'_>, peer: PeerNum, ids: Vec<Txid>) {
        let Some(fetch) = self.peers.get_mut(&peer) else {
            return;
        };
        let room = MAX_QUEUED_TXIDS.saturating_sub(fetch.queue.len());
        let unknown = ids.into_iter().filter(|txid| !cx.pool.knows(txid));
        fetch.queue.extend(unknown.take(room));
        fetch.comparison = Comparison::Done;
        self.ask_next(cx, peer);
    }

    /// A peer sent a transaction whose parents are missing: it had them when it took the child.
    pub(super) fn want_parents(&mut self, cx: &mut Context<'_>, peer: PeerNum, txids: &[Txid]) {
        let Some(fetch) = self.peers.get_mut(&peer) else {
            return;
        };
        for txid in txids {
            let wanted = fetch.asked.contains(txid) || fetch.parents.contains(txid);
            if fetch.parents.len() < MAX_PARENTS_WANTED && !wanted && !cx.pool.knows(txid) {
                fetch.parents.push_back(*txid);
            }
        }
        self.ask_next(cx, peer);
    }

    pub(super) fn transactions_received(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        transactions: Vec<Transaction>,
    ) {
        let Some(fetch) = self.peers.get(&peer) else {
            return;
        };
        let mut owed = fetch.asked.clone();
        // Each once: the same transaction with other witnesses is another one.
        if transactions
            .iter()
            .any(|tx| !owed.remove(&tx.compute_txid()))
        {
            cx.out
                .punish(peer, "sent transactions that it was not asked for");
            return;
        }
        if !transactions.is_empty() {
            cx.out
                .push(Action::AcceptTransactions { peer, transactions });
        }
        self.end_batch(peer);
        self.ask_all(cx);
    }

    /// The peer does not tell its mempool: it is left alone.
    pub(super) fn ids_failed(&mut self, peer: PeerNum) {
        if let Some(fetch) = self.peers.get_mut(&peer) {
            fetch.comparison = Comparison::Done;
        }
    }

    /// The peer did not give transactions: what it was to be asked for is forgotten. Others that have it are asked.
    pub(super) fn transactions_failed(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        self.end_batch(peer);
        if let Some(fetch) = self.peers.get_mut(&peer) {
            fetch.parents.clear();
            fetch.queue.clear();
        }
        self.ask_all(cx);
    }

    /// Asks everyone who owes nothing: what was under way with another may be free again.
    fn ask_all(&mut self, cx: &mut Context<'_>) {
        let idle = self.peers.iter().filter(|(_, fetch)| {
            fetch.asked.is_empty() && !(fetch.queue.is_empty() && fetch.parents.is_empty())
        });
        let idle: Vec<PeerNum> = idle.map(|(peer, _)| *peer).collect();
        for peer in idle {
            self.ask_next(cx, peer);
        }
    }

    /// Asks for the next batch, one at a time.
    fn ask_next(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let Some(fetch) = self.peers.get_mut(&peer) else {
            return;
        };
        if !fetch.asked.is_empty() {
            return;
        }
        for queue in [&mut fetch.parents, &mut fetch.queue] {
            // What is under way with another peer stays queued: that one may fail.
            let mut under_way = VecDeque::new();
            while fetch.asked.len() < MAX_TRANSACTIONS_PER_REQUEST
                && let Some(txid) = queue.pop_front()
            {
                if cx.pool.knows(&txid) || fetch.asked.contains(&txid) {
                    continue;
                }
                if let Entry::Vacant(place) = self.in_flight.entry(txid) {
                    place.insert(peer);
                    fetch.asked.insert(txid);
                } else {
                    under_way.push_back(txid);
                }
            }
            under_way.append(queue);
            *queue = under_way;
        }
        if !fetch.asked.is_empty() {
            fetch.late_at = cx.now + TRANSACTIONS_PATIENCE;
            self.punctual.insert((fetch.late_at, peer));
            let txids = fetch.asked.iter().copied().collect();
            cx.out.request(cx.now, peer, Request::Transactions(txids));
        }
    }

    fn end_batch(&mut self, peer: PeerNum) {
        let Some(fetch) = self.peers.get_mut(&peer) else {
            return;
        };
        self.punctual.remove(&(fetch.late_at, peer));
        for txid in std::mem::take(&mut fetch.asked) {
            // One who was late may have been replaced.
            if self.in_flight.get(&txid) == Some(&peer) {
                self.in_flight.remove(&txid);
            }
        }
    }
}
