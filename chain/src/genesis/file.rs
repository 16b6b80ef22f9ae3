//! The text form of a network: `genesis.json`.

use std::fmt;
use std::str::FromStr;

use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::GenesisError;

/// A `genesis.json`, parsed but not verified. Unknown, missing and repeated keys are refused on parsing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// What people call the network: 1 to 32 letters, digits and dashes.
    pub name: String,
    /// Block 0.
    pub genesis: GenesisSection,
    /// Coins that exist from the start: outputs of the second transaction of block 0.
    #[serde(default)]
    pub allocations: Vec<Allocation>,
    /// Proof of work.
    pub pow: PowSection,
    /// New coins.
    pub subsidy: SubsidySection,
    /// Blocks that must follow before a coinbase output may be spent.
    pub coinbase_maturity: u32,
    /// First height at which the coinbase must commit to its height (BIP 34).
    pub bip34_height: u32,
    /// Largest weight of a block, in weight units.
    pub max_block_weight: u64,
    /// How far ahead of our clock a header's time may lie, in seconds.
    pub max_future_s: u32,
}

/// Block 0: its header, and the message in its coinbase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisSection {
    /// Text in the coinbase's script, 4 to 75 bytes.
    pub message: String,
    /// Header version.
    pub version: i32,
    /// Unix seconds.
    pub time: u32,
    /// Compact target.
    pub bits: HexBits,
    /// What the proof of work found.
    pub nonce: u32,
    /// Must be the root of the transactions that the rest of the file describes.
    pub merkle_root: TxMerkleNode,
    /// Must be the hash of the header.
    pub hash: BlockHash,
}

/// A coin that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Who may spend it: `bcrt1p...` (P2TR) or `bcrt1q...` (P2WPKH).
    pub address: String,
    /// Satoshis.
    pub amount_sat: u64,
}

/// Proof of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowSection {
    /// How the target follows the chain.
    pub algorithm: Algorithm,
    /// The easiest target that is allowed, in compact form.
    pub limit: HexBits,
    /// The wished time between blocks, in seconds.
    pub spacing_s: u32,
    /// EMA and ASERT: the time, in seconds, by which the chain must run ahead for the difficulty to double.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life_s: Option<u32>,
    /// ASERT only: where the schedule starts; genesis if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorName>,
}

/// How the target follows the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// A moving average by solve time; late blocks are eased.
    Ema,
    /// aserti3-2d.
    Asert,
    /// Every block has the bits of genesis.
    Fixed,
}

/// The block that an ASERT schedule is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorName {
    /// Block 0.
    Genesis,
    /// Block 1.
    FirstBlock,
}

/// New coins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubsidySection {
    /// Satoshis for each of the first `halving_interval` blocks.
    pub initial_sat: u64,
    /// Blocks between halvings; 0 means never.
    pub halving_interval: u32,
}

impl GenesisFile {
    /// Parses the text. [`GenesisFile::verify`] comes next.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] names the field, or the line if the text is no JSON.
    pub fn from_json(text: &str) -> Result<GenesisFile, GenesisError> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let file = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
            let field = match error.path().to_string() {
                path if path == "." => "file".to_owned(),
                path => path,
            };
            GenesisError::new(field, error.inner().to_string())
        })?;
        parser
            .end()
            .map_err(|error| GenesisError::new("file", error.to_string()))?;
        Ok(file)
    }

    /// The text, as `mend genesis new` writes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers are always JSON");
        text + "\n"
    }
}

/// A compact target that is written as eight hex digits: `1e7fffff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexBits(pub CompactTarget);

impl fmt::Display for HexBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for HexBits {
    type Err = String;

    fn from_str(text: &str) -> Result<HexBits, String> {
        let wrong = || format!("got {text:?}, expected eight hex digits such as \"1e7fffff\"");
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let bits = u32::from_str_radix(text, 16).map_err(|_| wrong())?;
        Ok(HexBits(CompactTarget::from_consensus(bits)))
    }
}

impl Serialize for HexBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HexBits, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
