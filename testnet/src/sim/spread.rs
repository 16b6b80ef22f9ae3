//! Carries gossip from node to node: published, passed on once it is accepted, told again at heartbeats.

use node::core::Input;
use p2p::PeerNum;
use p2p::sync::GossipId;
use p2p::wire::{Gossip, Verdict};
use rand::RngExt;

use super::gossip::{CONTROL_BYTES, HEARTBEAT_US, ItemId, LAZY_DEGREE};
use super::wires::{ConnId, Held};
use super::world::{Event, World};

impl World<'_> {
    /// Own messages go to all neighbours.
    pub(super) fn publish(&mut self, node: usize, gossip: Gossip) {
        if let Some(item) = self.rumours.publish(self.now_us, node, gossip) {
            self.spread(node, item, None, true);
        }
    }

    pub(super) fn decide(&mut self, node: usize, id: GossipId, verdict: Verdict) {
        let Some((item, source)) = self.nodes[node].undecided.remove(&id) else {
            return;
        };
        match verdict {
            Verdict::Accept => self.spread(node, item, Some(source), false),
            Verdict::Ignore => {}
            Verdict::Reject => {
                let t = self.now_us;
                self.watch.rejected_gossip(t, node);
            }
        }
    }

    /// Passes a message on: to the mesh (or all neighbours), and later to some of the others.
    fn spread(&mut self, node: usize, item: ItemId, source: Option<ConnId>, to_all: bool) {
        let neighbours: Vec<(ConnId, usize)> = self.wires.neighbours[node]
            .iter()
            .filter(|(number, _)| Some(**number) != source)
            .filter(|(number, _)| to_all || self.rumours.is_mesh(node, **number))
            .map(|(number, other)| (*number, *other))
            .collect();
        for (connection, to) in neighbours {
            self.gossip_to(connection, node, to, item);
        }
        // Heartbeats of different nodes are spread over the second.
        let phase = (node as u64).wrapping_mul(618_033) % HEARTBEAT_US;
        let beat = (self.now_us + HEARTBEAT_US - phase).div_euclid(HEARTBEAT_US) * HEARTBEAT_US;
        self.queue
            .push(beat + phase, Event::Heartbeat { node, item });
    }

    fn gossip_to(&mut self, connection: ConnId, from: usize, to: usize, item: ItemId) {
        let Some((bytes, kind)) = self.rumours.describe(item) else {
            return;
        };
        self.counters.sent(kind, bytes);
        let loss = self.gossip_loss;
        if loss > 0.0 && self.streams.wires.random::<f64>() < loss {
            return;
        }
        if self.rumours.has(to, item) {
            // It takes its room on the lane, and nothing else comes of it.
            return self.occupy(connection, from, bytes);
        }
        let event = Event::Gossip {
            connection,
            to,
            item,
        };
        self.send(connection, from, bytes, event);
    }

    pub(super) fn heartbeat(&mut self, node: usize, item: ItemId) {
        if self.nodes[node].core.is_none() {
            return;
        }
        let missing: Vec<(ConnId, usize)> = self.wires.neighbours[node]
            .iter()
            .filter(|(number, _)| !self.rumours.is_mesh(node, **number))
            .filter(|(_, other)| !self.rumours.has(**other, item))
            .map(|(number, other)| (*number, *other))
            .take(LAZY_DEGREE)
            .collect();
        for (connection, to) in missing {
            // Told, asked for, sent: the last of the three carries the message.
            self.counters.sent("gossip-control", 2 * CONTROL_BYTES);
            self.gossip_to(connection, node, to, item);
        }
    }

    pub(super) fn gossip_arrives(&mut self, connection: ConnId, to: usize, item: ItemId) {
        // Most messages are known already; to see that costs less than to look at the node.
        if self.rumours.has(to, item)
            || self.wires.other_end(connection, to).is_none()
            || self.nodes[to].core.is_none()
        {
            return;
        }
        let Some(gossip) = self.rumours.arrive(to, item) else {
            return;
        };
        self.next_number += 1;
        let id = GossipId(self.next_number);
        self.nodes[to].undecided.insert(id, (item, connection));
        let input = Input::Gossip {
            peer: PeerNum(connection),
            id,
            gossip: (*gossip).clone(),
        };
        self.feed(to, input);
    }

    /// Sends what will be thrown away on arrival.
    fn occupy(&mut self, connection: ConnId, sender: usize, bytes: usize) {
        self.next_number += 1;
        let message = Held {
            bytes,
            number: self.next_number,
        };
        let rng = &mut self.streams.wires;
        let _ = self
            .wires
            .send(self.now_us, connection, sender, message, false, rng);
    }
}
