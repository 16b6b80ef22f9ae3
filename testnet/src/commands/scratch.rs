//! [`Scratch`]: a directory for one run, removed in the end unless somebody wants to look into it.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A directory of its own for a network that lives as long as one command.
pub(super) struct Scratch {
    path: PathBuf,
    keep: Cell<bool>,
}

impl Scratch {
    /// A fresh directory, named after the command.
    pub(super) fn new(command: &str, keep: bool) -> anyhow::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("mend-{command}-{}", std::process::id()));
        std::fs::create_dir(&path)
            .with_context(|| format!("cannot make {}; remove it if it is old", path.display()))?;
        Ok(Scratch {
            path,
            keep: Cell::new(keep),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it: its logs tell what went wrong.
    pub(super) fn keep_for_the_curious(&self) {
        self.keep.set(true);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep.get() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
