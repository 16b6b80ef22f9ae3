//! What people type and read: the one way in which commands print, and lengths of time.
//!
//! `println!` panics when nobody reads any more, as in `mend status | head -1`. Here that is an error like others, which ends a command
//! by the way of all errors: what it started is ended in order, and nothing is printed about it.

mod rate;
mod span;

pub use rate::rate;
pub use span::{Span, SpanError, seconds};

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// What a shell sees of a command that SIGPIPE ended: 128 + 13.
const READER_GONE: u8 = 141;

/// A result that did not reach its reader.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Whoever read standard output has closed it. There is nobody to tell.
    #[error("nobody reads standard output")]
    ReaderGone,
    /// Standard output is a file that cannot be written.
    #[error("cannot write to standard output: {0}; look at the place it goes to")]
    Failed(#[source] std::io::Error),
}

impl PrintError {
    fn of(error: std::io::Error) -> PrintError {
        match error.kind() {
            ErrorKind::BrokenPipe => PrintError::ReaderGone,
            _ => PrintError::Failed(error),
        }
    }

    /// How a command ends that could not print.
    pub fn exit_code(&self) -> ExitCode {
        end(std::iter::once(self as &(dyn std::error::Error + 'static)))
    }
}

/// Prints `text` and a line's end to standard output, at once.
///
/// # Errors
///
/// [`PrintError`] when it does not get there.
pub fn line(text: impl Display) -> Result<(), PrintError> {
    line_to(&mut std::io::stdout().lock(), text)
}

/// Writes bytes to standard output as they are, at once.
///
/// # Errors
///
/// [`PrintError`] when they do not get there.
pub fn bytes(bytes: &[u8]) -> Result<(), PrintError> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(PrintError::of)
}

/// Prints a line to standard error, for people. If nobody reads it, so be it.
pub fn note(text: impl Display) {
    let _ = line_to(&mut std::io::stderr().lock(), text);
}

/// In one piece, so that lines of several processes do not mix.
fn line_to(out: &mut impl Write, text: impl Display) -> Result<(), PrintError> {
    out.write_all(format!("{text}\n").as_bytes())
        .and_then(|()| out.flush())
        .map_err(PrintError::of)
}

/// How a command ends that was given this error: told in one line, with its causes, and 1; without a word when the reader is gone.
pub fn end<'a>(chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> ExitCode {
    let mut causes: Vec<String> = Vec::new();
    for cause in chain {
        if let Some(PrintError::ReaderGone) = cause.downcast_ref() {
            return ExitCode::from(READER_GONE);
        }
        let text = cause.to_string().replace('\n', " ");
        // Errors that print their cause themselves would have it twice.
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
    }
    note(format!("error: {}", causes.join(": ")));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_in_one_piece() {
        let mut out = Vec::new();
        line_to(&mut out, format_args!("{} {}", 1, 2)).expect("memory");
        assert_eq!(out, b"1 2\n");
    }

    #[test]
    fn a_closed_pipe_is_known_from_a_full_disk() {
        let told = |kind| line_to(&mut Broken(kind), "text").expect_err("it is broken");
        assert!(matches!(
            told(ErrorKind::BrokenPipe),
            PrintError::ReaderGone
        ));
        let full = told(ErrorKind::StorageFull);
        assert!(matches!(full, PrintError::Failed(_)), "{full}");
        assert!(full.to_string().starts_with("cannot write to standard"));
    }
}
