//! Gossip: out, in, and the verdict that lets it pass.

use std::time::Instant;

use libp2p::PeerId;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError};
use libp2p::swarm::ConnectionId;

use super::Driver;
use super::connections::{Early, Stage};
use crate::swarm::Event;
use crate::swarm::gossip::Waiting;
use crate::swarm::traffic::{Channel, Way};
use crate::sync::GossipId;
use crate::wire::{Gossip, Verdict};

impl<E: Fn(Event)> Driver<E> {
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
                tracing::debug!(%peer_id, "the peer takes gossip slowly, so it misses some");
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
        let connection = self.connections.get_mut(connection_id);
        if connection
            .and_then(|connection| connection.hold_back(early))
            .is_some()
        {
            self.report(&id, &source, MessageAcceptance::Ignore);
        }
    }

    /// Hands the gossip of a peer that is up on.
    pub(super) fn gossiped(
        &mut self,
        connection: ConnectionId,
        message: MessageId,
        gossip: Gossip,
        bytes: usize,
    ) {
        let Some(connection) = self.connections.get_mut(connection) else {
            return;
        };
        let (&Stage::Up(peer), source) = (&connection.stage, connection.peer) else {
            return;
        };
        let waiting = Waiting {
            message: message.clone(),
            source,
            peer,
            kind: gossip.kind(),
            announces_a_block: gossip.announces_a_block(),
            bytes,
            since: Instant::now(),
        };
        match self.verdicts.wait(waiting) {
            Some(id) => (self.events)(Event::Gossip { peer, id, gossip }),
            None => {
                self.report(&message, &source, MessageAcceptance::Ignore);
                if let Some(more) = self.rubbish.pass(Instant::now()) {
                    tracing::warn!(peer = %source, more, "gossip comes faster than it is judged: some is ignored");
                }
            }
        }
    }

    fn malformed(&mut self, connection: ConnectionId, source: PeerId) {
        if let Some(more) = self.rubbish.pass(Instant::now()) {
            tracing::warn!(peer = %source, more, "a peer sent malformed gossip");
        }
        match self.connections.stage(connection) {
            Some(&Stage::Up(peer)) => (self.events)(Event::MalformedGossip { peer }),
            // A peer that starts like this need not go on.
            _ => self.end(connection, "the peer sent malformed gossip"),
        }
    }

    fn report(&mut self, id: &MessageId, source: &PeerId, acceptance: MessageAcceptance) -> bool {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, source, acceptance)
    }
}
