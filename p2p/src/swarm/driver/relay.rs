//! Gossip: out, in, and the verdict that lets it pass.

use std::time::Instant;

use libp2p::PeerId;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError};
use libp2p::swarm::ConnectionId;

use super::Driver;
use super::connections::Early;
use crate::budget::Full;
use crate::swarm::counters::{Channel, Way};
use crate::swarm::gossip::Waiting;
use crate::swarm::{Event, Told};
use crate::sync::GossipId;
use crate::wire::limits::{MAX_MALFORMED_GOSSIP, MAX_REFUSED_GOSSIP};
use crate::wire::{Gossip, Verdict};

impl<E: Fn(Told) -> Result<(), Full>> Driver<E> {
    /// Spreads something of ours.
    pub(super) fn publish(&mut self, gossip: &Gossip) {
        let mut data = Vec::new();
        gossip.encode(&mut data);
        let bytes = data.len();
        let topic = self.topics.of(gossip).clone();
        match self.swarm.behaviour_mut().gossip.publish(topic, data) {
            Ok(_) => self
                .traffic
                .count(Channel::Gossip, gossip.kind(), Way::Sent, bytes),
            // Nobody is there to hear it, or everyone has: asking for each other's tips makes up for what is missed.
            Err(
                error @ (PublishError::Duplicate
                | PublishError::NoPeersSubscribedToTopic
                | PublishError::AllQueuesFull(_)),
            ) => tracing::trace!(kind = gossip.kind(), %error, "not spread"),
            Err(error) => {
                tracing::warn!(kind = gossip.kind(), bytes, %error, "gossip of ours cannot be sent");
            }
        }
    }

    /// Forwards gossip, or does not.
    pub(super) fn judge(&mut self, id: GossipId, verdict: Verdict) {
        let Some(item) = self.verdicts.judged(id) else {
            tracing::debug!(?id, ?verdict, "the verdict came too late");
            return;
        };
        if verdict == Verdict::Accept && item.announces_a_block {
            // Most copies go to peers that have another one by now. On a machine with many nodes those that wait to read
            // their first one go before; where a core is free this returns at once.
            std::thread::yield_now();
        }
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        if verdict == Verdict::Accept
            && let Some(id) = self.connections.of_peer(item.source)
        {
            let seats = &mut self.swarm.behaviour_mut().seats;
            seats.was_useful(id, item.announces_a_block);
        }
        if self.report(&item.message, &item.source, acceptance) && verdict == Verdict::Accept {
            self.traffic
                .count(Channel::Gossip, item.kind, Way::Sent, item.bytes);
        }
    }

    pub(super) fn gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                self.received_gossip(propagation_source, message_id, &message);
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                tracing::debug!(%peer_id, "the peer does not gossip");
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                // It misses some. When it is connected again, mempools are compared.
                if let Some(id) = self.connections.of_peer(peer_id) {
                    self.end(id, "the peer takes gossip too slowly");
                }
            }
            gossipsub::Event::Subscribed { .. } | gossipsub::Event::Unsubscribed { .. } => {}
        }
    }

    /// Hands gossip on, or keeps it until its peer is up. Whatever is not handed on gets its verdict here.
    fn received_gossip(&mut self, source: PeerId, id: MessageId, message: &gossipsub::Message) {
        let bytes = message.data.len();
        let Some(connection_id) = self.connections.of_peer(source) else {
            self.report(&id, &source, MessageAcceptance::Ignore);
            return;
        };
        let Some(gossip) = self.topics.decode(message) else {
            self.traffic
                .count(Channel::Gossip, "malformed", Way::Received, bytes);
            self.count_received(&source, Channel::Gossip, "malformed", bytes);
            self.report(&id, &source, MessageAcceptance::Reject);
            self.malformed(connection_id, source);
            return;
        };
        self.traffic
            .count(Channel::Gossip, gossip.kind(), Way::Received, bytes);
        self.count_received(&source, Channel::Gossip, gossip.kind(), bytes);
        if !self.connections.is_unknown(connection_id) {
            self.gossiped(connection_id, id, gossip, bytes);
            return;
        }
        let early = Early::Gossip(id.clone(), gossip, bytes);
        if self.connections.hold_back(connection_id, early).is_err() {
            self.report(&id, &source, MessageAcceptance::Ignore);
        }
    }

    /// Hands the gossip of a peer that is up on. What is refused because too much waits gets its verdict here: nobody forwards it,
    /// and no copy of it is kept.
    pub(super) fn gossiped(
        &mut self,
        connection: ConnectionId,
        message: MessageId,
        gossip: Gossip,
        bytes: usize,
    ) {
        let Some(payer) = self.connections.payer(connection) else {
            return;
        };
        let Some(known) = self.connections.get_mut(connection) else {
            return;
        };
        let source = known.peer;
        let waiting = Waiting {
            message: message.clone(),
            source,
            kind: gossip.kind(),
            announces_a_block: gossip.announces_a_block(),
            bytes,
        };
        let (peer, id) = (payer.peer, self.verdicts.wait(waiting));
        let event = Event::Gossip { peer, id, gossip };
        if self.outlet.offer_gossip(payer, bytes, event).is_ok() {
            return;
        }
        known.refused_gossip += 1;
        let refused = known.refused_gossip;
        self.verdicts.judged(id);
        self.report(&message, &source, MessageAcceptance::Ignore);
        if let Some(more) = self.rubbish.pass(Instant::now()) {
            tracing::warn!(peer = %source, more, "gossip comes faster than it is judged: some is ignored");
        }
        if refused >= MAX_REFUSED_GOSSIP {
            self.let_go(
                connection,
                "the peer gossips more than is judged, again and again",
            );
        }
    }

    fn malformed(&mut self, connection: ConnectionId, source: PeerId) {
        if let Some(more) = self.rubbish.pass(Instant::now()) {
            tracing::warn!(peer = %source, more, "a peer sent malformed gossip");
        }
        let Some(payer) = self.connections.payer(connection) else {
            // A peer that starts like this need not go on.
            self.end(connection, "the peer sent malformed gossip");
            return;
        };
        let Some(known) = self.connections.get_mut(connection) else {
            return;
        };
        known.malformed_gossip += 1;
        if known.malformed_gossip > MAX_MALFORMED_GOSSIP {
            self.let_go(
                connection,
                "the peer sent malformed gossip, again and again",
            );
            return;
        }
        let blame = Event::MalformedGossip { peer: payer.peer };
        self.outlet.tell_firmly(payer, 0, blame);
    }

    fn report(&mut self, id: &MessageId, source: &PeerId, acceptance: MessageAcceptance) -> bool {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, source, acceptance)
    }
}
