//! Kernels on the blocks of real chains and of the shared test data.

use std::path::PathBuf;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use miner::kernel::{NonceRange, Work, supported};

/// Headers of a block file: magic (4 bytes), length (4 bytes, little-endian), block.
fn headers_of_block_file(bytes: &[u8]) -> Vec<Header> {
    let mut rest = bytes;
    let mut headers = Vec::new();
    while rest.len() > 88 {
        let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        if length == 0 {
            break;
        }
        headers.push(deserialize(&rest[8..88]).expect("a header"));
        rest = &rest[8 + length..];
    }
    headers
}

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test has to say so")]
fn every_kernel_finds_the_nonces_of_a_chain_made_by_bitcoin_core() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/regtest-162.blk");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: no {}", path.display());
        return;
    };
    let headers = headers_of_block_file(&bytes);
    assert!(headers.len() > 100);
    for kernel in supported() {
        for header in &headers {
            let work = Work::new(header, header.target(), &[header.version]);
            let range =
                NonceRange::starting_at(0, u64::from(header.nonce) + 50).expect("not empty");
            let hit = kernel.scan(&work, range).expect("the block's nonce");
            // Core starts at nonce 0 and takes the first that fits. The genesis block's was chosen otherwise.
            let is_genesis = header.prev_blockhash == BlockHash::all_zeros();
            assert!(
                is_genesis || work.header(hit) == *header,
                "{}: {header:?}",
                kernel.name()
            );
            assert!(work.meets_target(hit) && hit.nonce <= header.nonce);
        }
    }
}
