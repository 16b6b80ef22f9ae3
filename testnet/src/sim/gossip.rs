//! How gossip spreads: along the mesh that gossipsub would build, and lazily beside it.
//!
//! Modelled after gossipsub 1.1 with the swarm's settings: own messages are flooded to all neighbours; others go to mesh
//! neighbours once the node has accepted them. A mesh that has too few members takes in others, and one that has too many sends
//! some away, at the node's heartbeat. For three heartbeats some neighbours outside of the mesh are told of a message, whoever
//! has it: who lacks it asks, and gets it a round trip later. A message is never passed on twice by one node.

use std::collections::BTreeMap;
use std::sync::Arc;

use p2p::wire::Gossip;
use rand::Rng;
use rand::seq::SliceRandom;

use super::wires::{ConnId, Neighbour};

/// A message that spreads.
pub(super) type ItemId = u32;

/// Gossipsub's heartbeat.
pub(super) const HEARTBEAT_US: u64 = 1_000_000;
/// Neighbours outside of the mesh that are told at a heartbeat, at least (gossipsub's D_lazy).
const LAZY_DEGREE: usize = 6;
/// And at least this share of them: one in so many (gossipsub's gossip factor).
const LAZY_SHARE: usize = 4;
/// Heartbeats at which a message is told of (gossipsub's gossip history).
pub(super) const LAZY_HEARTBEATS: u8 = 3;
/// Who was sent away from a mesh is not taken in again for so long (the swarm's setting).
const PRUNE_BACKOFF_US: u64 = 5_000_000;
/// Bytes around a message: protobuf and topic.
const ENVELOPE_BYTES: usize = 60;
/// Bytes to tell a neighbour of a message, or to ask for it.
pub(super) const CONTROL_BYTES: usize = 80;
/// After this long nobody passes a message on any more (gossipsub's duplicate cache).
const MEMORY_US: u64 = 60_000_000;

/// All messages that spread, and who has them.
pub(super) struct Rumours {
    items: BTreeMap<ItemId, Item>,
    by_content: BTreeMap<[u8; 32], ItemId>,
    next: ItemId,
    degree: usize,
    /// For each node its connections that are in the mesh.
    mesh: Vec<Vec<ConnId>>,
    /// Connections that were sent away from a mesh, and until when neither end takes them in again.
    sent_away: BTreeMap<ConnId, u64>,
}

struct Item {
    gossip: Arc<Gossip>,
    content: [u8; 32],
    bytes: usize,
    born_us: u64,
    /// One bit for each node that has it.
    seen: Vec<u64>,
}

impl Rumours {
    pub(super) fn new(nodes: usize, degree: usize) -> Rumours {
        Rumours {
            items: BTreeMap::new(),
            by_content: BTreeMap::new(),
            next: 0,
            degree,
            mesh: vec![Vec::new(); nodes],
            sent_away: BTreeMap::new(),
        }
    }

    /// A new connection joins the mesh at once if one end has too few neighbours there (gossipsub's D_low).
    pub(super) fn connected(&mut self, connection: ConnId, a: usize, b: usize) {
        if self.mesh[a].len() < self.fewest() || self.mesh[b].len() < self.fewest() {
            self.mesh[a].push(connection);
            self.mesh[b].push(connection);
        }
    }

    /// A connection ended.
    pub(super) fn disconnected(&mut self, connection: ConnId, ends: [usize; 2]) {
        for node in ends {
            self.mesh[node].retain(|other| *other != connection);
        }
        self.sent_away.remove(&connection);
    }

    /// From when on a heartbeat of a node changes its mesh: it has too many members, or too few and somebody to take in.
    pub(super) fn reshapes_from(&self, node: usize, neighbours: &[Neighbour]) -> Option<u64> {
        let members = self.mesh[node].len();
        if members > self.most() {
            return Some(0);
        }
        if members >= self.fewest() {
            return None;
        }
        let outside = self.outside(node, neighbours);
        outside.map(|other| self.free_from(other.connection)).min()
    }

    /// From when on a connection may be taken into a mesh.
    fn free_from(&self, connection: ConnId) -> u64 {
        self.sent_away.get(&connection).copied().unwrap_or(0)
    }

    /// A heartbeat: takes in neighbours, or sends some away, until the mesh has the wished size.
    pub(super) fn reshape(
        &mut self,
        now_us: u64,
        node: usize,
        neighbours: &[Neighbour],
        rng: &mut impl Rng,
    ) {
        let of = |connection: ConnId| {
            neighbours
                .iter()
                .find(|other| other.connection == connection)
        };
        if self.mesh[node].len() > self.most() {
            let mut members = self.mesh[node].clone();
            members.shuffle(rng);
            for connection in members.split_off(self.degree) {
                let other = of(connection).map(|other| other.node);
                self.sent_away.insert(connection, now_us + PRUNE_BACKOFF_US);
                for end in [Some(node), other].into_iter().flatten() {
                    self.mesh[end].retain(|member| *member != connection);
                }
            }
        } else if self.mesh[node].len() < self.fewest() {
            let outside = self.outside(node, neighbours);
            let free = outside.filter(|other| self.free_from(other.connection) <= now_us);
            let mut spare: Vec<Neighbour> = free.copied().collect();
            spare.shuffle(rng);
            spare.truncate(self.degree - self.mesh[node].len());
            for other in spare {
                self.mesh[node].push(other.connection);
                self.mesh[other.node].push(other.connection);
            }
        }
    }

    /// Some neighbours outside of a node's mesh, to be told of a message.
    pub(super) fn lazy_targets(
        &self,
        node: usize,
        neighbours: &[Neighbour],
        rng: &mut impl Rng,
    ) -> Vec<Neighbour> {
        let mut outside: Vec<Neighbour> = self.outside(node, neighbours).copied().collect();
        let wanted = LAZY_DEGREE.max(outside.len() / LAZY_SHARE);
        if outside.len() > wanted {
            outside.shuffle(rng);
            outside.truncate(wanted);
        }
        outside
    }

    /// Neighbours that are not in a node's mesh.
    pub(super) fn outside<'a>(
        &'a self,
        node: usize,
        neighbours: &'a [Neighbour],
    ) -> impl Iterator<Item = &'a Neighbour> {
        let neighbours = neighbours.iter();
        neighbours.filter(move |other| !self.is_mesh(node, other.connection))
    }

    /// Fewer members than this are too few (gossipsub's D_low: five for six).
    fn fewest(&self) -> usize {
        self.degree - self.degree / 6
    }

    /// More members than this are too many (gossipsub's D_high).
    fn most(&self) -> usize {
        2 * self.degree
    }

    /// Whether a connection is in the mesh of a node.
    pub(super) fn is_mesh(&self, node: usize, connection: ConnId) -> bool {
        self.mesh[node].contains(&connection)
    }

    /// A message that a node wants to spread; `None` when it has spread it before.
    pub(super) fn publish(&mut self, now_us: u64, node: usize, gossip: Gossip) -> Option<ItemId> {
        self.forget_old(now_us);
        let content = gossip.content_id();
        if let Some(known) = self.by_content.get(&content) {
            return self.items.get_mut(known)?.mark(node).then_some(*known);
        }
        let mut encoded = Vec::new();
        gossip.encode(&mut encoded);
        let mut item = Item {
            bytes: encoded.len() + ENVELOPE_BYTES,
            gossip: Arc::new(gossip),
            content,
            born_us: now_us,
            seen: vec![0; self.mesh.len().div_ceil(64)],
        };
        item.mark(node);
        let number = self.next;
        self.next += 1;
        self.items.insert(number, item);
        self.by_content.insert(content, number);
        Some(number)
    }

    /// Takes note that a node got a message; `None` when it has it already or nobody passes it on any more.
    pub(super) fn arrive(&mut self, node: usize, item: ItemId) -> Option<Arc<Gossip>> {
        let item = self.items.get_mut(&item)?;
        item.mark(node).then(|| Arc::clone(&item.gossip))
    }

    /// Whether a node has a message.
    pub(super) fn has(&self, node: usize, item: ItemId) -> bool {
        self.items
            .get(&item)
            .is_none_or(|item| item.seen[node / 64] & (1 << (node % 64)) != 0)
    }

    /// Bytes of a message on the wire, and its kind; `None` once it is forgotten.
    pub(super) fn describe(&self, item: ItemId) -> Option<(usize, &'static str)> {
        let item = self.items.get(&item)?;
        Some((item.bytes, item.gossip.kind()))
    }

    /// A node that crashed remembers nothing.
    pub(super) fn forget_node(&mut self, node: usize) {
        for item in self.items.values_mut() {
            item.seen[node / 64] &= !(1 << (node % 64));
        }
    }

    fn forget_old(&mut self, now_us: u64) {
        while let Some(oldest) = self.items.first_entry() {
            if oldest.get().born_us + MEMORY_US > now_us {
                break;
            }
            let item = oldest.remove();
            self.by_content.remove(&item.content);
        }
    }
}

impl Item {
    /// Notes that a node has it; false if it had it before.
    fn mark(&mut self, node: usize) -> bool {
        let (word, bit) = (node / 64, 1 << (node % 64));
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A node with so many neighbours, all of them in its mesh.
    fn star(leaves: usize) -> (Rumours, Vec<Neighbour>) {
        let mut rumours = Rumours::new(leaves + 1, 6);
        let mut neighbours = Vec::new();
        for node in 1..=leaves {
            let connection = node as ConnId;
            // Each leaf has no other neighbour, and so takes it in.
            rumours.connected(connection, node, 0);
            neighbours.push(Neighbour { connection, node });
        }
        (rumours, neighbours)
    }

    #[test]
    fn a_mesh_with_too_many_members_is_pruned_at_both_ends() {
        let (mut rumours, neighbours) = star(20);
        assert_eq!(rumours.mesh[0].len(), 20);
        assert_eq!(rumours.reshapes_from(0, &neighbours), Some(0));
        rumours.reshape(0, 0, &neighbours, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(rumours.mesh[0].len(), 6);
        let left = (1..=20).filter(|leaf| !rumours.mesh[*leaf].is_empty());
        assert_eq!(left.count(), 6);
        assert_eq!(rumours.reshapes_from(0, &neighbours), None);
    }

    #[test]
    fn a_mesh_with_too_few_members_takes_in_others_but_not_at_once_those_sent_away() {
        let (mut rumours, neighbours) = star(20);
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        rumours.reshape(5, 0, &neighbours, rng);
        for connection in rumours.mesh[0].clone().into_iter().take(2) {
            rumours.disconnected(connection, [0, connection as usize]);
        }
        let then = 5 + PRUNE_BACKOFF_US;
        // Those that were disconnected are no neighbours any more, but the star does not know.
        let linked: Vec<Neighbour> = neighbours
            .iter()
            .filter(|other| {
                rumours.is_mesh(0, other.connection)
                    || rumours.sent_away.contains_key(&other.connection)
            })
            .copied()
            .collect();
        assert_eq!(rumours.reshapes_from(0, &linked), Some(then));
        rumours.reshape(then - 1, 0, &linked, rng);
        assert_eq!(rumours.mesh[0].len(), 4);
        rumours.reshape(then, 0, &linked, rng);
        assert_eq!(rumours.mesh[0].len(), 6);
        assert_eq!(rumours.lazy_targets(0, &linked, rng).len(), 6);
        assert_eq!(rumours.outside(0, &linked).count(), 12);
    }
}
