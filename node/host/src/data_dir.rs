//! [`DataDir`]: the files of one node and how they are written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use bitcoin::hex::DisplayHex;
use chain::new_file::sync_directory;
use chain::store::DirectoryLock;

/// The user that the cookie file names.
pub const COOKIE_USER: &str = "__cookie__";

/// The folder of one node, which belongs to this process for as long as a copy of this lives.
#[derive(Clone, Debug)]
pub struct DataDir {
    lock: DirectoryLock,
}

/// Files that exist only while the node runs. Dropping it removes them.
#[derive(Debug)]
pub struct RuntimeFile {
    path: PathBuf,
}

impl DataDir {
    /// The folder at `path`, made if absent, and locked: nothing in it is touched before.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or belongs to another process.
    pub fn create(path: &Path) -> anyhow::Result<DataDir> {
        Ok(DataDir {
            lock: DirectoryLock::acquire(path)?,
        })
    }

    /// The right to the folder.
    pub fn lock(&self) -> DirectoryLock {
        self.lock.clone()
    }

    /// `~/.mend/NETWORK`, or `.mend/NETWORK` here if there is no home.
    pub fn default_path(network: &str) -> PathBuf {
        let home = std::env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from);
        home.join(".mend").join(network)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.lock.dir()
    }

    /// The node's identity on the network.
    pub fn key_file(&self) -> PathBuf {
        self.path().join("node.key")
    }

    /// Known peers.
    pub fn peers_file(&self) -> PathBuf {
        self.path().join("peers.json")
    }

    /// Writes a new cookie and gives its password. Others cannot read it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_cookie(&self) -> anyhow::Result<(RuntimeFile, String)> {
        let password = rand::random::<[u8; 32]>().to_lower_hex_string();
        let text = format!("{COOKIE_USER}:{password}");
        let file = self.write_runtime_file(".cookie", text.as_bytes())?;
        Ok((file, password))
    }

    /// Writes a file that is removed when the node stops.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_runtime_file(&self, name: &str, bytes: &[u8]) -> anyhow::Result<RuntimeFile> {
        let path = self.path().join(name);
        write_atomically(&path, bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(RuntimeFile { path })
    }
}

impl RuntimeFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RuntimeFile {
    fn drop(&mut self) {
        // It may be gone already; there is nothing left to do about it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file that only its owner may read, so that a reader sees the old content or the new one, also after the power fails.
///
/// # Errors
///
/// As the system says.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    // A left-over may have other rights.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => sync_directory(dir),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_private_and_goes_with_the_node() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = DataDir::create(&folder.path().join("a/b")).expect("made");
        let (cookie, password) = dir.write_cookie().expect("written");
        let text = fs::read_to_string(cookie.path()).expect("readable");
        assert_eq!(text, format!("__cookie__:{password}"));
        assert_eq!(password.len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(cookie.path()).expect("there").permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
        let (again, other) = dir.write_cookie().expect("written");
        assert_ne!(password, other);
        drop(again);
        assert!(!cookie.path().exists());
        let files: Vec<_> = fs::read_dir(dir.path()).expect("there").collect();
        assert_eq!(files.len(), 1, "the lock stays: {files:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "x").expect("written");
        let error = DataDir::create(&file.join("dir")).expect_err("refused");
        assert!(error.to_string().contains("--data-dir"));
    }
}
