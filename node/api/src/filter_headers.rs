//! [`FilterHeaders`]: headers of block filters that were made, kept for the next one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcoin::BlockHash;
use bitcoin::bip158::FilterHeader;

/// Filter headers that were made, by block.
#[derive(Debug, Default)]
pub struct FilterHeaders {
    known: Mutex<BTreeMap<BlockHash, FilterHeader>>,
}

impl FilterHeaders {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<BlockHash, FilterHeader>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
