//! [`Reader`]: the only way bytes of a peer become values. Counts are checked before anything is allocated for them.

use bitcoin::consensus::encode::{Error, VarInt};
use bitcoin::consensus::{Decodable, Encodable};

use super::WireError;

/// Takes values off the front of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of a message that may be at most `limit` bytes long.
    pub(super) fn new(
        bytes: &'a [u8],
        what: &'static str,
        limit: usize,
    ) -> Result<Reader<'a>, WireError> {
        if bytes.len() > limit {
            return Err(WireError::TooLong {
                what,
                got: bytes.len(),
                limit,
            });
        }
        Ok(Reader { rest: bytes })
    }

    /// One value in consensus encoding.
    pub(super) fn take<T: Decodable>(&mut self, what: &'static str) -> Result<T, WireError> {
        T::consensus_decode_from_finite_reader(&mut self.rest).map_err(|error| match error {
            Error::Io(_) => WireError::Truncated { what },
            other => WireError::Malformed {
                what,
                problem: other.to_string(),
            },
        })
    }

    /// The number of items that follow, each at least `min_bytes` long: never more than `limit` and never more than
    /// the rest of the message has room for.
    pub(super) fn count(
        &mut self,
        what: &'static str,
        limit: usize,
        min_bytes: usize,
    ) -> Result<usize, WireError> {
        let got = self.take::<VarInt>(what)?.0;
        let limit = limit.min(self.rest.len() / min_bytes);
        match usize::try_from(got) {
            Ok(count) if count <= limit => Ok(count),
            _ => Err(WireError::TooMany { what, got, limit }),
        }
    }

    /// A list: its count, then its items.
    pub(super) fn list<T: Decodable>(
        &mut self,
        what: &'static str,
        limit: usize,
        min_bytes: usize,
    ) -> Result<Vec<T>, WireError> {
        let count = self.count(what, limit, min_bytes)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.take(what)?);
        }
        Ok(items)
    }

    /// A list of items of `N` bytes that any bytes are good for: its count, then its items.
    pub(super) fn arrays<T: From<[u8; N]>, const N: usize>(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<Vec<T>, WireError> {
        let count = self.count(what, limit, N)?;
        let (items, rest) = self.rest.split_at(count * N);
        self.rest = rest;
        let (items, _) = items.as_chunks::<N>();
        Ok(items.iter().map(|item| T::from(*item)).collect())
    }

    /// A short text.
    pub(super) fn text(&mut self, what: &'static str, limit: usize) -> Result<String, WireError> {
        let length = self.count(what, limit, 1)?;
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(WireError::Malformed {
                what,
                problem: error.to_string(),
            }),
        }
    }

    /// Nothing may be left over.
    pub(super) fn finish(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(WireError::Trailing { bytes }),
        }
    }
}

/// Appends a value in consensus encoding.
pub(super) fn put(out: &mut Vec<u8>, value: &impl Encodable) {
    value
        .consensus_encode(out)
        .expect("writing to memory does not fail");
}

/// Appends the count of a list.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    put(out, &VarInt::from(count));
}

/// Appends a list: its count, then its items.
pub(super) fn put_list<T: Encodable>(out: &mut Vec<u8>, items: &[T]) {
    put_count(out, items.len());
    for item in items {
        put(out, item);
    }
}

/// Appends a short text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
