//! The framing of `blk*.dat` files: four magic bytes, the length as four bytes little endian, and the block.

use std::io::{self, Read, Write};

use bitcoin::constants::genesis_block;
use bitcoin::p2p::Magic;
use bitcoin::{Block, Network, consensus};

use crate::params::Params;

/// Bytes of magic and length.
const FRAME_BYTES: usize = 8;

/// A header and a count of transactions.
const MIN_BLOCK_BYTES: usize = 81;

/// Bytes asked from the file at a time.
const READ_BYTES: usize = 1 << 20;

/// What blocks of this network are framed with: Bitcoin Core's bytes for its regtest, else the start of the network's digest.
pub fn magic(params: &Params) -> [u8; 4] {
    if params.genesis_hash == genesis_block(Network::Regtest).block_hash() {
        return Magic::REGTEST.to_bytes();
    }
    let digest = params.digest.0;
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Writes one framed block, and gives the number of bytes written.
pub(crate) fn write_frame(
    out: &mut impl Write,
    magic: [u8; 4],
    block: &Block,
) -> Result<u64, io::Error> {
    let bytes = consensus::serialize(block);
    let length = u32::try_from(bytes.len()).expect("a block is small");
    out.write_all(&magic)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&bytes)?;
    Ok(bytes.len() as u64 + FRAME_BYTES as u64)
}

/// Finds blocks in a stream. The first frame that holds a block decides the magic; what does not fit is skipped byte by byte
/// until the next frame.
pub(crate) struct FrameReader<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    magic: Option<[u8; 4]>,
    max_block_bytes: usize,
    skipped_bytes: u64,
}

impl<R: Read> FrameReader<R> {
    pub(crate) fn new(reader: R, params: &Params) -> FrameReader<R> {
        FrameReader {
            reader,
            buffer: Vec::new(),
            start: 0,
            ended: false,
            magic: None,
            // No byte weighs less than one unit.
            max_block_bytes: usize::try_from(params.max_block_weight.to_wu()).unwrap_or(usize::MAX),
            skipped_bytes: 0,
        }
    }

    /// The next block, and the bytes that its frame took; `None` at the end of the stream.
    pub(crate) fn next_block(&mut self) -> Result<Option<(Block, usize)>, io::Error> {
        loop {
            if !self.fill(FRAME_BYTES)? {
                self.skipped_bytes += (self.buffer.len() - self.start) as u64;
                self.start = self.buffer.len();
                return Ok(None);
            }
            if let Some(found) = self.try_frame()? {
                return Ok(Some(found));
            }
            self.skip_to_next_magic();
        }
    }

    /// Bytes that belonged to no block.
    pub(crate) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// The block at the current place, if there is one.
    fn try_frame(&mut self) -> Result<Option<(Block, usize)>, io::Error> {
        let (found, length) = split_frame(&self.buffer[self.start..]);
        if self.magic.is_some_and(|magic| magic != found)
            || !(MIN_BLOCK_BYTES..=self.max_block_bytes).contains(&length)
            || !self.fill(FRAME_BYTES + length)?
        {
            return Ok(None);
        }
        let body = &self.buffer[self.start + FRAME_BYTES..][..length];
        let Ok(block) = consensus::deserialize(body) else {
            return Ok(None);
        };
        self.magic = Some(found);
        self.start += FRAME_BYTES + length;
        Ok(Some((block, FRAME_BYTES + length)))
    }

    fn skip_to_next_magic(&mut self) {
        let rest = &self.buffer[self.start + 1..];
        let skip = match self.magic {
            Some(magic) => rest
                .iter()
                .position(|&byte| byte == magic[0])
                .unwrap_or(rest.len()),
            None => 0,
        };
        self.start += 1 + skip;
        self.skipped_bytes += 1 + skip as u64;
    }

    /// Makes `count` bytes available from the current place on; `false` if the stream ends before.
    fn fill(&mut self, count: usize) -> Result<bool, io::Error> {
        while self.buffer.len() - self.start < count && !self.ended {
            self.buffer.drain(..self.start);
            self.start = 0;
            let wanted = READ_BYTES.max(count) as u64;
            let read = (&mut self.reader)
                .take(wanted)
                .read_to_end(&mut self.buffer)?;
            self.ended = read == 0;
        }
        Ok(self.buffer.len() - self.start >= count)
    }
}

fn split_frame(bytes: &[u8]) -> ([u8; 4], usize) {
    let magic = bytes[..4].try_into().expect("4 bytes");
    let length = u32::from_le_bytes(bytes[4..FRAME_BYTES].try_into().expect("4 bytes"));
    (magic, length as usize)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn frames(params: &Params, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            write_frame(&mut bytes, magic(params), &params.genesis).unwrap();
        }
        bytes
    }

    fn count_blocks(bytes: &[u8], params: &Params) -> (usize, u64) {
        let mut reader = FrameReader::new(bytes, params);
        let mut count = 0;
        while let Some((block, _)) = reader.next_block().unwrap() {
            assert_eq!(block.header, params.genesis.header);
            count += 1;
        }
        (count, reader.skipped_bytes())
    }

    #[test]
    fn garbage_between_frames_is_skipped_and_counted() {
        let params = Params::bitcoin_regtest();
        let one = frames(&params, 1);
        assert_eq!(count_blocks(&one, &params), (1, 0));
        let noisy = [
            &one[..],
            &[0; 5000],
            &one,
            &[0xfa; 7],
            &one[..one.len() - 1],
            &one,
        ]
        .concat();
        assert_eq!(
            count_blocks(&noisy, &params),
            (3, 5000 + 7 + one.len() as u64 - 1)
        );
        let late = [&[1, 2, 3][..], &one].concat();
        assert_eq!(count_blocks(&late, &params), (1, 3));
        assert_eq!(count_blocks(&[], &params), (0, 0));
        assert_eq!(count_blocks(&one[..20], &params), (0, 20));
    }

    #[test]
    fn frames_of_another_magic_are_not_mixed_in() {
        let params = Params::bitcoin_regtest();
        let one = frames(&params, 1);
        let mut other = one.clone();
        other[0] ^= 1;
        assert_eq!(
            count_blocks(&[&one[..], &other, &one].concat(), &params).0,
            2
        );
    }
}
