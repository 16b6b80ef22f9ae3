//! Reading the chain at leisure.

use chain::{FrozenChain, StoreError};

use super::{NodeCore, Output};

impl NodeCore {
    /// The chain as it is now, to be read while the node goes on: see [`chain::Chain::frozen`]. What is pending is committed first.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn frozen_chain(&mut self, out: &mut Vec<Output>) -> Result<FrozenChain, StoreError> {
        self.check_writable()?;
        match self.chain.frozen() {
            Ok(chain) => Ok(chain),
            Err(error) => Err(self.fail_with(error, out)),
        }
    }
}
