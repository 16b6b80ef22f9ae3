//! The file of the mempool, `mempool.dat`: written at a clean stop, every minute if something changed, and when asked for; read again
//! at the start.
//!
//! It is Bitcoin Core's format ([`node_core::mempool::dump`]). Whatever is wrong with it costs unconfirmed transactions and nothing else: that is
//! told, and the node goes on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcoin::Transaction;
use chain::Timestamp;
use node_core::mempool::dump::{self, DumpError};
use node_core::mempool::{EXPIRY_S, MempoolError};

use crate::{NodeHandle, write_atomically};

/// The file's name in the data directory.
pub const MEMPOOL_FILE_NAME: &str = "mempool.dat";

/// How long loading waits for the chain to be connected, each time.
const CHAIN_PAUSE: Duration = Duration::from_millis(20);

/// What is known of the file.
#[derive(Debug)]
pub(crate) struct MempoolFile {
    /// Whether it is read and written at all, unless asked for.
    kept: bool,
    loaded: AtomicBool,
    /// The mempool's sequence number when it was last written.
    saved: AtomicU64,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl MempoolFile {
    pub(crate) fn new(kept: bool) -> MempoolFile {
        MempoolFile {
            kept,
            loaded: AtomicBool::new(!kept),
            saved: AtomicU64::new(0),
            writing: Mutex::new(()),
        }
    }
}

/// What came of reading transactions from a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedTransactions {
    /// They are in the mempool now.
    pub taken: usize,
    /// They were there before.
    pub known: usize,
    /// They waited too long.
    pub expired: usize,
    /// They break a rule or the policy, or their inputs are gone.
    pub refused: usize,
}

/// Why a file of transactions was not read.
#[derive(Debug, thiserror::Error)]
pub enum ImportMempoolError {
    /// It cannot be read.
    #[error("{path}: {error}; check the path")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is no dump of a mempool.
    #[error("{path}: {error}; it is damaged or another kind of file")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: DumpError,
    },
    /// Storage failed, or the node stops.
    #[error("the node takes no transactions any more")]
    Stopping,
}

impl NodeHandle {
    /// Whether transactions that were saved have been read, if they are to be.
    pub fn is_mempool_loaded(&self) -> bool {
        self.inner.mempool_file.loaded.load(Ordering::Acquire)
    }

    /// Starts reading the saved transactions, on a thread of its own: it begins when the chain is connected.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn start_loading_mempool(&self) -> std::io::Result<()> {
        if self.is_mempool_loaded() {
            return Ok(());
        }
        let node = self.clone();
        let builder = std::thread::Builder::new().name("mempool".to_owned());
        builder.spawn(move || node.load_mempool()).map(drop)
    }

    fn load_mempool(&self) {
        while self.read(|core| core.is_connecting()) {
            if self.stop().is_pressed() {
                return;
            }
            std::thread::sleep(CHAIN_PAUSE);
        }
        let path = self.mempool_file();
        let read = if path.exists() {
            self.import_mempool(&path, false)
        } else {
            Ok(ImportedTransactions::default())
        };
        match read {
            Ok(read) => tracing::info!(
                taken = read.taken,
                known = read.known,
                expired = read.expired,
                refused = read.refused,
                "saved transactions were read"
            ),
            // Not finished: what is saved stays.
            Err(ImportMempoolError::Stopping) => return,
            Err(error) => tracing::warn!(%error, "saved transactions cannot be read"),
        }
        self.inner
            .mempool_file
            .loaded
            .store(true, Ordering::Release);
    }

    /// Takes the transactions of a file, ours or Bitcoin Core's. Nobody is told of them: who has none asks. With `as_new` they count as
    /// having come now.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or the node stops.
    pub fn import_mempool(
        &self,
        path: &Path,
        as_new: bool,
    ) -> Result<ImportedTransactions, ImportMempoolError> {
        let bytes = std::fs::read(path).map_err(|error| ImportMempoolError::Io {
            path: path.to_owned(),
            error,
        })?;
        let dump = dump::decode(&bytes).map_err(|error| ImportMempoolError::Malformed {
            path: path.to_owned(),
            error,
        })?;
        let mut read = ImportedTransactions::default();
        let mut refused = Vec::new();
        for dumped in dump {
            let now = self.now().wall;
            let time = if as_new { now } else { dumped.time.min(now) };
            if time.saturating_add_secs(EXPIRY_S) < now {
                read.expired += 1;
                continue;
            }
            if !self.restore(&dumped.transaction, time, &mut read)? {
                refused.push((dumped.transaction, time));
            }
        }
        self.restore_with_parents(refused, &mut read)?;
        Ok(read)
    }

    /// Takes one transaction of a file. `false`: it is refused, and not counted.
    fn restore(
        &self,
        transaction: &Arc<Transaction>,
        time: Timestamp,
        read: &mut ImportedTransactions,
    ) -> Result<bool, ImportMempoolError> {
        if self.stop().is_pressed() {
            return Err(ImportMempoolError::Stopping);
        }
        let transaction = Arc::clone(transaction);
        let taken =
            self.act(|core, now, out| core.restore_transaction(now, transaction, time, out));
        match taken {
            Ok(_) => read.taken += 1,
            Err(MempoolError::AlreadyHere(_)) => read.known += 1,
            Err(MempoolError::Store(_)) => return Err(ImportMempoolError::Stopping),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Takes what was refused after its parents: a crash in the middle of a reorganisation leaves these in blocks beside the chain.
    fn restore_with_parents(
        &self,
        refused: Vec<(Arc<Transaction>, Timestamp)>,
        read: &mut ImportedTransactions,
    ) -> Result<(), ImportMempoolError> {
        if refused.is_empty() {
            return Ok(());
        }
        let children: Vec<_> = refused.iter().map(|(child, _)| Arc::clone(child)).collect();
        let parents = self
            .read(|core| core.parents_beside_chain(&children))
            .map_err(|_| ImportMempoolError::Stopping)?;
        let again = !parents.is_empty();
        for parent in parents {
            self.restore(&parent, self.now().wall, read)?;
        }
        for (child, time) in refused {
            if !(again && self.restore(&child, time, read)?) {
                read.refused += 1;
            }
        }
        Ok(())
    }

    /// Writes the mempool to its file, now.
    ///
    /// # Errors
    ///
    /// As the system says. The file is then as it was.
    pub fn save_mempool(&self) -> std::io::Result<PathBuf> {
        let file = &self.inner.mempool_file;
        let _writing = file.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (dump, sequence) = self.read(|core| {
            let pool = core.mempool();
            (pool.dump(), pool.sequence())
        });
        let path = self.mempool_file();
        write_atomically(&path, &dump::encode(&dump))?;
        file.saved.store(sequence, Ordering::Relaxed);
        Ok(path)
    }

    /// Writes the mempool if it is to be kept, was read and has changed. What goes wrong is told.
    pub(crate) fn save_changed_mempool(&self) {
        let file = &self.inner.mempool_file;
        let sequence = self.read(|core| core.mempool().sequence());
        let is_due = file.kept && self.is_mempool_loaded();
        if is_due
            && file.saved.load(Ordering::Relaxed) != sequence
            && let Err(error) = self.save_mempool()
        {
            let path = self.mempool_file();
            tracing::warn!(path = %path.display(), %error, "the mempool cannot be saved");
        }
    }

    fn mempool_file(&self) -> PathBuf {
        self.data_dir().path().join(MEMPOOL_FILE_NAME)
    }
}
