//! The coins that changed since the last flush, and those that were read lately.
//!
//! Spent-before-flush coins never reach the disk. Entries live in chunks that never move, with a small index of their
//! places beside them: about 105 bytes a coin, and no factor of two while it grows.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use bitcoin::OutPoint;
use hashbrown::HashTable;

use super::encoding::{OUTPOINT_BYTES, PackedCoin, PackedScript, encode_outpoint};

/// Entries per chunk: small enough for a thousand simulated chains in one process.
const CHUNK: usize = 64;

/// What an entry knows beyond the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Free for use.
    Vacant,
    /// Unspent, and the same on disk.
    Clean,
    /// Unspent; the disk may hold an older coin or none.
    Dirty,
    /// Unspent, and certainly not on disk.
    Fresh,
    /// Spent, but the disk may still hold it.
    Spent,
}

#[derive(Debug)]
struct Entry {
    coin: PackedCoin,
    key: [u8; OUTPOINT_BYTES],
    state: State,
}

/// What the cache knows of a coin.
pub(crate) enum Cached {
    /// It is unspent.
    Unspent(PackedCoin),
    /// It is spent, whatever the disk says.
    Spent,
    /// The disk knows.
    Unknown,
}

/// One change that a flush writes.
pub(crate) enum CoinChange<'a> {
    /// Write this coin.
    Put(&'a PackedCoin),
    /// Delete it, if it is there.
    Delete,
}

/// Hashes keys that are uniform already, under two secret numbers, so that strangers who choose txids cannot choose places.
#[derive(Clone, Copy)]
struct KeyHasher {
    secrets: [u64; 2],
}

impl KeyHasher {
    fn random() -> KeyHasher {
        let random = RandomState::new();
        KeyHasher {
            secrets: [random.hash_one(0), random.hash_one(1) | 1],
        }
    }

    fn hash_one(&self, key: &[u8; OUTPOINT_BYTES]) -> u64 {
        let word = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("8 bytes"));
        let index = u64::from(u32::from_be_bytes(key[32..].try_into().expect("4 bytes")));
        let folded = fold(word(0) ^ self.secrets[0], word(8) ^ self.secrets[1]);
        fold(folded ^ index, self.secrets[1])
    }
}

/// The first bytes of a key as a number of the same order: it tells most keys apart, and faster.
fn key_start(key: &[u8; OUTPOINT_BYTES]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().expect("8 bytes"))
}

/// The halves of the product together: every bit depends on every bit.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The cache. Iteration is by place or sorted, never by hash, so that nothing depends on the hasher's random key, which only
/// keeps strangers from choosing txids that collide.
pub(crate) struct CoinCache {
    chunks: Vec<Vec<Entry>>,
    vacant: Vec<u32>,
    index: HashTable<u32>,
    hasher: KeyHasher,
    /// Bytes of long scripts.
    heap_bytes: usize,
    /// Entries that a flush has to write.
    changes: usize,
}

impl CoinCache {
    pub(crate) fn new() -> CoinCache {
        CoinCache {
            chunks: Vec::new(),
            vacant: Vec::new(),
            index: HashTable::new(),
            hasher: KeyHasher::random(),
            heap_bytes: 0,
            changes: 0,
        }
    }

    /// Looks a coin up without touching the disk.
    pub(crate) fn get(&self, outpoint: &OutPoint) -> Cached {
        match self.place_of(&encode_outpoint(outpoint)) {
            None => Cached::Unknown,
            Some(place) => match self.entry(place) {
                Entry {
                    state: State::Spent,
                    ..
                } => Cached::Spent,
                Entry { coin, .. } => Cached::Unspent(coin.clone()),
            },
        }
    }

    /// Remembers a coin that was read from disk.
    pub(crate) fn remember(&mut self, outpoint: &OutPoint, coin: PackedCoin) {
        let key = encode_outpoint(outpoint);
        if self.place_of(&key).is_none() {
            self.insert(key, coin, State::Clean);
        }
    }

    /// A coin is there that was not: created by a block, or given back by one that is taken back. Cache over disk said until now
    /// that it is not unspent; so where no tombstone is here, the disk does not hold it.
    pub(crate) fn create(&mut self, outpoint: &OutPoint, coin: PackedCoin) {
        let key = encode_outpoint(outpoint);
        match self.place_of(&key) {
            Some(place) => self.replace(place, coin, State::Dirty),
            None => self.insert(key, coin, State::Fresh),
        }
    }

    /// A coin is what is said here, whatever the disk holds: what is there was found damaged.
    pub(crate) fn overwrite(&mut self, outpoint: &OutPoint, coin: PackedCoin) {
        let key = encode_outpoint(outpoint);
        match self.place_of(&key) {
            Some(place) => {
                self.replace(place, coin, State::Dirty);
                self.entry_mut(place).state = State::Dirty;
            }
            None => self.insert(key, coin, State::Dirty),
        }
    }

    /// A coin is gone: spent by a block, or its creation undone. The disk may hold it, unless the entry here is fresh.
    pub(crate) fn remove(&mut self, outpoint: &OutPoint) {
        let key = encode_outpoint(outpoint);
        let nothing = PackedCoin {
            script: PackedScript::P2wpkh([0; 20]),
            amount_sat: 0,
            height_and_coinbase: 0,
        };
        match self.place_of(&key) {
            Some(place) if self.entry(place).state == State::Fresh => self.free(place),
            Some(place) => self.replace(place, nothing, State::Spent),
            None => self.insert(key, nothing, State::Spent),
        }
    }

    /// Everything that the disk does not have yet, in key order.
    pub(crate) fn changes(&self) -> Vec<([u8; OUTPOINT_BYTES], CoinChange<'_>)> {
        let mut changes = Vec::with_capacity(self.changes);
        for entry in self.chunks.iter().flatten() {
            match entry.state {
                State::Vacant | State::Clean => {}
                State::Dirty | State::Fresh => {
                    changes.push((entry.key, CoinChange::Put(&entry.coin)))
                }
                State::Spent => changes.push((entry.key, CoinChange::Delete)),
            }
        }
        changes.sort_unstable_by(|(a, _), (b, _)| key_start(a).cmp(&key_start(b)).then(a.cmp(b)));
        changes
    }

    /// All changes are on disk now. Keeps unspent coins for reading while the cache is below `keep_bytes`, else starts
    /// anew.
    pub(crate) fn flushed(&mut self, keep_bytes: usize) {
        if self.memory_bytes() > keep_bytes {
            let hasher = self.hasher;
            *self = CoinCache {
                hasher,
                ..CoinCache::new()
            };
            return;
        }
        for place in 0..self.places() {
            match self.entry(place).state {
                State::Vacant | State::Clean => {}
                State::Dirty | State::Fresh => self.entry_mut(place).state = State::Clean,
                State::Spent => self.free(place),
            }
        }
        self.changes = 0;
    }

    /// Bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Entry>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.index.allocation_size()
            + self.heap_bytes
    }

    /// Entries that a flush has to write.
    pub(crate) fn change_count(&self) -> usize {
        self.changes
    }

    fn places(&self) -> u32 {
        let count = match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        };
        u32::try_from(count).expect("fewer than 2^32 coins fit in memory")
    }

    fn entry(&self, place: u32) -> &Entry {
        &self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    fn entry_mut(&mut self, place: u32) -> &mut Entry {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    fn place_of(&self, key: &[u8; OUTPOINT_BYTES]) -> Option<u32> {
        let same = |&place: &u32| self.entry(place).key == *key;
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    fn insert(&mut self, key: [u8; OUTPOINT_BYTES], coin: PackedCoin, state: State) {
        self.heap_bytes += coin.script.heap_bytes();
        self.changes += usize::from(state != State::Clean);
        let entry = Entry { coin, key, state };
        let place = match self.vacant.pop() {
            Some(place) => {
                *self.entry_mut(place) = entry;
                place
            }
            None => {
                let place = self.places();
                match self.chunks.last_mut() {
                    Some(last) if last.len() < CHUNK => last.push(entry),
                    _ => {
                        let mut chunk = Vec::with_capacity(CHUNK);
                        chunk.push(entry);
                        self.chunks.push(chunk);
                    }
                }
                place
            }
        };
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index
            .insert_unique(hasher.hash_one(&key), place, |&other| {
                hasher.hash_one(&chunks[other as usize / CHUNK][other as usize % CHUNK].key)
            });
    }

    fn replace(&mut self, place: u32, coin: PackedCoin, state: State) {
        self.heap_bytes += coin.script.heap_bytes();
        self.heap_bytes -= self.entry(place).coin.script.heap_bytes();
        self.changes += usize::from(self.entry(place).state == State::Clean);
        let entry = self.entry_mut(place);
        // What is certainly not on disk stays so.
        entry.state = if entry.state == State::Fresh {
            State::Fresh
        } else {
            state
        };
        entry.coin = coin;
    }

    fn free(&mut self, place: u32) {
        let key = self.entry(place).key;
        let hash = self.hasher.hash_one(&key);
        if let Ok(found) = self.index.find_entry(hash, |&other| other == place) {
            found.remove();
        }
        self.changes -= usize::from(self.entry(place).state != State::Clean);
        self.heap_bytes -= self.entry(place).coin.script.heap_bytes();
        let entry = self.entry_mut(place);
        entry.state = State::Vacant;
        entry.coin.script = PackedScript::P2wpkh([0; 20]);
        self.vacant.push(place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bitcoin::Txid;
    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    use super::*;

    fn outpoint(n: u8) -> OutPoint {
        OutPoint {
            txid: Txid::from_byte_array([n; 32]),
            vout: u32::from(n),
        }
    }

    fn coin(amount_sat: u64, long: bool) -> PackedCoin {
        let script = PackedScript::pack(&vec![1; if long { 100 } else { 3 }]);
        PackedCoin {
            script,
            amount_sat,
            height_and_coinbase: 2,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Toggle { which: u8, amount_sat: u64 },
        Read(u8),
        Flush { keep: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..20u8, 1..1000u64)
                .prop_map(|(which, amount_sat)| Step::Toggle { which, amount_sat }),
            2 => (0..20u8).prop_map(Step::Read),
            1 => any::<bool>().prop_map(|keep| Step::Flush { keep }),
        ]
    }

    proptest! {
        /// Cache over disk must read as one map, and a flush must make the disk equal to it.
        #[test]
        fn cache_over_disk_is_one_map(steps in proptest::collection::vec(step(), 0..200)) {
            let mut model: BTreeMap<u8, PackedCoin> = BTreeMap::new();
            let mut disk: BTreeMap<[u8; OUTPOINT_BYTES], PackedCoin> = BTreeMap::new();
            let mut cache = CoinCache::new();
            for step in steps {
                match step {
                    Step::Toggle { which, amount_sat } => {
                        if model.remove(&which).is_some() {
                            cache.remove(&outpoint(which));
                        } else {
                            let coin = coin(amount_sat, amount_sat % 2 == 0);
                            model.insert(which, coin.clone());
                            cache.create(&outpoint(which), coin);
                        }
                    }
                    Step::Read(which) => {
                        if let Some(coin) = disk.get(&encode_outpoint(&outpoint(which))) {
                            cache.remember(&outpoint(which), coin.clone());
                        }
                    }
                    Step::Flush { keep } => {
                        for (key, change) in cache.changes() {
                            match change {
                                CoinChange::Put(coin) => disk.insert(key, coin.clone()),
                                CoinChange::Delete => disk.remove(&key),
                            };
                        }
                        cache.flushed(if keep { usize::MAX } else { 0 });
                        prop_assert_eq!(cache.change_count(), 0);
                        let want: Vec<_> = model.values().collect();
                        prop_assert_eq!(disk.values().collect::<Vec<_>>(), want);
                    }
                }
                prop_assert_eq!(cache.changes().len(), cache.change_count());
                for which in 0..20 {
                    let got = match cache.get(&outpoint(which)) {
                        Cached::Unspent(coin) => Some(coin),
                        Cached::Spent => None,
                        Cached::Unknown => disk.get(&encode_outpoint(&outpoint(which))).cloned(),
                    };
                    prop_assert_eq!(got.as_ref(), model.get(&which));
                }
            }
        }
    }

    #[test]
    fn a_coin_spent_before_the_flush_leaves_no_trace() {
        let mut cache = CoinCache::new();
        cache.create(&outpoint(1), coin(5, true));
        cache.remove(&outpoint(1));
        assert!(cache.changes().is_empty());
        assert_eq!(cache.heap_bytes, 0);
        assert!(matches!(cache.get(&outpoint(1)), Cached::Unknown));
    }

    #[test]
    fn a_coin_takes_about_a_hundred_bytes() {
        let mut cache = CoinCache::new();
        for n in 0..100_000u32 {
            let txid = bitcoin::hashes::sha256d::Hash::hash(&n.to_le_bytes());
            let outpoint = OutPoint {
                txid: Txid::from_raw_hash(txid),
                vout: 0,
            };
            cache.create(
                &outpoint,
                PackedCoin {
                    script: PackedScript::P2tr([1; 32]),
                    ..coin(1, false)
                },
            );
        }
        assert!(
            cache.memory_bytes() < 112 * 100_000,
            "{}",
            cache.memory_bytes()
        );
    }
}
