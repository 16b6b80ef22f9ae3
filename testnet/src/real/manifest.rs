//! `testnet.json`: what a tool needs to find nodes and money.

#[cfg(unix)]
use std::fs::Permissions;
use std::io::Write as _;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout::TEMPORARY_PREFIX;
use super::{LabError, NodeState};

/// The list of a testnet's nodes, links and accounts. Rewritten whenever one of them changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The network's name.
    pub name: String,
    /// Process id of the supervisor.
    pub supervisor_pid: u32,
    /// Path of the network's `genesis.json`.
    pub genesis: PathBuf,
    /// Hash of block 0.
    pub genesis_hash: String,
    /// Nodes by number.
    pub nodes: Vec<NodeEntry>,
    /// Links, each with its proxy.
    pub links: Vec<LinkEntry>,
    /// BIP 39 phrase of the accounts. Known to everybody: worthless outside of this testnet.
    pub words: String,
    /// Funded accounts.
    pub accounts: Vec<AccountEntry>,
    /// Where other programs find the testnet by HTTP, if it serves that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpEntry>,
}

/// The testnet's own HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpEntry {
    /// Its URL, without a slash at the end. `/1` below it is what regtest-client takes as its `APIURL`.
    pub url: String,
    /// The account that the faucet pays from.
    pub faucet_account: u32,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Its number.
    pub index: usize,
    /// Up, paused or down.
    pub state: NodeState,
    /// URL of its RPC.
    pub rpc: String,
    /// Its cookie file.
    pub cookie: PathBuf,
    /// Multiaddresses that it listens on.
    pub listen: Vec<String>,
    /// Its libp2p identity.
    pub peer_id: String,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// Its process id, if it is running.
    pub pid: Option<u32>,
    /// Hashes per second of its own miner; 0: it does not mine.
    pub mining: u64,
    /// Where its miner is paid.
    pub address: String,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkEntry {
    /// The node that dials.
    pub from: usize,
    /// The node that is dialled.
    pub to: usize,
    /// Multiaddress of the proxy between them.
    pub proxy: String,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountEntry {
    /// Its number.
    pub index: u32,
    /// P2TR address.
    pub address: String,
    /// P2WPKH address for miners that know no P2TR.
    pub segwit_address: String,
    /// BIP 86 path.
    pub derivation: String,
    /// What genesis gave it, in satoshi.
    pub funded_sat: u64,
}

impl Manifest {
    /// Writes the file as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(self).expect("plain data is always JSON");
        write_whole(path, &(text + "\n"))
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] when no testnet runs there.
    pub fn read(path: &Path) -> Result<Manifest, LabError> {
        let text = std::fs::read_to_string(path).map_err(|error| LabError::io(path, &error))?;
        serde_json::from_str(&text).map_err(|error| LabError::Io {
            what: path.display().to_string(),
            problem: error.to_string(),
        })
    }
}

/// Writes beside the file, then renames. Two at once do not get in each other's way.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), LabError> {
    replace(path, text, 0o666).map_err(|error| LabError::io(path, &error))
}

/// As [`write_whole`]. Only the owner can read the file.
pub(super) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    replace(path, text, 0o600)
}

/// `mode` are the permissions of the new file, before the user's mask.
fn replace(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let directory = path.parent().expect("a file stands in a directory");
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    let permissions: Permissions = PermissionsExt::from_mode(mode);
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_writers_at_once_all_succeed_and_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("testnet.json");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_whole(path, &writer.to_string().repeat(1_000)).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read(&path).unwrap().len(), 1_000);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
