//! Databases of older formats.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::FORMAT;
use super::damage::Table;
use super::seal::seal;
use super::tables::{META, RowKey, meta, rows};

/// Bytes of a header's row in format 1.
const HEADER_BYTES_1: usize = 85;
const HEADERS_1: TableDefinition<'_, &RowKey, &[u8; HEADER_BYTES_1]> =
    TableDefinition::new("headers");

/// Makes a database of format 1 one of format 2, whose rows have checksums: in one transaction, so that a crash leaves it as it
/// was.
pub(super) fn from_1(database: &Database) -> Result<(), redb::Error> {
    let old = database.begin_read()?;
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    transaction.delete_table(HEADERS_1)?;
    {
        let mut headers = transaction.open_table(rows(Table::Headers))?;
        for row in old.open_table(HEADERS_1)?.iter()? {
            let (key, row) = row?;
            headers.insert(key.value(), sealed(key.value(), row.value()).as_slice())?;
        }
        let mut coins = transaction.open_table(rows(Table::Coins))?;
        for row in old.open_table(rows(Table::Coins))?.iter()? {
            let (key, row) = row?;
            coins.insert(key.value(), sealed(key.value(), row.value()).as_slice())?;
        }
        let mut names = transaction.open_table(META)?;
        for row in old.open_table(META)?.iter()? {
            let (name, row) = row?;
            let format = FORMAT.to_le_bytes();
            let value = match name.value() {
                meta::FORMAT => format.as_slice(),
                _ => row.value(),
            };
            names.insert(
                name.value(),
                sealed(name.value().as_bytes(), value).as_slice(),
            )?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = value.to_vec();
    seal(key, &mut row);
    row
}
