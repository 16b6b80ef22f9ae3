//! [`LineReader`]: lines of bounded length from a socket.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::limits::MAX_LINE_BYTES;

/// Why there are no further lines.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLine {
    /// The other end closed the connection.
    #[error("it closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// More came than a line may have.
    #[error("it sent a line of more than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

/// Reads lines. A call of [`LineReader::next`] that is given up loses nothing.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(from: R) -> LineReader<R> {
        LineReader {
            from,
            buffer: Vec::new(),
        }
    }

    /// The next line that is not empty, without its end.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, NoLine> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                let line = line.trim_ascii();
                if line.len() > MAX_LINE_BYTES {
                    return Err(NoLine::TooLong);
                }
                if !line.is_empty() {
                    return Ok(line.to_vec());
                }
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(NoLine::TooLong);
            }
            // Bounds the memory of a connection: at most one line and one read.
            self.buffer.reserve(MAX_LINE_BYTES);
            let mut bounded = (&mut self.from).take(MAX_LINE_BYTES as u64);
            if bounded.read_buf(&mut self.buffer).await? == 0 {
                return Err(NoLine::Closed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> (Vec<String>, NoLine) {
        let mut reader = LineReader::new(bytes);
        let mut lines = Vec::new();
        loop {
            match reader.next().await {
                Ok(line) => lines.push(String::from_utf8(line).expect("text")),
                Err(end) => return (lines, end),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_cut_at_their_ends() {
        let (lines, end) = lines(b"one\r\n\n  \ntwo\nthree").await;
        assert_eq!(lines, ["one", "two"]);
        assert!(matches!(end, NoLine::Closed));
    }

    #[tokio::test]
    async fn an_endless_line_ends_the_reading() {
        for bytes in [vec![b'x'; MAX_LINE_BYTES + 1], vec![b'x'; 10_000_000]] {
            let (lines, end) = lines(&bytes).await;
            assert!(lines.is_empty() && matches!(end, NoLine::TooLong), "{end}");
        }
        let mut longest = vec![b'x'; MAX_LINE_BYTES];
        longest.push(b'\n');
        assert_eq!(lines(&longest).await.0[0].len(), MAX_LINE_BYTES);
    }
}
