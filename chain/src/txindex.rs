//! [`TxIndex`]: in which block a transaction is. Optional, in a file of its own, and behind the chain by as much as its owner
//! lets it: it may be deleted at any time and made again from the bodies.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | network, the last block that is indexed |
//! | `transactions` | txid | block hash, position in the block (4 bytes little endian) |

use std::path::Path;
use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};
use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use crate::block::CheckedBlock;
use crate::chain::Chain;
use crate::params::Params;
use crate::store::StoreError;
use crate::tree::HeaderInfo;
use crate::units::Height;

/// The name of the index inside the data directory.
pub const FILE_NAME: &str = "txindex.redb";

const VALUE_BYTES: usize = 36;
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const TRANSACTIONS: TableDefinition<&[u8; 32], &[u8; VALUE_BYTES]> =
    TableDefinition::new("transactions");

const NETWORK: &str = "network digest";
const BEST: &str = "best";

/// Memory for the index's pages, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxPlace {
    /// Its block.
    pub block: BlockHash,
    /// Its position there.
    pub index: u32,
}

/// What an index has to do to follow a chain.
#[derive(Debug)]
pub enum IndexStep {
    /// These blocks come next, lowest first.
    Connect(Vec<HeaderInfo>),
    /// The last indexed block is not active any more.
    Disconnect(BlockHash),
    /// The last indexed block was never here: begin anew.
    StartOver,
    /// All is indexed.
    Done,
    /// The body of the next block is damaged, and not replaced yet.
    Wait,
}

/// The index of one chain.
pub struct TxIndex {
    database: Database,
}

impl std::fmt::Debug for TxIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxIndex").finish_non_exhaustive()
    }
}

impl TxIndex {
    /// Opens or creates the index in `dir`. One that cannot be read, or is of another network, is made anew: nothing is lost
    /// by it but time.
    ///
    /// # Errors
    ///
    /// When no file can be made there.
    pub fn open(dir: &Path, params: &Params) -> Result<TxIndex, StoreError> {
        let path = dir.join(FILE_NAME);
        let is_new = !path.exists();
        match TxIndex::open_file(&path) {
            Err(error) if is_new => return Err(error),
            Ok(index) if index.is_of(params) => return Ok(index),
            // What opened is closed before its file goes.
            opened => drop(opened),
        }
        std::fs::remove_file(&path)
            .map_err(redb::StorageError::Io)
            .map_err(StoreError::write)?;
        TxIndex::open_file(&path)
    }

    fn is_of(&self, params: &Params) -> bool {
        let found = self.meta(NETWORK);
        found.is_ok_and(|found| found.is_none_or(|digest| digest == params.digest.0))
    }

    fn open_file(path: &Path) -> Result<TxIndex, StoreError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(StoreError::write)?;
        Ok(TxIndex { database })
    }

    /// The last block that is indexed; `None` before the first.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn best(&self) -> Result<Option<BlockHash>, StoreError> {
        let found = self.meta(BEST)?;
        Ok(found.and_then(|bytes| BlockHash::from_slice(&bytes).ok()))
    }

    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read().map_err(StoreError::read)?;
        match transaction.open_table(META) {
            Ok(table) => {
                let found = table.get(name).map_err(StoreError::read)?;
                Ok(found.map(|bytes| bytes.value().to_vec()))
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(StoreError::read(error)),
        }
    }

    /// Where a transaction is, as of [`TxIndex::best`].
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn find(&self, txid: &Txid) -> Result<Option<TxPlace>, StoreError> {
        let transaction = self.database.begin_read().map_err(StoreError::read)?;
        let table = match transaction.open_table(TRANSACTIONS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(StoreError::read(error)),
        };
        let found = table.get(txid.as_byte_array()).map_err(StoreError::read)?;
        Ok(found.map(|value| decode(value.value())))
    }

    /// Adds blocks, lowest first, the lowest of which follows on the last indexed one; durably, in one transaction. `best` is
    /// the last of them, or a block above it whose transactions are not here.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn connect(
        &self,
        blocks: &[Arc<CheckedBlock>],
        best: BlockHash,
        params: &Params,
    ) -> Result<(), StoreError> {
        self.commit(best, params, |transaction| {
            let mut table = transaction
                .open_table(TRANSACTIONS)
                .map_err(StoreError::write)?;
            for block in blocks {
                for (index, txid) in (0..).zip(block.txids()) {
                    let place = TxPlace {
                        block: block.hash(),
                        index,
                    };
                    table
                        .insert(txid.as_byte_array(), &encode(&place))
                        .map_err(StoreError::write)?;
                }
            }
            Ok(())
        })
    }

    /// Takes the last indexed block out.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn disconnect(&self, block: &CheckedBlock, params: &Params) -> Result<(), StoreError> {
        let parent = block.block().header.prev_blockhash;
        self.commit(parent, params, |transaction| {
            let mut table = transaction
                .open_table(TRANSACTIONS)
                .map_err(StoreError::write)?;
            for txid in block.txids() {
                table
                    .remove(txid.as_byte_array())
                    .map_err(StoreError::write)?;
            }
            Ok(())
        })
    }

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn clear(&self) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        transaction
            .delete_table(TRANSACTIONS)
            .map_err(StoreError::write)?;
        transaction.delete_table(META).map_err(StoreError::write)?;
        transaction.commit().map_err(StoreError::write)
    }

    fn commit(
        &self,
        best: BlockHash,
        params: &Params,
        write: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        write(&transaction)?;
        {
            let mut meta = transaction.open_table(META).map_err(StoreError::write)?;
            meta.insert(NETWORK, params.digest.0.as_slice())
                .map_err(StoreError::write)?;
            meta.insert(BEST, best.as_byte_array().as_slice())
                .map_err(StoreError::write)?;
        }
        transaction.commit().map_err(StoreError::write)
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.database.begin_write().map_err(StoreError::write)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(StoreError::write)?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }
}

/// What an index whose last block is `best` has to do next to follow `chain`, connecting `max_blocks` at most.
#[must_use]
pub fn next_step(chain: &Chain, best: Option<BlockHash>, max_blocks: usize) -> IndexStep {
    let first = match best {
        None => Height::GENESIS,
        Some(best) => match chain.tree().get(&best) {
            None => return IndexStep::StartOver,
            Some(_) if !chain.is_active(&best) => return IndexStep::Disconnect(best),
            Some(info) => info.height.next(),
        },
    };
    let next: Vec<HeaderInfo> = (first.0..)
        .map_while(|height| chain.at_height(Height(height)))
        // A body that never was here, below a snapshot of coins, is passed over; one that was comes back.
        .take_while(|info| info.status.has_body || !info.status.connected)
        .take(max_blocks)
        .collect();
    match (next.is_empty(), chain.at_height(first)) {
        (false, _) => IndexStep::Connect(next),
        (true, None) => IndexStep::Done,
        (true, Some(_)) => IndexStep::Wait,
    }
}

fn encode(place: &TxPlace) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..32].copy_from_slice(place.block.as_byte_array());
    value[32..].copy_from_slice(&place.index.to_le_bytes());
    value
}

fn decode(value: &[u8; VALUE_BYTES]) -> TxPlace {
    let (block, index) = value.split_at(32);
    TxPlace {
        block: BlockHash::from_byte_array(block.try_into().expect("32 bytes")),
        index: u32::from_le_bytes(index.try_into().expect("4 bytes")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use bitcoin::Amount;

    use super::*;
    use crate::fixtures::{GENESIS, TestChain};

    /// Follows the chain to its tip.
    fn follow(index: &TxIndex, chain: &Chain) {
        loop {
            match next_step(chain, index.best().unwrap(), 2) {
                IndexStep::Connect(infos) => {
                    let bodies: Vec<_> = infos
                        .iter()
                        .map(|info| chain.block(&info.hash).unwrap().unwrap())
                        .collect();
                    let best = infos.last().unwrap().hash;
                    index.connect(&bodies, best, chain.params()).unwrap();
                }
                IndexStep::Disconnect(hash) => {
                    let body = chain.block(&hash).unwrap().unwrap();
                    index.disconnect(&body, chain.params()).unwrap();
                }
                IndexStep::StartOver => index.clear().unwrap(),
                IndexStep::Done => return,
                IndexStep::Wait => panic!("every body is here"),
            }
        }
    }

    #[test]
    fn an_index_follows_a_reorg_and_survives_being_closed() {
        //   G - a1 - a2        <- alice pays in a2
        //     \ b1 - b2 - b3   <- the same payment is in b1
        let dir = tempfile::tempdir().unwrap();
        let mut net = TestChain::new();
        let index = TxIndex::open(dir.path(), net.chain().params()).unwrap();
        let [alice, bob] = TestChain::rich_keys();
        let both = net.pay(&alice, &bob, Amount::ONE_BTC);
        let lost = net.pay(&bob, &alice, Amount::ONE_BTC);
        net.mine("a1").including(&both).including(&lost).mine("a2");
        follow(&index, net.chain());
        let place = |index: &TxIndex, tx: &bitcoin::Transaction| {
            let found = index.find(&tx.compute_txid()).unwrap();
            found.map(|place| (place.block, place.index))
        };
        assert_eq!(place(&index, &both), Some((net.hash("a2"), 1)));
        assert_eq!(place(&index, &lost), Some((net.hash("a2"), 2)));
        let rich = &net.chain().params().genesis.txdata[1];
        assert_eq!(place(&index, rich), Some((net.hash(GENESIS), 1)));

        drop(index);
        net.fork_at(GENESIS).including(&both).mine("b1");
        net.mine("b2").mine("b3");
        assert_eq!(net.tip(), "b3");
        let index = TxIndex::open(dir.path(), net.chain().params()).unwrap();
        assert_eq!(index.best().unwrap(), Some(net.hash("a2")));
        follow(&index, net.chain());
        assert_eq!(index.best().unwrap(), Some(net.hash("b3")));
        assert_eq!(place(&index, &both), Some((net.hash("b1"), 1)));
        assert_eq!(place(&index, &lost), None);
    }

    #[test]
    fn what_is_no_index_of_this_network_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut net = TestChain::new();
        net.mine("a1");
        std::fs::write(dir.path().join(FILE_NAME), b"not a database").unwrap();
        let index = TxIndex::open(dir.path(), net.chain().params()).unwrap();
        follow(&index, net.chain());
        drop(index);
        let other = crate::fixtures::test_params();
        let index = TxIndex::open(dir.path(), &other).unwrap();
        assert_eq!(index.best().unwrap(), None);
        // Of this network, but of blocks that are not here any more.
        index
            .connect(&[], BlockHash::from_byte_array([7; 32]), &other)
            .unwrap();
        let chain = Chain::in_memory(other);
        let step = next_step(&chain, index.best().unwrap(), 1);
        assert!(matches!(step, IndexStep::StartOver));
        follow(&index, &chain);
        assert_eq!(index.best().unwrap(), Some(chain.tip().hash));
    }
}
