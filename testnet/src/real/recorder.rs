//! [`Recorder`]: writes the record of real nodes, from their numbered streams of events.
//!
//! A tap for each node waits for what comes next and goes on after the last event that it has: nothing is missed while a node
//! lives, and nobody polls. A node that starts again begins a new stream; the tip that it starts on is told first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use bitcoin::{Block, ScriptBuf, Transaction};
use chain::Params;

use super::tap::{self, Tapped};
use super::{LabError, Probe};
use crate::record::{Book, Exit, Line, Record, Start};

/// Writes the record of a run that goes on.
pub struct Recorder {
    began: Instant,
    told: Sender<Told>,
    writer: JoinHandle<Result<Record, LabError>>,
    taps: BTreeMap<usize, Tap>,
}

/// Something that is to be written.
pub(super) enum Told {
    /// As it is.
    Line(Box<Line>),
    /// A transaction, if it was not told.
    Transaction(Box<Transaction>),
    /// What a tap saw.
    Tapped(Box<Tapped>),
    /// The end.
    End { t: u64, failed: Option<String> },
}

/// A thread that follows one life of a node.
struct Tap {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// A record that begins, in a file. `payouts` says whose miner is paid by which script.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`] when the file cannot be made.
    pub fn begin(
        path: &Path,
        start: Start,
        params: Params,
        payouts: BTreeMap<ScriptBuf, usize>,
    ) -> Result<Recorder, LabError> {
        let file = File::create(path).map_err(|error| LabError::io(path, &error))?;
        let (told, lines) = mpsc::channel();
        let path = path.to_owned();
        let writer = std::thread::spawn(move || {
            let mut out = BufWriter::new(file);
            let record = write(&mut out, start, &params, &payouts, &lines)?;
            out.flush().map_err(|error| LabError::io(&path, &error))?;
            Ok(record)
        });
        Ok(Recorder {
            began: Instant::now(),
            told,
            writer,
            taps: BTreeMap::new(),
        })
    }

    /// Microseconds since the start.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Tells something.
    pub fn line(&self, line: Line) {
        self.tell(Told::Line(Box::new(line)));
    }

    /// Tells a transaction, unless it was told.
    pub fn transaction(&self, transaction: Transaction) {
        self.tell(Told::Transaction(Box::new(transaction)));
    }

    /// A node is up: follows it from now on.
    pub fn up(&mut self, node: usize, probe: Probe) {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, told, began) = (Arc::clone(&stop), self.told.clone(), self.began);
        let thread = std::thread::spawn(move || {
            tap::follow(&probe, began, &stopped, |tapped| {
                // The writer lives until the end is told.
                let _ = told.send(Told::Tapped(Box::new(tapped)));
            });
        });
        self.taps.insert(node, Tap { stop, thread });
    }

    /// A node is gone. What it had said is told before.
    pub fn down(&mut self, node: usize, how: Exit) {
        if let Some(tap) = self.taps.remove(&node) {
            tap.stop.store(true, Ordering::Relaxed);
            tap.thread.join().expect("following a node does not panic");
            let t = self.now();
            self.line(Line::Down { t, node, how });
        }
    }

    /// Lets every tap tell what it still has to tell, and ends it.
    pub fn rest(&mut self) {
        for tap in self.taps.values() {
            tap.stop.store(true, Ordering::Relaxed);
        }
        for tap in std::mem::take(&mut self.taps).into_values() {
            tap.thread.join().expect("following a node does not panic");
        }
    }

    /// The last line, and the whole record.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`] when it could not be written, [`LabError::Record`] when what was told cannot be.
    pub fn end(mut self, failed: Option<String>) -> Result<Record, LabError> {
        self.rest();
        let t = self.now();
        self.tell(Told::End { t, failed });
        self.writer.join().expect("writing a record does not panic")
    }

    fn tell(&self, told: Told) {
        // The writer lives until the end is told.
        let _ = self.told.send(told);
    }
}

fn write(
    out: &mut dyn Write,
    start: Start,
    params: &Params,
    payouts: &BTreeMap<ScriptBuf, usize>,
    lines: &Receiver<Told>,
) -> Result<Record, LabError> {
    let mut book = Book::begin(Some(out), start, params);
    // Whoever told has gone without an end: the run was broken off.
    let mut last = (0, Some("broken off".to_owned()));
    for told in lines {
        match told {
            Told::Line(line) => book.line(*line),
            Told::Transaction(transaction) => _ = book.transaction(&transaction),
            Told::Tapped(tapped) => {
                for (height, block) in &tapped.blocks {
                    let finder = finder(block, payouts);
                    book.block(tapped.t, finder, *height, block);
                }
                book.line(tapped.line);
            }
            Told::End { t, failed } => {
                last = (t, failed);
                break;
            }
        }
    }
    let (t, failed) = last;
    let (record, _) = book
        .end(t, failed, None)
        .map_err(|error| LabError::Record(error.to_string()))?;
    Ok(record)
}

/// Whose miner a block's reward goes to.
fn finder(block: &Block, payouts: &BTreeMap<ScriptBuf, usize>) -> Option<usize> {
    let mut outputs = block.txdata[0].output.iter();
    outputs.find_map(|output| payouts.get(&output.script_pubkey).copied())
}
