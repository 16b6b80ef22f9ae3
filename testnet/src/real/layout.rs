//! Where a testnet keeps its files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::LabError;

const SUPERVISOR_LOG: &str = "supervisor.log";
/// The mark of a directory that the lab made. Only under it anything is ever deleted; whoever runs the testnet holds a lock on it.
const MARKER: &str = ".mend-testnet";
const MARKER_TEXT: &str = "A testnet of Mend lives here. `mend testnet up` removes what an earlier one left in this folder.\n";

/// How files begin that are being written. Only a process that was killed leaves one behind.
pub(super) const TEMPORARY_PREFIX: &str = ".mend-tmp-";

/// The directory of one testnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(PathBuf);

impl Layout {
    /// The testnet in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Layout {
        Layout(dir.into())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The list of nodes, links and accounts, for tools. There while the testnet runs.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("testnet.json")
    }

    /// Address and token of the supervisor, for the lab's own commands. There while the testnet runs; mode 0600.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.json")
    }

    /// The network's parameters.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// The report of the last heal.
    pub fn heal_report(&self) -> PathBuf {
        self.0.join("heal-report.json")
    }

    /// What the supervisor prints when it runs in the background.
    pub fn supervisor_log(&self) -> PathBuf {
        self.0.join(SUPERVISOR_LOG)
    }

    /// The data directory of a node.
    pub fn node_data(&self, node: usize) -> PathBuf {
        self.0.join(format!("node{node}"))
    }

    /// The log of a node.
    pub fn node_log(&self, node: usize) -> PathBuf {
        self.0.join(format!("node{node}.log"))
    }

    /// Whether a fresh testnet may be made here. Nothing is changed.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] when a testnet runs here, or when the directory holds anything that no testnet has made.
    pub fn check(&self) -> Result<(), LabError> {
        let io = |error: std::io::Error| LabError::io(&self.0, &error);
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io)?,
        };
        let is_marked = self.marker().is_file();
        if is_marked {
            self.lock(OpenOptions::new().read(true).write(true))?;
        }
        for entry in entries {
            let name = entry
                .map_err(io)?
                .file_name()
                .to_string_lossy()
                .into_owned();
            if !is_marked || !is_ours(&name) {
                return Err(LabError::Refused(format!(
                    "{} holds {name}, which no testnet made; choose another --dir",
                    self.0.display()
                )));
            }
        }
        Ok(())
    }

    /// Makes the directory ready for a fresh testnet, and keeps others from it: what an earlier testnet left there is removed.
    ///
    /// # Errors
    ///
    /// As [`Layout::check`]; nothing is removed then.
    pub fn prepare(&self) -> Result<Claim, LabError> {
        self.check()?;
        let io = |error: std::io::Error| LabError::io(&self.0, &error);
        std::fs::create_dir_all(&self.0).map_err(io)?;
        let mut marker = self.lock(OpenOptions::new().create(true).append(true).read(true))?;
        if marker.metadata().map_err(io)?.len() == 0 {
            marker.write_all(MARKER_TEXT.as_bytes()).map_err(io)?;
        }
        for entry in std::fs::read_dir(&self.0).map_err(io)? {
            let entry = entry.map_err(io)?;
            // The log may be what this process writes to.
            if entry.file_name() == SUPERVISOR_LOG || entry.file_name() == MARKER {
                continue;
            }
            if entry.file_type().map_err(io)?.is_dir() {
                std::fs::remove_dir_all(entry.path()).map_err(io)?;
            } else {
                std::fs::remove_file(entry.path()).map_err(io)?;
            }
        }
        Ok(Claim { _marker: marker })
    }

    /// Marks the directory as the lab's, before anything else is written into it.
    ///
    /// # Errors
    ///
    /// As [`Layout::check`].
    pub fn mark(&self) -> Result<(), LabError> {
        self.check()?;
        let io = |error: std::io::Error| LabError::io(&self.0, &error);
        std::fs::create_dir_all(&self.0).map_err(io)?;
        if !self.marker().exists() {
            std::fs::write(self.marker(), MARKER_TEXT).map_err(io)?;
        }
        Ok(())
    }

    fn marker(&self) -> PathBuf {
        self.0.join(MARKER)
    }

    fn lock(&self, how: &OpenOptions) -> Result<File, LabError> {
        let io = |error: std::io::Error| LabError::io(&self.0, &error);
        let marker = how.open(self.marker()).map_err(io)?;
        match marker.try_lock() {
            Ok(()) => Ok(marker),
            Err(TryLockError::WouldBlock) => Err(LabError::Refused(format!(
                "a testnet runs in {} already; end it by `mend testnet down`, or choose another --dir",
                self.0.display()
            ))),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }
}

/// A directory that is this process's own for as long as this lives.
#[derive(Debug)]
pub struct Claim {
    _marker: File,
}

fn is_ours(name: &str) -> bool {
    let known = [
        MARKER,
        SUPERVISOR_LOG,
        "testnet.json",
        "control.json",
        "genesis.json",
        "heal-report.json",
    ];
    let node = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    known.contains(&name)
        || name.starts_with(TEMPORARY_PREFIX)
        || name
            .strip_prefix("node")
            .is_some_and(|rest| node(rest.strip_suffix(".log").unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(layout: &Layout) -> String {
        layout.prepare().unwrap_err().to_string()
    }

    #[test]
    fn what_an_earlier_testnet_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        drop(layout.prepare().unwrap());
        std::fs::write(layout.genesis(), "{}").unwrap();
        std::fs::create_dir_all(layout.node_data(3)).unwrap();
        std::fs::write(layout.node_log(3), "log").unwrap();
        drop(layout.prepare().unwrap());
        assert!(!layout.node_data(3).exists());

        std::fs::write(layout.genesis(), "{}").unwrap();
        std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        let error = refusal(&layout);
        assert!(error.contains("thesis.tex"), "{error}");
        assert!(dir.path().join("thesis.tex").exists() && layout.genesis().exists());
    }

    #[test]
    fn a_folder_that_looks_like_a_testnet_and_is_none_is_left_alone() {
        // As `mend node --genesis genesis.json --data-dir node` leaves it.
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::write(layout.genesis(), "{}").unwrap();
        let data = dir.path().join("node");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("chain.redb"), "blocks").unwrap();
        refusal(&layout);
        assert!(layout.mark().is_err());
        assert!(data.join("chain.redb").exists() && layout.genesis().exists());
        assert!(!dir.path().join(MARKER).exists());

        // `node` without a number is no node of a testnet either.
        let marked = Layout::new(dir.path().join("marked"));
        marked.mark().unwrap();
        std::fs::create_dir(marked.root().join("node")).unwrap();
        let error = refusal(&marked);
        assert!(error.contains("node"), "{error}");
    }

    #[test]
    fn a_testnet_that_runs_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let claim = layout.prepare().unwrap();
        std::fs::write(layout.genesis(), "{}").unwrap();
        let error = refusal(&layout);
        assert!(error.contains("runs in"), "{error}");
        assert!(layout.genesis().exists());
        drop(claim);
        layout.prepare().unwrap();
        assert!(!layout.genesis().exists());
    }
}
