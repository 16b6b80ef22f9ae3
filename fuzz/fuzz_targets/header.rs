//! Eighty bytes that claim to be a header: its rules give a verdict on any, and a target that they accept is one.

#![no_main]

use bitcoin::CompactTarget;
use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use chain::rules::difficulty::NextBits;
use chain::rules::header::{check_in_place, check_proof_of_work, target_of_bits};
use chain::{Params, Timestamp};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static REGTEST: LazyLock<Params> = LazyLock::new(Params::bitcoin_regtest);

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = deserialize::<Header>(bytes) else {
        return;
    };
    assert_eq!(serialize(&header), bytes);
    let target = target_of_bits(header.bits);
    if check_proof_of_work(&header, &REGTEST).is_ok() {
        let target = target.expect("accepted bits are a target");
        let hash = header.block_hash().to_byte_array();
        let reversed: Vec<u8> = hash.iter().rev().copied().collect();
        assert!(reversed.as_slice() <= target.to_be_bytes().as_slice());
    }
    if let Some(target) = target {
        // Bits stand for their target, perhaps in another form.
        let canonical = target.to_compact_lossy();
        assert_eq!(target_of_bits(canonical), Some(target));
    }
    let median = Timestamp(header.nonce);
    let now = Timestamp(header.time ^ header.nonce);
    let expected = CompactTarget::from_consensus(0x207f_ffff);
    let valid = check_in_place(
        &header,
        &NextBits::at_any_time(&REGTEST, expected),
        median,
        now,
    )
    .is_ok();
    let late_enough = header.time > median.0;
    let early_enough = u64::from(header.time) <= u64::from(now.0) + 7_200;
    let version = header.version.to_consensus() >= 4;
    assert_eq!(
        valid,
        header.bits == expected && late_enough && early_enough && version
    );
});
