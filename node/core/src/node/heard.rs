//! Transactions of peers: gossiped, fetched, or adopted when their parents came.

use std::sync::Arc;

use bitcoin::{Transaction, Txid, Wtxid};
use chain::RuleError;
use p2p::PeerNum;
use p2p::sync::{GossipId, Input as EngineInput};
use p2p::wire::{Gossip, Verdict};

use super::payments::{FromPeer, Waiting, Way};
use super::{NodeCore, Output};
use crate::mempool::{MempoolError, Sender, UncheckedSignatures};
use crate::now::Now;

impl NodeCore {
    pub(super) fn gossip_received(
        &mut self,
        now: Now,
        peer: PeerNum,
        id: GossipId,
        gossip: Gossip,
        out: &mut Vec<Output>,
    ) {
        match gossip {
            Gossip::Transaction(transaction) | Gossip::Again { transaction, .. } => {
                self.transaction_gossiped(now, peer, id, transaction, out);
            }
            Gossip::Block(_) | Gossip::Header(_) => {
                self.drive(now, EngineInput::Announcement { peer, id, gossip }, out);
            }
        }
    }

    fn transaction_gossiped(
        &mut self,
        now: Now,
        peer: PeerNum,
        id: GossipId,
        transaction: Arc<Transaction>,
        out: &mut Vec<Output>,
    ) {
        let way = Way::Gossip(id);
        if self.connections.is_parting(peer) {
            return tell_verdict(way, Verdict::Ignore, out);
        }
        let taken = self.with_payments(now, out, |payments, scope| {
            payments.take_gossip(transaction, scope)
        });
        self.follow_up(now, peer, way, taken, out);
    }

    /// Transactions whose gossip was lost, fetched from a peer. What is new here may be new to our other peers.
    pub(super) fn accept_fetched_transactions(
        &mut self,
        now: Now,
        peer: PeerNum,
        transactions: Vec<Transaction>,
        out: &mut Vec<Output>,
    ) {
        for transaction in transactions.into_iter().map(Arc::new) {
            if self.connections.is_parting(peer) {
                return;
            }
            let taken = self.with_payments(now, out, |payments, scope| {
                payments.take(transaction, scope)
            });
            if taken.is_none() {
                return;
            }
            self.follow_up(now, peer, Way::Answer, taken, out);
        }
    }

    /// Judges one of the transactions that have many signatures, by what [`NodeCore::note_bad_signature`] told if it did.
    pub(super) fn judge_costly(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(one) = self.payments.next_costly() else {
            return;
        };
        let Waiting {
            transaction,
            sender,
            way,
        } = one;
        let kept = Arc::clone(&transaction);
        let taken = self.with_payments(now, out, |payments, scope| {
            payments.judge_costly(transaction, scope)
        });
        match (way, taken) {
            (Way::Orphanage, Some(FromPeer::Taken(txid))) => {
                self.payments_at(now, out).1.publish_again(kept);
                self.adopt_children(now, txid, out);
            }
            (Way::Orphanage, Some(FromPeer::MissingInput(orphan))) => {
                self.payments.keep_waiting(orphan, sender);
            }
            (way, taken) => self.follow_up(now, sender.peer, way, taken, out),
        }
    }

    /// The signatures of the transaction that the next tick judges, and who gave it, if they are many: to be checked without the core.
    /// Those that are good go into [`NodeCore::signatures`], of others [`NodeCore::note_bad_signature`] tells.
    #[must_use]
    pub fn unchecked_signatures(&self, now: Now) -> Option<(PeerNum, UncheckedSignatures)> {
        self.payments.unchecked_signatures(&self.chain, now.wall)
    }

    /// Tells that a transaction whose signatures were to be checked has a bad one.
    pub fn note_bad_signature(&mut self, wtxid: Wtxid, error: RuleError) {
        self.payments.note_bad_signature(wtxid, error);
    }

    /// What follows from a transaction of a peer.
    fn follow_up(
        &mut self,
        now: Now,
        peer: PeerNum,
        way: Way,
        taken: Option<FromPeer>,
        out: &mut Vec<Output>,
    ) {
        let verdict = match taken {
            Some(FromPeer::Taken(txid)) => {
                self.connections.note_transaction(peer, now);
                self.pass_on(way, txid, out);
                // After the verdict: who hears of a child before its parent keeps it as an orphan, and tells nobody.
                return self.adopt_children(now, txid, out);
            }
            Some(FromPeer::MissingInput(orphan)) => {
                self.keep_orphan(now, peer, orphan, out);
                Verdict::Ignore
            }
            Some(FromPeer::Costly(transaction)) => {
                let sender = self.sender(peer);
                let kept = self.payments.put_off(Waiting {
                    transaction,
                    sender,
                    way,
                });
                if kept {
                    return;
                }
                Verdict::Ignore
            }
            Some(FromPeer::Invalid(error)) => {
                self.punish_for(now, peer, &error, out);
                Verdict::Reject
            }
            Some(FromPeer::Ignored) | None => Verdict::Ignore,
        };
        tell_verdict(way, verdict, out);
    }

    /// Spreads what was taken: gossip by a verdict, what was fetched by gossip of our own.
    fn pass_on(&self, way: Way, txid: Txid, out: &mut Vec<Output>) {
        let entry = self.payments.pool().get(&txid);
        match way {
            Way::Answer if self.peers().len() > 1 => out.extend(entry.map(|entry| {
                let transaction = Arc::clone(&entry.transaction);
                Output::Publish(Gossip::Transaction(transaction))
            })),
            _ => tell_verdict(way, Verdict::Accept, out),
        }
    }

    /// Whoever passes on a transaction, or gives it from his mempool, has checked it, if he is honest. Checking it cost us as much.
    fn punish_for(&mut self, now: Now, peer: PeerNum, error: &MempoolError, out: &mut Vec<Output>) {
        let reason = format!("it sent an invalid transaction: {error}");
        self.connections.punish(now, peer, reason, out);
        for one in self.payments.drop_costly_of(peer) {
            tell_verdict(one.way, Verdict::Ignore, out);
        }
    }

    /// Orphans that turned out to be invalid are held against those who gave them.
    pub(super) fn punish_culprits(&mut self, now: Now, out: &mut Vec<Output>) {
        for (peer, error) in self.payments.take_culprits() {
            self.punish_for(now, peer, &error, out);
        }
    }

    fn sender(&self, peer: PeerNum) -> Sender {
        let group = self.connections.group_of(peer);
        Sender { peer, group }
    }

    /// Keeps a transaction until its parents come, and asks its sender for them.
    fn keep_orphan(
        &mut self,
        now: Now,
        peer: PeerNum,
        orphan: Arc<Transaction>,
        out: &mut Vec<Output>,
    ) {
        let sender = self.sender(peer);
        let missing = self.with_payments(now, out, |payments, scope| {
            payments.keep_orphan(orphan, sender, scope.chain)
        });
        if let Some(txids) = missing.filter(|txids| !txids.is_empty()) {
            self.drive(now, EngineInput::ParentsMissing { peer, txids }, out);
        }
    }

    fn adopt_children(&mut self, now: Now, parent: Txid, out: &mut Vec<Output>) {
        self.with_payments(now, out, |payments, scope| {
            payments.adopt_children(parent, scope)
        });
    }
}

/// Decides on gossip; of what came otherwise there is nothing to tell.
fn tell_verdict(way: Way, verdict: Verdict, out: &mut Vec<Output>) {
    if let Way::Gossip(id) = way {
        out.push(Output::Verdict { id, verdict });
    }
}
