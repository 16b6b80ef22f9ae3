//! [`SignatureCache`]: transactions whose signatures need no second check.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bitcoin::Wtxid;
use bitcoin::hashes::Hash;
use hashbrown::HashTable;

/// Entries of [`SignatureCache::default`]: a few blocks' worth, about 7 MB when full.
const DEFAULT_CAPACITY: usize = 100_000;

/// Transactions whose signatures have been checked, by wtxid. A wtxid commits to inputs (hence to the spent outputs,
/// through their txids) and to witnesses, so one entry is good for ever. Bounded: the oldest entry goes first.
///
/// Shared by reference between threads.
#[derive(Debug)]
pub struct SignatureCache {
    entries: RwLock<Entries>,
}

#[derive(Debug)]
struct Entries {
    capacity: usize,
    /// Positions count from the first entry ever; the ring holds those from `first` on.
    by_wtxid: HashTable<u64>,
    ring: VecDeque<Wtxid>,
    first: u64,
}

impl Default for SignatureCache {
    fn default() -> SignatureCache {
        SignatureCache::with_capacity(DEFAULT_CAPACITY)
    }
}

impl SignatureCache {
    /// A cache of up to `capacity` transactions. It grows as it fills.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> SignatureCache {
        let entries = Entries {
            capacity,
            by_wtxid: HashTable::new(),
            ring: VecDeque::new(),
            first: 0,
        };
        SignatureCache {
            entries: RwLock::new(entries),
        }
    }

    /// Remembers that all signatures of the transaction `wtxid` are valid. Only call it after [`check_inputs`] said so.
    ///
    /// [`check_inputs`]: super::check_inputs
    pub fn insert(&self, wtxid: Wtxid) {
        let mut entries = self.write();
        if entries.capacity > 0 && !entries.contains(&wtxid) {
            if entries.ring.len() == entries.capacity {
                entries.forget_oldest();
            }
            entries.push(wtxid);
        }
    }

    /// Whether all signatures of the transaction `wtxid` are known to be valid.
    #[must_use]
    pub fn contains(&self, wtxid: &Wtxid) -> bool {
        self.read().contains(wtxid)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().ring.len()
    }

    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `jobs` less those whose transaction is known.
    pub(crate) fn without_known<'a, J>(
        &self,
        mut jobs: Vec<J>,
        wtxid_of: impl Fn(&J) -> &'a Wtxid,
    ) -> Vec<J> {
        let entries = self.read();
        jobs.retain(|job| !entries.contains(wtxid_of(job)));
        jobs
    }

    // A panic while the lock was held can only have lost an entry.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn contains(&self, wtxid: &Wtxid) -> bool {
        let same = |position: &u64| self.ring[(position - self.first) as usize] == *wtxid;
        self.by_wtxid.find(bucket_hash(wtxid), same).is_some()
    }

    fn push(&mut self, wtxid: Wtxid) {
        let position = self.first + self.ring.len() as u64;
        let Entries {
            by_wtxid,
            ring,
            first,
            ..
        } = self;
        ring.push_back(wtxid);
        by_wtxid.insert_unique(bucket_hash(&wtxid), position, |position| {
            bucket_hash(&ring[(position - *first) as usize])
        });
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.ring.front().copied() else {
            return;
        };
        let first = self.first;
        if let Ok(entry) = self
            .by_wtxid
            .find_entry(bucket_hash(&oldest), |position| *position == first)
        {
            entry.remove();
        }
        self.ring.pop_front();
        self.first += 1;
    }
}

/// A wtxid is a hash already.
fn bucket_hash(wtxid: &Wtxid) -> u64 {
    let bytes = wtxid.as_byte_array();
    u64::from_le_bytes(bytes[..8].try_into().expect("a hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wtxid(n: u32) -> Wtxid {
        Wtxid::hash(&n.to_le_bytes())
    }

    #[test]
    fn the_oldest_entry_goes_first() {
        let cache = SignatureCache::with_capacity(3);
        for n in 0..4 {
            cache.insert(wtxid(n));
        }
        assert!(!cache.contains(&wtxid(0)));
        assert!((1..4).all(|n| cache.contains(&wtxid(n))));
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn inserting_twice_keeps_one_entry() {
        let cache = SignatureCache::with_capacity(2);
        for n in [1, 1, 2, 1] {
            cache.insert(wtxid(n));
        }
        assert_eq!(cache.len(), 2);
        assert!(cache.contains(&wtxid(1)) && cache.contains(&wtxid(2)));
    }

    #[test]
    fn it_stays_right_over_many_rounds() {
        let cache = SignatureCache::with_capacity(100);
        for n in 0..10_000 {
            cache.insert(wtxid(n));
            assert!(cache.contains(&wtxid(n)));
            assert!(!cache.contains(&wtxid(n.wrapping_sub(100))));
        }
        assert!((9_900..10_000).all(|n| cache.contains(&wtxid(n))));
    }

    #[test]
    fn a_cache_of_nothing_knows_nothing() {
        let cache = SignatureCache::with_capacity(0);
        cache.insert(wtxid(1));
        assert!(cache.is_empty());
    }

    #[test]
    fn known_jobs_are_dropped_in_order() {
        let cache = SignatureCache::default();
        cache.insert(wtxid(2));
        let wtxids = [wtxid(1), wtxid(2), wtxid(3)];
        assert_eq!(cache.without_known(vec![0, 1, 2], |n| &wtxids[*n]), [0, 2]);
    }
}
