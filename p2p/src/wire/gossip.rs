//! Encoding of [`Gossip`]: one tag byte, then the content; and the id by which gossip is known.

use std::sync::Arc;

use bitcoin::bip152::{HeaderAndShortIds, PrefilledTransaction, ShortId};
use bitcoin::hashes::{Hash, HashEngine, sha256};

use super::limits::{MAX_ANNOUNCEMENT_BYTES, MAX_BLOCK_TRANSACTIONS, MAX_TRANSACTION_BYTES};
use super::reader::{Reader, put};
use super::{Gossip, WireError};

const BLOCK: u8 = 0;
const HEADER: u8 = 1;
const TRANSACTION: u8 = 2;
const AGAIN: u8 = 3;
/// Bytes of a salt.
const SALT_BYTES: usize = 8;

/// Bytes of the smallest prefilled transaction: its index and the smallest transaction.
const MIN_PREFILLED_BYTES: usize = 11;

impl Gossip {
    /// The kind of gossip, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Gossip::Block(_) => "block",
            Gossip::Header(_) => "header",
            Gossip::Transaction(_) | Gossip::Again { .. } => "transaction",
        }
    }

    /// Whether it tells of a block.
    pub fn announces_a_block(&self) -> bool {
        matches!(self, Gossip::Block(_) | Gossip::Header(_))
    }

    /// What gossip is known by: equal for two nodes that announce the same thing.
    ///
    /// A block goes by its hash: whoever alters the short ids or the coinbase of an announcement can at most make its
    /// receivers fetch the body. A transaction goes by its wtxid, so that a copy with an altered witness does not
    /// shadow the true one; what is told again by its salt as well. The tag is hashed with it: a bare header does not shadow a block's short ids.
    pub fn content_id(&self) -> [u8; 32] {
        let mut engine = sha256::Hash::engine();
        let (tag, id) = match self {
            Gossip::Block(block) => (BLOCK, block.header.block_hash().to_byte_array()),
            Gossip::Header(header) => (HEADER, header.block_hash().to_byte_array()),
            Gossip::Transaction(tx) => (TRANSACTION, tx.compute_wtxid().to_byte_array()),
            Gossip::Again { transaction, salt } => {
                engine.input(&salt.to_le_bytes());
                (AGAIN, transaction.compute_wtxid().to_byte_array())
            }
        };
        engine.input(&[tag]);
        engine.input(&id);
        sha256::Hash::from_engine(engine).to_byte_array()
    }

    /// Appends the gossip to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Gossip::Block(block) => {
                out.push(BLOCK);
                put(out, block.as_ref());
            }
            Gossip::Header(header) => {
                out.push(HEADER);
                put(out, header);
            }
            Gossip::Transaction(tx) => {
                out.push(TRANSACTION);
                put(out, tx.as_ref());
            }
            Gossip::Again { transaction, salt } => {
                out.push(AGAIN);
                put(out, salt);
                put(out, transaction.as_ref());
            }
        }
    }

    /// Reads gossip that fills `bytes` exactly.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is over a limit or malformed.
    pub fn decode(bytes: &[u8]) -> Result<Gossip, WireError> {
        let longest = MAX_ANNOUNCEMENT_BYTES.max(MAX_TRANSACTION_BYTES + SALT_BYTES);
        let mut reader = Reader::new(bytes, "gossip", longest)?;
        let gossip = match reader.take::<u8>("gossip tag")? {
            BLOCK | HEADER if bytes.len() > MAX_ANNOUNCEMENT_BYTES => {
                return Err(WireError::TooLong {
                    what: "announcement",
                    got: bytes.len(),
                    limit: MAX_ANNOUNCEMENT_BYTES,
                });
            }
            BLOCK => Gossip::Block(Box::new(take_short_ids(&mut reader)?)),
            HEADER => Gossip::Header(reader.take("header")?),
            AGAIN => Gossip::Again {
                salt: reader.take("salt")?,
                transaction: Arc::new(reader.take("transaction")?),
            },
            TRANSACTION => Gossip::Transaction(Arc::new(reader.take("transaction")?)),
            tag => {
                return Err(WireError::UnknownTag {
                    what: "gossip",
                    tag,
                });
            }
        };
        reader.finish()?;
        Ok(gossip)
    }
}

/// As `HeaderAndShortIds` decodes itself, but with our limits.
fn take_short_ids(reader: &mut Reader<'_>) -> Result<HeaderAndShortIds, WireError> {
    let header = reader.take("header")?;
    let nonce = reader.take("nonce")?;
    // Every copy that a peer passes on is read, to know what it is: a value at a time would take most of that time.
    let short_ids = reader.arrays::<ShortId, 6>("short ids", MAX_BLOCK_TRANSACTIONS)?;
    let room = MAX_BLOCK_TRANSACTIONS - short_ids.len();
    let prefilled_txs =
        reader.list::<PrefilledTransaction>("prefilled transactions", room, MIN_PREFILLED_BYTES)?;
    Ok(HeaderAndShortIds {
        header,
        nonce,
        short_ids,
        prefilled_txs,
    })
}
