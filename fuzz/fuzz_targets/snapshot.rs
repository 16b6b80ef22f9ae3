//! A snapshot of coins behind its fixed beginning. What is accepted under the hash that its coins have is loaded, and what the chain then
//! writes describes the same.

#![no_main]

use std::sync::{Arc, LazyLock};

use chain::coins::SetHash;
use chain::fixtures::TestChain;
use chain::snapshot::{Snapshot, SnapshotError, Trusted, dump, load, read};
use chain::{Chain, Params, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(u32::MAX);

/// Bytes of a hash at the end of the file.
const HASH_BYTES: usize = 32;

static PARAMS: LazyLock<Arc<Params>> = LazyLock::new(|| Arc::new(TestChain::params()));

fn read_trusting(file: &mut &[u8], coins: SetHash) -> Result<Snapshot, SnapshotError> {
    let trusted = Trusted { coins, base: None };
    read(file, &PARAMS, &trusted, NOW)
}

fuzz_target!(|data: &[u8]| {
    let mut file = b"mendsnap\x01\0\0\0".to_vec();
    file.extend(PARAMS.digest.0);
    file.extend(data);
    let mut rest = file.as_slice();
    let found = match read_trusting(&mut rest, SetHash([0; HASH_BYTES])) {
        Err(SnapshotError::WrongHash { found, .. }) => found,
        Err(_) => return,
        Ok(_) => panic!("nobody finds coins of hash zero"),
    };
    // The hash is out of a fuzzer's reach: put the right one behind the coins.
    let end = file.len() - rest.len();
    file.truncate(end);
    file[end - HASH_BYTES..].copy_from_slice(&found.0);
    let snapshot = read_trusting(&mut file.as_slice(), found).expect("only the hash was wrong");
    let info = snapshot.info().clone();
    let mut chain = Chain::in_memory(Arc::clone(&PARAMS));
    if load(&mut chain, snapshot).is_err() {
        assert_eq!(chain.tip().height.0, 0, "a refusal changes nothing");
        return;
    }
    assert_eq!(chain.snapshot_base(), Some(info.base));
    let mut written = Vec::new();
    assert_eq!(dump(&chain, &mut written).expect("in memory"), info);
    let again = read_trusting(&mut written.as_slice(), found).expect("what we write we read");
    assert_eq!(*again.info(), info);
});
