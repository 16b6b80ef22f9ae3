//! Block files of Bitcoin Core: since version 28 a key in `xor.dat` beside them covers what is written.

use std::io::{self, Read};
use std::path::Path;

/// Core's name of the file with the key.
const KEY_FILE: &str = "xor.dat";
/// Bytes of the key.
const KEY_BYTES: usize = 8;

/// A file whose bytes are covered by a key that repeats from its beginning.
pub(super) struct Xored<R> {
    inner: R,
    key: [u8; KEY_BYTES],
    position: usize,
}

impl<R: Read> Xored<R> {
    pub(super) fn new(inner: R, key: [u8; KEY_BYTES]) -> Xored<R> {
        Xored {
            inner,
            key,
            position: 0,
        }
    }
}

impl<R: Read> Read for Xored<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        for byte in &mut out[..count] {
            *byte ^= self.key[self.position];
            self.position = (self.position + 1) % KEY_BYTES;
        }
        Ok(count)
    }
}

/// The key of the folder that `file` is in; zeros, which cover nothing, where there is none.
///
/// # Errors
///
/// When there is a key that cannot be read, or has another length.
pub(super) fn key_beside(file: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match std::fs::read(file.with_file_name(KEY_FILE)) {
        Ok(key) => key.try_into().map_err(|key: Vec<u8>| {
            let problem = format!("{KEY_FILE} has {} bytes, not {KEY_BYTES}", key.len());
            io::Error::new(io::ErrorKind::InvalidData, problem)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok([0; KEY_BYTES]),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_repeats_however_much_is_read_at_a_time() {
        let key = [1, 2, 4, 8, 16, 32, 64, 128];
        let plain: Vec<u8> = (0..=255).collect();
        let mut covered = Vec::new();
        Xored::new(plain.as_slice(), key)
            .read_to_end(&mut covered)
            .expect("memory");
        assert_eq!(covered[..3], [1, 3, 6]);
        let mut reader = Xored::new(covered.as_slice(), key);
        let mut again = vec![0; plain.len()];
        for piece in again.chunks_mut(7) {
            reader.read_exact(piece).expect("memory");
        }
        assert_eq!(again, plain);
    }
}
