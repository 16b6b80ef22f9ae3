//! What makes a network: `genesis.json`, verified, as [`Params`].
//!
//! ```text
//! GenesisSpec --mine--> GenesisFile <--json--> genesis.json
//!                           |
//!                         verify --> Params (with its NetworkDigest)
//! ```

mod block;
mod error;
mod file;
mod presets;
mod spec;
mod verify;

#[cfg(test)]
mod tests;

use bitcoin::OutPoint;

use crate::coins::Coin;
use crate::params::Params;
use crate::script::is_unspendable;
use crate::units::Height;

pub use error::GenesisError;
pub use file::{
    Algorithm, Allocation, AnchorName, GenesisFile, GenesisSection, HexBits, PowSection,
    SubsidySection,
};
pub use spec::GenesisSpec;

impl Params {
    /// Parses and verifies a `genesis.json`.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] names the field that is wrong.
    pub fn from_json(text: &str) -> Result<Params, GenesisError> {
        GenesisFile::from_json(text)?.verify()
    }

    /// The coins that exist when only block 0 does: its allocations. The outputs of its coinbase never become coins.
    pub fn genesis_coins(&self) -> impl Iterator<Item = (OutPoint, Coin)> + '_ {
        self.genesis.txdata.iter().skip(1).flat_map(|tx| {
            let txid = tx.compute_txid();
            let spendable =
                |(_, output): &(usize, &bitcoin::TxOut)| !is_unspendable(&output.script_pubkey);
            tx.output
                .iter()
                .enumerate()
                .filter(spendable)
                .map(move |(vout, output)| {
                    let outpoint = OutPoint {
                        txid,
                        vout: vout as u32,
                    };
                    let coin = Coin {
                        output: output.clone(),
                        height: Height::GENESIS,
                        coinbase: false,
                    };
                    (outpoint, coin)
                })
        })
    }
}
