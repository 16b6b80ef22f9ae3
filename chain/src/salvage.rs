//! Opening a chain whose database may be damaged: what cannot be opened is set aside, and a new one is made from the bodies
//! in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bitcoin::BlockHash;

use crate::chain::{AcceptError, Chain, ChainOptions, Cure, InvalidateError};
use crate::framing::magic;
use crate::import::{self, ImportError, ImportProgress};
use crate::params::Params;
use crate::rules::spend::SignatureCache;
use crate::store::{
    DamagedFile, DirectoryLock, FILE_NAME, Found, FoundBody, HeaderRow, OpenError, RowKey,
    StoreError,
};
use crate::units::{Height, Timestamp};

/// Why a damaged chain was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// It is not damaged, or nothing of this network is in it, so that it is left as it is.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The damaged file could not be read or set aside.
    #[error("{path}: {error}; check the disk, and move the file away to sync anew")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The blocks could not be taken over. The damaged file is as it was.
    #[error("taking blocks over from {path}: {error}")]
    Import {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: ImportError,
    },
    /// The new database could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the chain in a directory as [`Chain::open_owned`]; rows of headers that are damaged are made again. If that does not do, it
/// sets the database aside under another name, makes a new one, and connects all blocks of this network that are found in the damaged
/// one, with all checks. Headers are taken over too, so that a lost body is known to be missing, and so is what an operator said of
/// blocks. [`Chain::take_cures`] tells of it.
///
/// `now` is the time that headers may not be far ahead of. `progress` is called while blocks are taken over.
///
/// # Errors
///
/// As [`Chain::open_owned`]; what is no database of this network stays where it is.
pub fn open(
    lock: DirectoryLock,
    params: impl Into<Arc<Params>>,
    options: ChainOptions,
    now: Timestamp,
    progress: &mut dyn FnMut(&ImportProgress),
) -> Result<Chain, SalvageError> {
    let params = params.into();
    let (problem, error) = match Chain::open_mending(lock.clone(), Arc::clone(&params), options) {
        Ok(chain) => return Ok(chain),
        Err(OpenError::Damaged { path, problem }) => {
            (problem.clone(), OpenError::Damaged { path, problem })
        }
        Err(error) => return Err(error.into()),
    };
    let path = lock.dir().join(FILE_NAME);
    let at_file = |error| SalvageError::Io {
        path: path.clone(),
        error,
    };
    let file = DamagedFile::open(&path).map_err(at_file)?;
    let Found { headers, bodies } = file.find().map_err(at_file)?;
    let mut roots = bodies
        .iter()
        .filter(|body| body.height() == Height::GENESIS);
    let is_known = file.is_of_redb() || !bodies.is_empty();
    if !is_known || roots.any(|body| body.hash() != params.genesis_hash) {
        return Err(error.into());
    }
    // The damaged file keeps its name until all is taken over: a crash loses nothing.
    let mut chain = Chain::unnamed(&lock, Arc::clone(&params), options)?;
    let blocks: BTreeSet<BlockHash> = bodies.iter().map(FoundBody::hash).collect();
    // Headers first: a body that is lost does not keep out those above it.
    for row in headers.values() {
        if let Err(AcceptError::Store(error)) = chain.accept_header(&row.header, now) {
            return Err(error.into());
        }
    }
    let frames = Frames {
        file: &file,
        magic: magic(&params),
        bodies: bodies.into_iter(),
        frame: Cursor::default(),
    };
    import::import(&mut chain, frames, now, progress).map_err(|error| SalvageError::Import {
        path: path.clone(),
        error,
    })?;
    let (marked, refused) = mark_again(&mut chain, &headers)?;
    let is_here = |hash: &BlockHash| {
        let info = chain.tree().get(hash);
        info.is_some_and(|info| info.status.has_body)
    };
    let was_here = headers.values().filter(|row| row.status.has_body);
    let lost = was_here.filter(|row| !is_here(&row.hash)).count() as u64;
    let bodies = blocks.iter().filter(|hash| is_here(hash)).count() as u64;
    let read: BTreeSet<BlockHash> = headers.values().map(|row| row.hash).collect();
    let unknown_marks = refused + blocks.difference(&read).count() as u64;
    let kept = chain.take_name(lost == 0)?;
    chain.tell_cure(Cure::Database {
        damage: format!("the database could not be opened ({problem})"),
        kept: kept.path,
        removed: kept.removed,
        marked,
        unknown_marks,
        bodies,
        lost,
        before: None,
        after: chain.tip().height,
    });
    Ok(chain)
}

/// Says again what an operator had said of blocks. Gives those that are invalid by it, and of how many it cannot be said now, for a
/// body that the way back needs is lost.
///
/// Pages that are not used any more are read as well, so a mark that was taken back may be found again: a chain that stands still and
/// says why can be helped, one that follows what was condemned may have done harm.
fn mark_again(
    chain: &mut Chain,
    headers: &BTreeMap<RowKey, HeaderRow>,
) -> Result<(Vec<BlockHash>, u64), StoreError> {
    let (mut marked, mut refused) = (Vec::new(), 0);
    for row in headers.values().filter(|row| row.status.invalidated) {
        let is_known = chain.tree().get(&row.hash).is_some();
        match chain.invalidate(&row.hash) {
            Ok(()) if is_known => marked.push(row.hash),
            Err(InvalidateError::Store(error)) => return Err(error),
            Ok(()) | Err(_) => refused += 1,
        }
    }
    if !marked.is_empty() {
        chain.activate_best(&SignatureCache::default(), &mut Vec::new())?;
    }
    Ok((marked, refused))
}

/// What was found, framed as an import reads it.
struct Frames<'a> {
    file: &'a DamagedFile,
    magic: [u8; 4],
    bodies: std::vec::IntoIter<FoundBody>,
    /// The frame that is being read.
    frame: Cursor<Vec<u8>>,
}

impl Read for Frames<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.frame.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let Some(body) = self.bodies.next() else {
                return Ok(0);
            };
            let body = self.file.read(&body)?;
            let length = u32::try_from(body.len()).expect("a block is small");
            let frame = [&self.magic[..], &length.to_le_bytes(), &body].concat();
            self.frame = Cursor::new(frame);
        }
    }
}
