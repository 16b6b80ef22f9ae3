//! What waits for the next flush, besides coins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::block::CheckedBlock;
use crate::tree::NodeId;

/// About what a changed header costs until it is written, in bytes.
const HEADER_BYTES: usize = 64;

/// Headers, bodies and undo data that are not on disk yet, in order of their places in the tree: parents first.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) headers: BTreeSet<NodeId>,
    pub(super) bodies: BTreeMap<NodeId, Arc<CheckedBlock>>,
    pub(super) undo: BTreeMap<NodeId, Vec<u8>>,
    body_bytes: usize,
    undo_bytes: usize,
}

impl Pending {
    /// A header is new, or what is known of it changed.
    pub(super) fn touch(&mut self, id: NodeId) {
        self.headers.insert(id);
    }

    pub(super) fn add_body(&mut self, id: NodeId, body: Arc<CheckedBlock>) {
        self.body_bytes += body.total_bytes();
        if let Some(old) = self.bodies.insert(id, body) {
            self.body_bytes -= old.total_bytes();
        }
    }

    pub(super) fn remove_body(&mut self, id: NodeId) {
        if let Some(old) = self.bodies.remove(&id) {
            self.body_bytes -= old.total_bytes();
        }
    }

    pub(super) fn add_undo(&mut self, id: NodeId, undo: Vec<u8>) {
        self.undo_bytes += undo.len();
        if let Some(old) = self.undo.insert(id, undo) {
            self.undo_bytes -= old.len();
        }
    }

    /// Bytes (about) that a flush will write.
    pub(super) fn bytes(&self) -> usize {
        self.headers.len() * HEADER_BYTES + self.body_bytes + self.undo_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.bodies.is_empty() && self.undo.is_empty()
    }
}
