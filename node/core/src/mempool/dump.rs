//! The mempool as bytes, in the format of Bitcoin Core's `mempool.dat`.
//!
//! ```text
//! version                   8 bytes, little endian: 1, or 2 with a key
//! key                       version 2 only: a length of 8 and 8 bytes; all that follows is XORed with it, by place in the file
//! number of transactions    8 bytes, little endian
//! each: transaction with witnesses, time it came (8 bytes), change of its fee by the operator (8 bytes)
//! changed fees              compact number, then txid and change (8 bytes) of each
//! not yet broadcast         compact number, then txids
//! ```
//!
//! Written is version 1, which every Bitcoin Core and the tools around it read; read are both.

use std::sync::Arc;

use bitcoin::consensus::encode::{Decodable, Encodable, Error, VarInt};
use bitcoin::io::Read;
use bitcoin::{Transaction, Txid};
use chain::Timestamp;

use super::Mempool;

const PLAIN: u64 = 1;
const XORED: u64 = 2;
const KEY_BYTES: usize = 8;

/// One transaction of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// When it came.
    pub time: Timestamp,
}

/// Why bytes are no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The version is not known.
    #[error("version {0} is not known, expected 1 or 2")]
    Version(u64),
    /// Something cannot be decoded, or bytes are left over or missing.
    #[error("{0}")]
    Malformed(String),
}

impl From<Error> for DumpError {
    fn from(error: Error) -> DumpError {
        DumpError::Malformed(error.to_string())
    }
}

impl Mempool {
    /// All transactions, parents before their children, to be read again by [`decode`] after [`encode`].
    #[must_use]
    pub fn dump(&self) -> Vec<Dumped> {
        let mut entries: Vec<_> = self.entries().collect();
        // Whoever depends on another has more ancestors than that one.
        entries.sort_by_key(|entry| (entry.ancestors.count, entry.sequence));
        let dumped = entries.into_iter().map(|entry| Dumped {
            transaction: Arc::clone(&entry.transaction),
            time: entry.time,
        });
        dumped.collect()
    }
}

/// Writes a dump.
#[must_use]
pub fn encode(dump: &[Dumped]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |part: &dyn Fn(&mut Vec<u8>) -> Result<usize, bitcoin::io::Error>| {
        part(&mut bytes).expect("memory takes everything");
    };
    put(&|out| PLAIN.consensus_encode(out));
    put(&|out| (dump.len() as u64).consensus_encode(out));
    for Dumped { transaction, time } in dump {
        put(&|out| transaction.consensus_encode(out));
        put(&|out| i64::from(time.0).consensus_encode(out));
        put(&|out| 0_i64.consensus_encode(out));
    }
    // Nobody's fee was changed, and all were broadcast when they came.
    put(&|out| VarInt(0).consensus_encode(out));
    put(&|out| VarInt(0).consensus_encode(out));
    bytes
}

/// Reads a dump, ours or one of Bitcoin Core. Changes of fees are not kept.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<Vec<Dumped>, DumpError> {
    let mut rest = bytes;
    let key = match u64::consensus_decode(&mut rest)? {
        PLAIN => Vec::new(),
        XORED => Vec::<u8>::consensus_decode(&mut rest)?,
        version => return Err(DumpError::Version(version)),
    };
    if !key.is_empty() && key.len() != KEY_BYTES {
        let problem = format!("a key of {} bytes, expected {KEY_BYTES}", key.len());
        return Err(DumpError::Malformed(problem));
    }
    let mut reader = Xor {
        at: bytes.len() - rest.len(),
        rest,
        key: &key,
    };
    let count = u64::consensus_decode(&mut reader)?;
    let mut dump = Vec::new();
    for _ in 0..count {
        let transaction = Transaction::consensus_decode(&mut reader)?;
        let time = i64::consensus_decode(&mut reader)?;
        let _fee_change = i64::consensus_decode(&mut reader)?;
        dump.push(Dumped {
            transaction: Arc::new(transaction),
            time: Timestamp(u32::try_from(time.max(0)).unwrap_or(u32::MAX)),
        });
    }
    for _ in 0..VarInt::consensus_decode(&mut reader)?.0 {
        Txid::consensus_decode(&mut reader)?;
        i64::consensus_decode(&mut reader)?;
    }
    for _ in 0..VarInt::consensus_decode(&mut reader)?.0 {
        Txid::consensus_decode(&mut reader)?;
    }
    match reader.rest.len() {
        0 => Ok(dump),
        left => Err(DumpError::Malformed(format!("{left} bytes follow its end"))),
    }
}

/// Bytes that were XORed with a key, by their place in the file.
struct Xor<'a> {
    rest: &'a [u8],
    key: &'a [u8],
    at: usize,
}

impl Read for Xor<'_> {
    fn read(&mut self, out: &mut [u8]) -> bitcoin::io::Result<usize> {
        let count = self.rest.len().min(out.len());
        let (now, later) = self.rest.split_at(count);
        for (place, (byte, out)) in (self.at..).zip(now.iter().zip(out)) {
            let mask = self.key.get(place % KEY_BYTES).copied().unwrap_or(0);
            *out = byte ^ mask;
        }
        self.rest = later;
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::hex::FromHex;
    use bitcoin::{Amount, ScriptBuf, TxIn, TxOut, transaction};

    use super::*;

    fn sample() -> Vec<Dumped> {
        let transaction = |number: u32| Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::from_consensus(number),
            input: vec![TxIn {
                witness: bitcoin::Witness::from_slice(&[&[number as u8; 3]]),
                ..TxIn::default()
            }],
            output: vec![TxOut {
                value: Amount::from_sat(5),
                script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
            }],
        };
        let dumped = |number| Dumped {
            transaction: Arc::new(transaction(number)),
            time: Timestamp(1_700_000_000 + number),
        };
        (1..4).map(dumped).collect()
    }

    #[test]
    fn a_dump_is_read_again_plain_or_with_a_key() {
        let dump = sample();
        let plain = encode(&dump);
        assert_eq!(decode(&plain).expect("sound"), dump);
        assert_eq!(decode(&encode(&[])).expect("sound"), []);
        // As Bitcoin Core writes it by default: version 2, key, and all behind it XORed by its place in the file.
        let key = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut xored = XORED.to_le_bytes().to_vec();
        xored.push(8);
        xored.extend(key);
        for byte in &plain[8..] {
            xored.push(byte ^ key[xored.len() % 8]);
        }
        assert_eq!(decode(&xored).expect("sound"), dump);
    }

    #[test]
    fn an_empty_dump_of_core_is_what_core_writes() {
        let bytes = Vec::<u8>::from_hex("010000000000000000000000000000000000").expect("hex");
        assert_eq!(encode(&[]), bytes);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused_and_nothing_panics() {
        let whole = encode(&sample());
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
        let mut long = whole.clone();
        long.push(0);
        assert!(matches!(decode(&long), Err(DumpError::Malformed(_))));
        let mut newer = whole.clone();
        newer[0] = 3;
        assert!(matches!(decode(&newer), Err(DumpError::Version(3))));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&flipped);
        }
    }
}
