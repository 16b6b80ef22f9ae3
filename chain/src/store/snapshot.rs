//! Readers: what one closure may read, always copied out.

use std::cell::OnceCell;
use std::sync::Arc;

use bitcoin::OutPoint;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableError};

use super::StoreError;
use super::tables::{BLOCKS, BlockKey, COINS, HEADERS, HeaderRow, UNDO};
use crate::coins::encoding::{PackedCoin, decode_coin, decode_outpoint, encode_outpoint};

/// Bytes of checksum in front of undo data.
const SEAL_BYTES: usize = 8;

/// One consistent state of the database, for the time of one [`Store::read`](super::Store::read). All its methods give owned
/// values, so that nothing read can outlive it.
pub(crate) struct Snapshot {
    transaction: Option<Arc<ReadTransaction>>,
    /// Opened at the first look-up, for the many that follow.
    coins: OnceCell<Option<CoinsTable>>,
}

type CoinsTable = ReadOnlyTable<&'static [u8; 36], &'static [u8]>;

/// The table, or `None` if nothing was committed to it yet.
macro_rules! open {
    ($snapshot:expr, $definition:expr) => {
        match &$snapshot.transaction {
            None => None,
            Some(transaction) => match transaction.open_table($definition) {
                Ok(table) => Some(table),
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(StoreError::read(error)),
            },
        }
    };
}

impl Snapshot {
    pub(super) fn empty() -> Snapshot {
        Snapshot {
            transaction: None,
            coins: OnceCell::new(),
        }
    }

    pub(super) fn new(transaction: Arc<ReadTransaction>) -> Snapshot {
        Snapshot {
            transaction: Some(transaction),
            coins: OnceCell::new(),
        }
    }

    fn coins_table(&self) -> Result<Option<&CoinsTable>, StoreError> {
        if self.coins.get().is_none() {
            // Nobody else can have set it meanwhile: a snapshot belongs to one thread.
            let _ = self.coins.set(open!(self, COINS));
        }
        Ok(self.coins.get().and_then(Option::as_ref))
    }

    /// The unspent coin at `outpoint`.
    pub(crate) fn coin(&self, outpoint: &OutPoint) -> Result<Option<PackedCoin>, StoreError> {
        let Some(table) = self.coins_table()? else {
            return Ok(None);
        };
        match table
            .get(&encode_outpoint(outpoint))
            .map_err(StoreError::read)?
        {
            None => Ok(None),
            Some(bytes) => match decode_coin(bytes.value()) {
                Ok(coin) => Ok(Some(coin)),
                Err(_) => Err(StoreError::damaged(format_args!("the coin {outpoint}"))),
            },
        }
    }

    /// Calls `visit` with every coin in key order.
    pub(crate) fn for_each_coin(
        &self,
        mut visit: impl FnMut(OutPoint, PackedCoin) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(table) = open!(self, COINS) else {
            return Ok(());
        };
        for row in table.iter().map_err(StoreError::read)? {
            let (key, bytes) = row.map_err(StoreError::read)?;
            let outpoint = decode_outpoint(key.value());
            let coin = decode_coin(bytes.value())
                .map_err(|_| StoreError::damaged(format_args!("the coin {outpoint}")))?;
            visit(outpoint, coin)?;
        }
        Ok(())
    }

    /// Calls `visit` with every header in order of height.
    pub(crate) fn for_each_header<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(HeaderRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let open = || -> Result<_, StoreError> { Ok(open!(self, HEADERS)) };
        let Some(table) = open()? else {
            return Ok(());
        };
        for row in table.iter().map_err(StoreError::read)? {
            let (key, row) = row.map_err(StoreError::read)?;
            visit(HeaderRow::decode(key.value(), row.value()))?;
        }
        Ok(())
    }

    /// Number of stored headers.
    pub(crate) fn header_count(&self) -> Result<u64, StoreError> {
        match open!(self, HEADERS) {
            None => Ok(0),
            Some(table) => table.len().map_err(StoreError::read),
        }
    }

    /// The bytes of a body as they are on disk, unchecked.
    pub(crate) fn body(&self, key: &BlockKey) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(table) = open!(self, BLOCKS) else {
            return Ok(None);
        };
        let bytes = table.get(key).map_err(StoreError::read)?;
        Ok(bytes.map(|bytes| bytes.value().to_vec()))
    }

    /// The undo data of a block, its checksum checked.
    pub(crate) fn undo(&self, key: &BlockKey) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(table) = open!(self, UNDO) else {
            return Ok(None);
        };
        match table.get(key).map_err(StoreError::read)? {
            None => Ok(None),
            Some(bytes) => match unseal(key, bytes.value()) {
                Some(data) => Ok(Some(data.to_vec())),
                None => Err(StoreError::damaged("undo data of a block")),
            },
        }
    }

    /// Bytes that the rows of the coins take on disk.
    pub(crate) fn coins_disk_bytes(&self) -> Result<u64, StoreError> {
        let Some(table) = open!(self, COINS) else {
            return Ok(0);
        };
        let stats = table.stats().map_err(StoreError::read)?;
        Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
    }
}

/// Length of `data` with its checksum.
pub(super) fn sealed_bytes(data: &[u8]) -> usize {
    SEAL_BYTES + data.len()
}

/// Writes `data` to `sealed`, behind a checksum over it and the key. Bodies need none, they have their hash.
pub(super) fn seal(key: &BlockKey, data: &[u8], sealed: &mut [u8]) {
    let (head, tail) = sealed.split_at_mut(SEAL_BYTES);
    head.copy_from_slice(&checksum(key, data));
    tail.copy_from_slice(data);
}

fn unseal<'a>(key: &BlockKey, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (found, data) = sealed.split_at_checked(SEAL_BYTES)?;
    (found == checksum(key, data)).then_some(data)
}

fn checksum(key: &BlockKey, data: &[u8]) -> [u8; SEAL_BYTES] {
    let mut engine = sha256::Hash::engine();
    engine.input(key);
    engine.input(data);
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    hash[..SEAL_BYTES].try_into().expect("8 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_breaks_the_seal() {
        let key = [7; 36];
        let mut sealed = vec![0; sealed_bytes(b"spent coins")];
        seal(&key, b"spent coins", &mut sealed);
        assert_eq!(unseal(&key, &sealed), Some(&b"spent coins"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&key, &flipped), None);
        }
        assert_eq!(unseal(&[8; 36], &sealed), None);
        assert_eq!(unseal(&key, &[]), None);
    }
}
