//! The file of known peers.

use std::time::{Duration, Instant};

use super::{DataDir, NodeHandle, write_atomically};

/// A change of the peer book waits so long for more, since a lost one is harmless.
const SAVE_PAUSE: Duration = Duration::from_secs(10);

/// The peer book as it was saved; `None` if there is none. A file that cannot be read is told and passed over: peers are
/// found again.
pub(super) fn load(data_dir: &DataDir) -> Option<String> {
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

/// Saves the peer book from time to time.
#[derive(Debug, Default)]
pub(super) struct Saver {
    saved_changes: u64,
    next: Option<Instant>,
}

impl Saver {
    /// Saves the book if it changed and the last time is long enough ago.
    pub(super) fn save_if_changed(&mut self, node: &NodeHandle) {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + SAVE_PAUSE);
        let saved = self.saved_changes;
        let changed = node.read(|core| {
            let changes = core.book_changes();
            (changes != saved).then(|| (changes, core.book_json()))
        });
        if let Some((changes, text)) = changed {
            save(node, &text);
            self.saved_changes = changes;
        }
    }
}

/// Saves the peer book now.
pub(super) fn save(node: &NodeHandle, text: &str) {
    let path = node.data_dir().peers_file();
    if let Err(error) = write_atomically(&path, text.as_bytes()) {
        tracing::warn!(path = %path.display(), %error, "known peers cannot be saved");
    }
}
