//! Carries gossip from node to node: published, passed on once it is accepted, told again at heartbeats.

use node_core::Input;
use p2p::PeerNum;
use p2p::sync::GossipId;
use p2p::wire::{Gossip, Verdict};
use rand::RngExt;

use super::gossip::{CONTROL_BYTES, HEARTBEAT_US, ItemId, LAZY_HEARTBEATS};
use super::wires::{ConnId, Held, Neighbour};
use super::world::{Event, Lazy, Undecided, World};

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
        let neighbours = &self.wires.neighbours[node];
        if self.rumours.outside(node, neighbours).next().is_some() {
            let event = Event::Heartbeat {
                node: small(node),
                item,
                left: LAZY_HEARTBEATS,
            };
            let due_us = heartbeat_after_us(node, self.now_us);
            self.queue.push(due_us, event);
        }
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
        if self.is_gossip_lost() {
            return;
        }
        if self.rumours.has(to, item) {
            // It takes its room on the lane, and nothing else comes of it.
            return self.occupy(connection, from, bytes);
        }
        let event = Event::Gossip {
            connection,
            to: small(to),
            item,
        };
        self.send(connection, from, bytes, event);
    }

    /// A node tells some neighbours outside of its mesh that it has a message.
    pub(super) fn heartbeat(&mut self, node: usize, item: ItemId, left: u8) {
        if self.nodes[node].core.is_none() || self.rumours.describe(item).is_none() {
            return;
        }
        let neighbours = &self.wires.neighbours[node];
        let rng = &mut self.streams.gossip;
        for other in self.rumours.lazy_targets(node, neighbours, rng) {
            self.tell_of(node, other, item, Event::Told);
        }
        if left > 1 {
            let event = Event::Heartbeat {
                node: small(node),
                item,
                left: left - 1,
            };
            let due_us = heartbeat_after_us(node, self.now_us);
            self.queue.push(due_us, event);
        }
    }

    /// A neighbour has heard that a node has a message: if it lacks it, it asks.
    pub(super) fn told(&mut self, lazy: Lazy) {
        let (
            to,
            Lazy {
                connection, item, ..
            },
        ) = (lazy.to as usize, lazy);
        if self.rumours.has(to, item) || self.nodes[to].core.is_none() {
            return;
        }
        if let Some(node) = self.wires.other_end(connection, to) {
            self.tell_of(to, Neighbour { connection, node }, item, Event::Wanted);
        }
    }

    /// A neighbour asks for a message.
    pub(super) fn wanted(&mut self, lazy: Lazy) {
        let (
            to,
            Lazy {
                connection, item, ..
            },
        ) = (lazy.to as usize, lazy);
        if self.nodes[to].core.is_none() {
            return;
        }
        if let Some(node) = self.wires.other_end(connection, to) {
            self.gossip_to(to, Neighbour { connection, node }, item);
        }
    }

    /// Sends a line about a message: that one has it, or wants it.
    fn tell_of(&mut self, from: usize, other: Neighbour, item: ItemId, event: fn(Lazy) -> Event) {
        self.counters.sent("gossip-control", CONTROL_BYTES);
        let Neighbour { connection, node } = other;
        let is_news = !self.rumours.has(node, item) || !self.rumours.has(from, item);
        if self.is_gossip_lost() {
            return;
        }
        if !is_news {
            return self.occupy(connection, from, CONTROL_BYTES);
        }
        let to = small(node);
        let lazy = Lazy {
            connection,
            to,
            item,
        };
        self.send(connection, from, CONTROL_BYTES, event(lazy));
    }

    fn is_gossip_lost(&mut self) -> bool {
        let loss = self.gossip_loss;
        loss > 0.0 && self.streams.wires.random::<f64>() < loss
    }

    /// Looks whether a node's mesh has to be changed at a heartbeat to come.
    pub(super) fn watch_mesh(&mut self, node: usize) {
        let neighbours = &self.wires.neighbours[node];
        if self.nodes[node].reshapes {
            return;
        }
        if let Some(from_us) = self.rumours.reshapes_from(node, neighbours) {
            self.nodes[node].reshapes = true;
            let due_us = heartbeat_after_us(node, from_us.max(self.now_us));
            self.queue.push(due_us, Event::Reshape(node));
        }
    }

    /// The heartbeat of a node whose mesh has too few or too many members.
    pub(super) fn reshape(&mut self, node: usize) {
        self.nodes[node].reshapes = false;
        let neighbours = &self.wires.neighbours[node];
        let rng = &mut self.streams.gossip;
        self.rumours.reshape(self.now_us, node, neighbours, rng);
        self.watch_mesh(node);
        let neighbours = &self.wires.neighbours[node];
        // Whom it sent away may have too few now.
        let others: Vec<usize> = neighbours.iter().map(|other| other.node).collect();
        for other in others {
            self.watch_mesh(other);
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

/// A node's number in little room.
fn small(node: usize) -> u32 {
    u32::try_from(node).expect("no run has four billion nodes")
}

/// The next heartbeat of a node. Those of different nodes are spread over the second.
fn heartbeat_after_us(node: usize, after_us: u64) -> u64 {
    let phase = (node as u64).wrapping_mul(618_033) % HEARTBEAT_US;
    (after_us + HEARTBEAT_US - phase).div_euclid(HEARTBEAT_US) * HEARTBEAT_US + phase
}
