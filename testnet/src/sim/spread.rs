//! Carries gossip from node to node: published, passed on once it is accepted, told again at heartbeats.

use node_core::Input;
use p2p::PeerNum;
use p2p::sync::GossipId;
use p2p::wire::{Gossip, Verdict};
use rand::RngExt;

use super::gossip::{CONTROL_BYTES, HEARTBEAT_US, ItemId, LAZY_DEGREE};
use super::wires::{ConnId, Held, Neighbour};
use super::world::{Event, Undecided, World};

impl World<'_> {
    /// Own messages go to all neighbours.
    pub(super) fn publish(&mut self, node: usize, gossip: Gossip) {
        if let Some(item) = self.rumours.publish(self.now_us, node, gossip) {
            self.spread(node, item, None, true);
        }
    }

    pub(super) fn decide(&mut self, node: usize, id: GossipId, verdict: Verdict) {
        let undecided = &mut self.nodes[node].undecided;
        let Some(at) = undecided.iter().position(|waiting| waiting.id == id) else {
            return;
        };
        let Undecided { item, source, .. } = undecided.swap_remove(at);
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
        for index in 0..self.wires.neighbours[node].len() {
            let other = self.wires.neighbours[node][index];
            let connection = other.connection;
            if Some(connection) != source && (to_all || self.rumours.is_mesh(node, connection)) {
                self.gossip_to(node, other, item);
            }
        }
        // Heartbeats of different nodes are spread over the second.
        let phase = (node as u64).wrapping_mul(618_033) % HEARTBEAT_US;
        let beat = (self.now_us + HEARTBEAT_US - phase).div_euclid(HEARTBEAT_US) * HEARTBEAT_US;
        self.queue
            .push(beat + phase, Event::Heartbeat { node, item });
    }

    fn gossip_to(&mut self, from: usize, to: Neighbour, item: ItemId) {
        let Neighbour {
            connection,
            node: to,
        } = to;
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
            to: u32::try_from(to).expect("no run has four billion nodes"),
            item,
        };
        self.send(connection, from, bytes, event);
    }

    pub(super) fn heartbeat(&mut self, node: usize, item: ItemId) {
        if self.nodes[node].core.is_none() {
            return;
        }
        let missing: Vec<Neighbour> = self.wires.neighbours[node]
            .iter()
            .filter(|other| !self.rumours.is_mesh(node, other.connection))
            .filter(|other| !self.rumours.has(other.node, item))
            .take(LAZY_DEGREE)
            .copied()
            .collect();
        for other in missing {
            // Told, asked for, sent: the last of the three carries the message.
            self.counters.sent("gossip-control", 2 * CONTROL_BYTES);
            self.gossip_to(node, other, item);
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
        self.nodes[to].undecided.push(Undecided {
            id,
            item,
            source: connection,
        });
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
