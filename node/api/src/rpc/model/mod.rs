//! Results as Bitcoin Core writes them: names, order and form of fields.

pub mod block;
pub mod descriptor;
pub mod script;
pub mod transaction;

use bitcoin::{Amount, CompactTarget, SignedAmount, Target, Work};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount in BTC as a JSON number with eight digits, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Btc(pub Amount);

/// A difference of amounts in BTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBtc(pub SignedAmount);

impl Btc {
    /// A number of satoshis.
    pub fn from_sat(sat: u64) -> Btc {
        Btc(Amount::from_sat(sat))
    }
}

impl Serialize for Btc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number("", self.0.to_sat(), serializer)
    }
}

impl Serialize for SignedBtc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if self.0.is_negative() { "-" } else { "" };
        number(sign, self.0.to_sat().unsigned_abs(), serializer)
    }
}

/// A float would lose the digits and turn 1000 sat into 1e-5.
fn number<S: Serializer>(sign: &str, sat: u64, serializer: S) -> Result<S::Ok, S::Error> {
    let text = format!("{sign}{}.{:08}", sat / 100_000_000, sat % 100_000_000);
    RawValue::from_string(text)
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

/// How many times harder than difficulty 1 a target is; the very float that Bitcoin Core's `GetDifficulty` gives.
pub fn difficulty(bits: CompactTarget) -> f64 {
    let bits = bits.to_consensus();
    let mantissa = f64::from(bits & 0x00ff_ffff);
    let mut difficulty = f64::from(0xffff_u32) / mantissa;
    for _ in bits >> 24..29 {
        difficulty *= 256.0;
    }
    for _ in 29..bits >> 24 {
        difficulty /= 256.0;
    }
    difficulty
}

/// Work as 64 hex digits.
pub fn work_hex(work: Work) -> String {
    format!("{work:064x}")
}

/// Work as a number; exact up to 2^53.
pub fn work_float(work: Work) -> f64 {
    let bytes = work.to_be_bytes();
    bytes
        .iter()
        .fold(0.0, |sum, &byte| sum * 256.0 + f64::from(byte))
}

/// Bits as 8 hex digits.
pub fn bits_hex(bits: CompactTarget) -> String {
    format!("{:08x}", bits.to_consensus())
}

/// A target as 64 hex digits, big end first.
pub fn target_hex(bits: CompactTarget) -> String {
    format!("{:064x}", Target::from_compact(bits))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn amounts_have_eight_digits() {
        let text = |sat| serde_json::to_string(&Btc::from_sat(sat)).expect("written");
        assert_eq!(text(0), "0.00000000");
        assert_eq!(text(1_000), "0.00001000");
        assert_eq!(text(5_000_000_000), "50.00000000");
        let negative = SignedBtc(SignedAmount::from_sat(-5));
        assert_eq!(
            serde_json::to_string(&negative).expect("written"),
            "-0.00000005"
        );
    }

    #[test]
    fn difficulty_work_and_target_are_bitcoin_cores() {
        let regtest = CompactTarget::from_consensus(0x207f_ffff);
        assert_eq!(difficulty(regtest), 4.656_542_373_906_924_7e-10);
        assert_eq!(difficulty(CompactTarget::from_consensus(0x1d00_ffff)), 1.0);
        let target = format!("7fffff{}", "0".repeat(58));
        assert_eq!(target_hex(regtest), target);
        let work = Target::from_compact(regtest).to_work();
        assert_eq!(work_hex(work), format!("{}2", "0".repeat(63)));
        assert_eq!(work_float(work), 2.0);
    }
}
