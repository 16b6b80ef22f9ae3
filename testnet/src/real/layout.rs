//! Where a testnet keeps its files.

use std::path::{Path, PathBuf};

use super::LabError;

const SUPERVISOR_LOG: &str = "supervisor.log";

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

    /// The network's parameters. Also the mark of a directory that belongs to the lab.
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

    /// Makes the directory ready for a fresh testnet: what an earlier one left there is removed.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] when the directory holds anything that no testnet has made.
    pub fn prepare(&self) -> Result<(), LabError> {
        let io = |error: std::io::Error| LabError::io(&self.0, &error);
        std::fs::create_dir_all(&self.0).map_err(io)?;
        let ours = self.genesis().exists();
        for entry in std::fs::read_dir(&self.0).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != SUPERVISOR_LOG && (!ours || !is_ours(&name)) {
                return Err(LabError::Refused(format!(
                    "{} holds {name}, which no testnet made; choose another --dir",
                    self.0.display()
                )));
            }
        }
        for entry in std::fs::read_dir(&self.0).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name() == SUPERVISOR_LOG {
                // It may be what this process writes to.
                continue;
            }
            if entry.file_type().map_err(io)?.is_dir() {
                std::fs::remove_dir_all(entry.path()).map_err(io)?;
            } else {
                std::fs::remove_file(entry.path()).map_err(io)?;
            }
        }
        Ok(())
    }
}

fn is_ours(name: &str) -> bool {
    let known = [
        "testnet.json",
        "control.json",
        "genesis.json",
        "heal-report.json",
        "testnet.json.tmp",
        "control.json.tmp",
    ];
    let node = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    known.contains(&name)
        || name
            .strip_prefix("node")
            .is_some_and(|rest| node(rest.strip_suffix(".log").unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_files_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        layout.prepare().unwrap();
        std::fs::write(layout.genesis(), "{}").unwrap();
        std::fs::create_dir_all(layout.node_data(3)).unwrap();
        std::fs::write(layout.node_log(3), "log").unwrap();
        layout.prepare().unwrap();
        assert!(!layout.node_data(3).exists());

        std::fs::write(layout.genesis(), "{}").unwrap();
        std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        let error = layout.prepare().unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        assert!(dir.path().join("thesis.tex").exists() && layout.genesis().exists());
    }

    #[test]
    fn a_genesis_file_of_somebody_else_is_not_a_testnet() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("nodes")).unwrap();
        assert!(Layout::new(dir.path()).prepare().is_err());
    }
}
