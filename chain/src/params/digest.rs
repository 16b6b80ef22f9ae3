//! [`NetworkDigest`]: the name that two nodes compare.

use std::fmt;

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::DisplayHex;

use super::{AsertAnchor, DifficultyRule, Params, PowParams, SubsidyParams};

/// What the hashed bytes begin with. Change it when the rules that all networks share change.
const TAG: &[u8] = b"mend network rules 1\n";

/// SHA-256 over everything in the parameters that decides validity. It names the network in every protocol id and in
/// the database. The network's name is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkDigest(pub [u8; 32]);

impl NetworkDigest {
    /// Digest of `params`, whose own `digest` is not read.
    pub(crate) fn of(params: &Params) -> NetworkDigest {
        NetworkDigest(sha256::Hash::hash(&canonical_bytes(params)).to_byte_array())
    }

    /// The first 16 hex digits: enough for a protocol id.
    #[must_use]
    pub fn short(&self) -> String {
        self.0[..8].to_lower_hex_string()
    }
}

impl fmt::Display for NetworkDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_lower_hex_string())
    }
}

/// All fields that decide validity, in this order, integers little-endian and of fixed width. Every struct is taken apart, so that a new
/// field has to choose.
fn canonical_bytes(params: &Params) -> Vec<u8> {
    let Params {
        name: _,
        genesis,
        genesis_hash: _,
        digest: _,
        pow:
            PowParams {
                difficulty,
                limit,
                limit_bits,
                spacing_s,
            },
        subsidy: SubsidyParams {
            initial,
            halving_interval,
        },
        coinbase_maturity,
        bip34_height,
        max_block_weight,
        max_future_s,
        forbid_64_byte_transactions,
    } = params;
    let mut bytes = TAG.to_vec();
    bytes.extend(serialize(genesis));
    match difficulty {
        DifficultyRule::Fixed => bytes.push(0),
        DifficultyRule::Asert {
            half_life_s,
            anchor,
        } => {
            bytes.push(match anchor {
                AsertAnchor::Genesis => 1,
                AsertAnchor::FirstBlock => 2,
            });
            bytes.extend(half_life_s.to_le_bytes());
        }
        DifficultyRule::Ema { half_life_s } => {
            bytes.push(3);
            bytes.extend(half_life_s.to_le_bytes());
        }
    }
    bytes.extend(limit.to_le_bytes());
    bytes.extend(limit_bits.to_consensus().to_le_bytes());
    bytes.extend(spacing_s.to_le_bytes());
    bytes.extend(initial.to_sat().to_le_bytes());
    bytes.extend(halving_interval.to_le_bytes());
    bytes.extend(coinbase_maturity.to_le_bytes());
    bytes.extend(bip34_height.0.to_le_bytes());
    bytes.extend(max_block_weight.to_wu().to_le_bytes());
    bytes.extend(max_future_s.to_le_bytes());
    bytes.push(u8::from(*forbid_64_byte_transactions));
    bytes
}
