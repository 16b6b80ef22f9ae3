//! The file of known peers.

use crate::{DataDir, NodeHandle, write_atomically};

/// The peer book as it was saved; `None` if there is none. A file that cannot be read is told and passed over: peers are
/// found again.
pub fn load(data_dir: &DataDir) -> Option<String> {
    let path = data_dir.peers_file();
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "known peers cannot be read");
            None
        }
    }
}

/// Saves the peer book now.
pub(crate) fn save(node: &NodeHandle, text: &str) {
    let path = node.data_dir().peers_file();
    if let Err(error) = write_atomically(&path, text.as_bytes()) {
        tracing::warn!(path = %path.display(), %error, "known peers cannot be saved");
    }
}
