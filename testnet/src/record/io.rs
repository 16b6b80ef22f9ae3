//! Records as files: written line by line with a running hash, read with errors that name the line.

use std::io::{BufRead, Write};

use bitcoin::hashes::{Hash, HashEngine, sha256};

use super::{Builder, Line, Problem, Record};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the record: {0}")]
    Read(#[from] std::io::Error),
    /// A line makes no sense.
    #[error("line {line} of the record: {cause}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// The record makes no sense as a whole.
    #[error("the record is not whole: {0}")]
    Whole(Problem),
}

/// Reads a record that has an end.
///
/// # Errors
///
/// [`ReadError`] names line and cause.
pub fn read(lines: impl BufRead) -> Result<Record, ReadError> {
    build(lines)?.finish().map_err(ReadError::Whole)
}

/// Reads a record that may have no end: of a run that goes on, or was broken off. A last line that is cut off is left out.
///
/// # Errors
///
/// [`ReadError`] names line and cause.
pub fn read_so_far(lines: impl BufRead) -> Result<Record, ReadError> {
    build(lines)?.broken_off().map_err(ReadError::Whole)
}

fn build(mut lines: impl BufRead) -> Result<Builder, ReadError> {
    let mut builder = Builder::default();
    let mut text = Vec::new();
    loop {
        text.clear();
        let length = lines.read_until(b'\n', &mut text)?;
        // What has no line end is still being written, or was cut off in the middle.
        if length == 0 || text.last() != Some(&b'\n') {
            return Ok(builder);
        }
        let line = builder.lines() + 1;
        let told = |cause: String| ReadError::Line { line, cause };
        let parsed: Line =
            serde_json::from_slice(&text).map_err(|error| told(format!("is no line: {error}")))?;
        builder
            .add(parsed)
            .map_err(|problem| told(problem.to_string()))?;
    }
}

/// Writes a record: each line goes into the hash, to the output if there is one, and into memory, so that what is told of a run
/// is told of what was recorded.
pub struct Writer<'a> {
    engine: sha256::HashEngine,
    out: Option<&'a mut dyn Write>,
    buffer: Vec<u8>,
    builder: Builder,
    trouble: Option<WriteError>,
}

/// Why a record cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output takes no more.
    #[error("cannot write the record: {0}")]
    Write(std::io::Error),
    /// The engine told what cannot be: a fault of the lab.
    #[error("line {line} of the record cannot be: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why.
        problem: Problem,
    },
    /// As above, for the whole.
    #[error("the record is not whole: {0}")]
    Whole(Problem),
}

impl<'a> Writer<'a> {
    /// A writer to an output, or only into memory.
    pub fn new(out: Option<&'a mut dyn Write>) -> Writer<'a> {
        Writer {
            engine: sha256::Hash::engine(),
            out,
            buffer: Vec::new(),
            builder: Builder::default(),
            trouble: None,
        }
    }

    /// Writes a line. Trouble must not change what is run: the first is kept for [`Writer::finish`].
    pub fn line(&mut self, line: Line) {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &line).expect("plain data is always JSON");
        self.buffer.push(b'\n');
        self.engine.input(&self.buffer);
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(&self.buffer)
        {
            self.trouble.get_or_insert(WriteError::Write(error));
        }
        if let Err(problem) = self.builder.add(line) {
            let line = self.builder.lines();
            self.trouble
                .get_or_insert(WriteError::Line { line, problem });
        }
    }

    /// Number of lines so far: what the last line has to tell.
    pub fn lines(&self) -> u64 {
        self.builder.lines()
    }

    /// What is recorded so far; none before the first line.
    pub fn so_far(&self) -> Option<&Record> {
        self.builder.so_far()
    }

    /// The record, and the SHA-256 of its lines: equal for equal runs of the simulator.
    ///
    /// # Errors
    ///
    /// The first [`WriteError`] of all lines.
    pub fn finish(self) -> Result<(Record, String), WriteError> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let hash = sha256::Hash::from_engine(self.engine).to_string();
        let record = self.builder.finish().map_err(WriteError::Whole)?;
        Ok((record, hash))
    }
}
