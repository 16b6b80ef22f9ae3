//! [`MempoolSync`]: transactions that gossip did not bring: once we are level with a peer, its mempool is compared with ours, and
//! the missing parents of a transaction are asked of whoever sent it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{Transaction, Txid};

use super::Action;
use super::outbox::Context;
use super::peers::Peers;
use super::timing::MAX_PARENTS_WANTED;
use crate::PeerNum;
use crate::wire::Request;
use crate::wire::limits::MAX_TRANSACTIONS_PER_REQUEST;

/// How far the comparison with one peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// To be done once we are level.
    Waiting,
    /// Its ids were asked for.
    Asked,
    /// Done, for this connection: what was missing is queued.
    Done,
}

/// What is fetched of one peer.
#[derive(Debug)]
struct Fetch {
    comparison: Comparison,
    /// Still to be asked for.
    queue: VecDeque<Txid>,
    /// The batch that is under way.
    asked: BTreeSet<Txid>,
}

/// What is fetched of all peers.
#[derive(Debug, Default)]
pub(super) struct MempoolSync {
    peers: BTreeMap<PeerNum, Fetch>,
    /// Whether a comparison may be [`Comparison::Waiting`]: after most inputs there is none, and nobody need be looked at.
    any_waiting: bool,
    /// Asked of anyone, so that two peers are not asked for the same.
    in_flight: BTreeSet<Txid>,
}

impl MempoolSync {
    pub(super) fn join(&mut self, peer: PeerNum) {
        let fetch = Fetch {
            comparison: Comparison::Waiting,
            queue: VecDeque::new(),
            asked: BTreeSet::new(),
        };
        self.peers.insert(peer, fetch);
        self.any_waiting = true;
    }

    pub(super) fn leave(&mut self, peer: PeerNum) {
        if let Some(fetch) = self.peers.remove(&peer) {
            self.land(&fetch.asked);
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
        let unknown = |txid: &Txid| !cx.pool.knows(txid) && !self.in_flight.contains(txid);
        fetch.queue.extend(ids.into_iter().filter(unknown));
        fetch.comparison = Comparison::Done;
        self.ask_next(cx, peer);
    }

    /// A peer sent a transaction whose parents are missing: it had them when it took the child.
    pub(super) fn want_parents(&mut self, cx: &mut Context<'_>, peer: PeerNum, txids: &[Txid]) {
        let Some(fetch) = self.peers.get_mut(&peer) else {
            return;
        };
        for txid in txids {
            let wanted = self.in_flight.contains(txid) || fetch.queue.contains(txid);
            if fetch.queue.len() < MAX_PARENTS_WANTED && !wanted && !cx.pool.knows(txid) {
                // Children wait for them: before what only a comparison brought up.
                fetch.queue.push_front(*txid);
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
        if transactions
            .iter()
            .any(|tx| !fetch.asked.contains(&tx.compute_txid()))
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
        self.ask_next(cx, peer);
    }

    /// The peer does not tell its mempool: it is left alone.
    pub(super) fn ids_failed(&mut self, peer: PeerNum) {
        if let Some(fetch) = self.peers.get_mut(&peer) {
            fetch.comparison = Comparison::Done;
        }
    }

    /// The peer did not give transactions: what it was to be asked for is forgotten. Others may gossip it.
    pub(super) fn transactions_failed(&mut self, peer: PeerNum) {
        self.end_batch(peer);
        if let Some(fetch) = self.peers.get_mut(&peer) {
            fetch.queue.clear();
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
        while let Some(txid) = fetch.queue.pop_front() {
            if !cx.pool.knows(&txid) && self.in_flight.insert(txid) {
                fetch.asked.insert(txid);
            }
            if fetch.asked.len() == MAX_TRANSACTIONS_PER_REQUEST {
                break;
            }
        }
        if !fetch.asked.is_empty() {
            let txids = fetch.asked.iter().copied().collect();
            cx.out.request(cx.now, peer, Request::Transactions(txids));
        }
    }

    fn end_batch(&mut self, peer: PeerNum) {
        if let Some(fetch) = self.peers.get_mut(&peer) {
            let asked = std::mem::take(&mut fetch.asked);
            self.land(&asked);
        }
    }

    fn land(&mut self, asked: &BTreeSet<Txid>) {
        for txid in asked {
            self.in_flight.remove(txid);
        }
    }
}
