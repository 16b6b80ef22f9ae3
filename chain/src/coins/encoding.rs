//! The compact form of coins on disk and in undo data.
//!
//! A coin is `varint(2 * height + coinbase)`, `varint(amount)`, and the script: one type byte and a bare program for the two
//! spendable types, else a length and the script. Varints are LEB128. A P2TR coin takes about 40 bytes.

use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};

use super::Coin;
use crate::units::Height;

/// Bytes of an outpoint as a key: txid, then the index big endian, so that key order is Bitcoin Core's order.
pub(crate) const OUTPOINT_BYTES: usize = 36;

const P2TR: u8 = 0;
const P2WPKH: u8 = 1;
const OTHER: u8 = 2;

/// What starts a P2TR output script: `OP_1` and a push of 32 bytes.
const P2TR_PREFIX: [u8; 2] = [0x51, 0x20];
/// What starts a P2WPKH output script: `OP_0` and a push of 20 bytes.
const P2WPKH_PREFIX: [u8; 2] = [0x00, 0x14];

/// The stored bytes are not what this program wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored coin cannot be decoded")]
pub(crate) struct BadCoin;

/// The key of a coin.
pub(crate) fn encode_outpoint(outpoint: &OutPoint) -> [u8; OUTPOINT_BYTES] {
    let mut key = [0; OUTPOINT_BYTES];
    key[..32].copy_from_slice(outpoint.txid.as_byte_array());
    key[32..].copy_from_slice(&outpoint.vout.to_be_bytes());
    key
}

/// The outpoint of a key.
pub(crate) fn decode_outpoint(key: &[u8; OUTPOINT_BYTES]) -> OutPoint {
    let (txid, vout) = key.split_at(32);
    OutPoint {
        txid: Txid::from_byte_array(txid.try_into().expect("32 bytes")),
        vout: u32::from_be_bytes(vout.try_into().expect("4 bytes")),
    }
}

/// A script with the common forms unpacked to their programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PackedScript {
    P2tr([u8; 32]),
    P2wpkh([u8; 20]),
    Other(Box<[u8]>),
}

impl PackedScript {
    pub(crate) fn pack(script: &[u8]) -> PackedScript {
        if let (34, Some(program)) = (script.len(), script.strip_prefix(&P2TR_PREFIX)) {
            PackedScript::P2tr(program.try_into().expect("32 bytes"))
        } else if let (22, Some(program)) = (script.len(), script.strip_prefix(&P2WPKH_PREFIX)) {
            PackedScript::P2wpkh(program.try_into().expect("20 bytes"))
        } else {
            PackedScript::Other(script.into())
        }
    }

    pub(crate) fn unpack(&self) -> ScriptBuf {
        let (prefix, program): ([u8; 2], &[u8]) = match self {
            PackedScript::P2tr(program) => (P2TR_PREFIX, program),
            PackedScript::P2wpkh(program) => (P2WPKH_PREFIX, program),
            PackedScript::Other(script) => return ScriptBuf::from_bytes(script.to_vec()),
        };
        let mut script = Vec::with_capacity(2 + program.len());
        script.extend_from_slice(&prefix);
        script.extend_from_slice(program);
        ScriptBuf::from_bytes(script)
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            PackedScript::Other(script) => script.len(),
            PackedScript::P2tr(_) | PackedScript::P2wpkh(_) => 0,
        }
    }
}

/// A coin as the cache holds it and as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedCoin {
    pub(crate) script: PackedScript,
    pub(crate) amount_sat: u64,
    /// `2 * height + coinbase`.
    pub(crate) height_and_coinbase: u32,
}

impl PackedCoin {
    pub(crate) fn new(output: &TxOut, height: Height, coinbase: bool) -> PackedCoin {
        PackedCoin {
            script: PackedScript::pack(output.script_pubkey.as_bytes()),
            amount_sat: output.value.to_sat(),
            height_and_coinbase: height.0 << 1 | u32::from(coinbase),
        }
    }

    pub(crate) fn pack(coin: &Coin) -> PackedCoin {
        PackedCoin::new(&coin.output, coin.height, coin.coinbase)
    }

    pub(crate) fn unpack(&self) -> Coin {
        Coin {
            output: TxOut {
                value: Amount::from_sat(self.amount_sat),
                script_pubkey: self.script.unpack(),
            },
            height: Height(self.height_and_coinbase >> 1),
            coinbase: self.height_and_coinbase & 1 == 1,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_varint(out, u64::from(self.height_and_coinbase));
        write_varint(out, self.amount_sat);
        match &self.script {
            PackedScript::P2tr(program) => {
                out.push(P2TR);
                out.extend_from_slice(program);
            }
            PackedScript::P2wpkh(program) => {
                out.push(P2WPKH);
                out.extend_from_slice(program);
            }
            PackedScript::Other(script) => {
                out.push(OTHER);
                write_varint(out, script.len() as u64);
                out.extend_from_slice(script);
            }
        }
    }

    /// Takes one coin off the front of `bytes`.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<PackedCoin, BadCoin> {
        let height_and_coinbase = u32::try_from(read_varint(bytes)?).map_err(|_| BadCoin)?;
        let amount_sat = read_varint(bytes)?;
        let script = match take(bytes, 1)?[0] {
            P2TR => PackedScript::P2tr(take(bytes, 32)?.try_into().expect("32 bytes")),
            P2WPKH => PackedScript::P2wpkh(take(bytes, 20)?.try_into().expect("20 bytes")),
            OTHER => {
                let length = usize::try_from(read_varint(bytes)?).map_err(|_| BadCoin)?;
                PackedScript::Other(take(bytes, length)?.into())
            }
            _ => return Err(BadCoin),
        };
        Ok(PackedCoin {
            script,
            amount_sat,
            height_and_coinbase,
        })
    }
}

/// Decodes a stored coin: all of `bytes`.
pub(crate) fn decode_coin(mut bytes: &[u8]) -> Result<PackedCoin, BadCoin> {
    let coin = PackedCoin::decode(&mut bytes)?;
    if bytes.is_empty() {
        Ok(coin)
    } else {
        Err(BadCoin)
    }
}

/// Encodes what a block spent, in input order.
pub(crate) fn encode_undo(coins: &[Coin]) -> Vec<u8> {
    let mut out = Vec::with_capacity(coins.len() * 42 + 4);
    write_varint(&mut out, coins.len() as u64);
    for coin in coins {
        PackedCoin::pack(coin).encode(&mut out);
    }
    out
}

/// Decodes what a block spent: all of `bytes`.
pub(crate) fn decode_undo(mut bytes: &[u8]) -> Result<Vec<Coin>, BadCoin> {
    let count = read_varint(&mut bytes)?;
    let mut coins = Vec::new();
    for _ in 0..count {
        coins.push(PackedCoin::decode(&mut bytes)?.unpack());
    }
    if bytes.is_empty() {
        Ok(coins)
    } else {
        Err(BadCoin)
    }
}

fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64, BadCoin> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return Err(BadCoin);
        }
        n |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(BadCoin)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], BadCoin> {
    let (head, tail) = bytes.split_at_checked(count).ok_or(BadCoin)?;
    *bytes = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coin() -> impl Strategy<Value = Coin> {
        let script = prop_oneof![
            any::<[u8; 32]>().prop_map(|program| [&P2TR_PREFIX[..], &program].concat()),
            any::<[u8; 20]>().prop_map(|program| [&P2WPKH_PREFIX[..], &program].concat()),
            proptest::collection::vec(any::<u8>(), 0..200),
        ];
        (script, any::<u64>(), 0..u32::MAX >> 1, any::<bool>()).prop_map(
            |(script, sat, height, coinbase)| Coin {
                output: TxOut {
                    value: Amount::from_sat(sat),
                    script_pubkey: ScriptBuf::from_bytes(script),
                },
                height: Height(height),
                coinbase,
            },
        )
    }

    proptest! {
        #[test]
        fn undo_data_comes_back(coins in proptest::collection::vec(coin(), 0..20)) {
            let bytes = encode_undo(&coins);
            prop_assert_eq!(decode_undo(&bytes), Ok(coins));
            prop_assert!(decode_undo(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_undo(&bytes);
            let _ = decode_coin(&bytes);
        }

        #[test]
        fn outpoint_keys_come_back(txid in any::<[u8; 32]>(), vout in any::<u32>()) {
            let outpoint = OutPoint { txid: Txid::from_byte_array(txid), vout };
            prop_assert_eq!(decode_outpoint(&encode_outpoint(&outpoint)), outpoint);
        }
    }

    #[test]
    fn a_taproot_coin_takes_about_forty_bytes() {
        let script = ScriptBuf::from_bytes([&P2TR_PREFIX[..], &[7; 32]].concat());
        let output = TxOut {
            value: Amount::from_sat(5_000_000_000),
            script_pubkey: script,
        };
        let mut bytes = Vec::new();
        PackedCoin::new(&output, Height(100), false).encode(&mut bytes);
        assert_eq!(bytes.len(), 40);
    }
}
