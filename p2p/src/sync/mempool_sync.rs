//! [`MempoolSync`]: once we are level with a peer, its mempool is compared with ours: heals gossip that was lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{Transaction, Txid};

use super::Action;
use super::outbox::Context;
use super::peers::Peers;
use crate::PeerNum;
use crate::wire::Request;
use crate::wire::limits::MAX_TRANSACTIONS_PER_REQUEST;

/// How far the comparison with one peer is.
#[derive(Debug)]
enum Stage {
    /// To be done once we are level.
    Waiting,
    /// Its ids were asked for.
    Ids,
    /// These are still to be fetched; a batch is under way.
    Fetching {
        queue: VecDeque<Txid>,
        asked: BTreeSet<Txid>,
    },
    /// Done, for this connection.
    Done,
}

/// The comparison of mempools with all peers.
#[derive(Debug, Default)]
pub(super) struct MempoolSync {
    peers: BTreeMap<PeerNum, Stage>,
    /// Asked of anyone, so that two peers are not asked for the same.
    in_flight: BTreeSet<Txid>,
}

impl MempoolSync {
    pub(super) fn join(&mut self, peer: PeerNum) {
        self.peers.insert(peer, Stage::Waiting);
    }

    pub(super) fn leave(&mut self, peer: PeerNum) {
        self.stop(peer);
        self.peers.remove(&peer);
    }

    /// Starts the comparison with every peer whose tip is on our chain. Less work is not enough: a peer on a losing branch has
    /// its payments confirmed there, and gets them back into its mempool only when it has come over.
    pub(super) fn schedule(&mut self, cx: &mut Context<'_>, peers: &Peers) {
        let ours = cx.chain.tip().hash;
        for (number, stage) in &mut self.peers {
            if !matches!(stage, Stage::Waiting) {
                continue;
            }
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
                *stage = Stage::Ids;
            }
        }
    }

    pub(super) fn ids_received(&mut self, cx: &mut Context<'_>, peer: PeerNum, ids: Vec<Txid>) {
        let Some(stage) = self.peers.get_mut(&peer) else {
            return;
        };
        let unknown = |txid: &Txid| !cx.pool.knows(txid) && !self.in_flight.contains(txid);
        let queue: VecDeque<Txid> = ids.into_iter().filter(unknown).collect();
        *stage = Stage::Fetching {
            queue,
            asked: BTreeSet::new(),
        };
        self.ask_next(cx, peer);
    }

    pub(super) fn transactions_received(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        transactions: Vec<Transaction>,
    ) {
        let Some(Stage::Fetching { asked, .. }) = self.peers.get(&peer) else {
            return;
        };
        if transactions
            .iter()
            .any(|tx| !asked.contains(&tx.compute_txid()))
        {
            cx.out
                .punish(peer, "sent transactions that it was not asked for");
            return;
        }
        if !transactions.is_empty() {
            cx.out
                .push(Action::AcceptTransactions { peer, transactions });
        }
        self.ask_next(cx, peer);
    }

    /// A request failed: this peer's mempool is left alone.
    pub(super) fn failed(&mut self, peer: PeerNum) {
        self.stop(peer);
    }

    fn ask_next(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let Some(Stage::Fetching { queue, asked }) = self.peers.get_mut(&peer) else {
            return;
        };
        for txid in std::mem::take(asked) {
            self.in_flight.remove(&txid);
        }
        while let Some(txid) = queue.pop_front() {
            if !cx.pool.knows(&txid) && self.in_flight.insert(txid) {
                asked.insert(txid);
            }
            if asked.len() == MAX_TRANSACTIONS_PER_REQUEST {
                break;
            }
        }
        if asked.is_empty() {
            self.peers.insert(peer, Stage::Done);
        } else {
            let txids = asked.iter().copied().collect();
            cx.out.request(cx.now, peer, Request::Transactions(txids));
        }
    }

    fn stop(&mut self, peer: PeerNum) {
        let Some(stage) = self.peers.get_mut(&peer) else {
            return;
        };
        if let Stage::Fetching { asked, .. } = std::mem::replace(stage, Stage::Done) {
            for txid in asked {
                self.in_flight.remove(&txid);
            }
        }
    }
}
