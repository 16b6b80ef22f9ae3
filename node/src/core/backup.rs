//! Copying the chain of a running node.

use std::path::Path;

use chain::backup::{BackupError, Manifest};

use super::{NodeCore, Output};

impl NodeCore {
    /// Copies the chain as it is now to a new directory, with a manifest. Nothing is taken meanwhile.
    ///
    /// # Errors
    ///
    /// When the directory holds a chain already, or reading or writing fails. A failure of the node's own storage is fatal as
    /// everywhere.
    pub fn backup(&mut self, dir: &Path, out: &mut Vec<Output>) -> Result<Manifest, BackupError> {
        self.check_writable()?;
        chain::backup::backup(&mut self.chain, dir).map_err(|error| match error {
            BackupError::Store(error) => self.fail_with(error, out).into(),
            other => other,
        })
    }
}
