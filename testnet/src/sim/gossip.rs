//! How gossip spreads: along the mesh that gossipsub would build, and lazily beside it.
//!
//! Modelled after gossipsub 1.1 with the swarm's settings: own messages are flooded to all neighbours; others go to mesh
//! neighbours once the node has accepted them; at each node's heartbeat, neighbours outside of the mesh are told what they
//! may have missed, and fetch it (one more round trip). A message is never passed on twice by one node.

use std::collections::BTreeMap;
use std::sync::Arc;

use p2p::wire::Gossip;

use super::wires::{ConnId, Neighbour};

/// A message that spreads.
pub(super) type ItemId = u32;

/// Gossipsub's heartbeat.
pub(super) const HEARTBEAT_US: u64 = 1_000_000;
/// Neighbours outside of the mesh that are told at a heartbeat (gossipsub's D_lazy).
pub(super) const LAZY_DEGREE: usize = 6;
/// Bytes around a message: protobuf and topic.
const ENVELOPE_BYTES: usize = 60;
/// Bytes to tell a neighbour of a message, and to ask for it.
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
        }
    }

    /// A new connection joins the mesh unless one end has twice the wished number of mesh neighbours (gossipsub's D_high).
    pub(super) fn connected(&mut self, connection: ConnId, a: usize, b: usize) {
        let most = 2 * self.degree;
        if self.mesh[a].len() < most && self.mesh[b].len() < most {
            self.mesh[a].push(connection);
            self.mesh[b].push(connection);
        }
    }

    /// A connection ended. Nodes that lose mesh neighbours take others in, as gossipsub does at its heartbeat.
    pub(super) fn disconnected(
        &mut self,
        connection: ConnId,
        ends: [usize; 2],
        neighbours: &[Vec<Neighbour>],
    ) {
        for node in ends {
            self.mesh[node].retain(|other| *other != connection);
            if self.mesh[node].len() >= self.degree {
                continue;
            }
            let spare = neighbours[node]
                .iter()
                .find(|other| !self.mesh[node].contains(&other.connection));
            if let Some(&Neighbour {
                connection,
                node: other,
            }) = spare
            {
                self.mesh[node].push(connection);
                // The other end may have taken it in before.
                if !self.mesh[other].contains(&connection) {
                    self.mesh[other].push(connection);
                }
            }
        }
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
