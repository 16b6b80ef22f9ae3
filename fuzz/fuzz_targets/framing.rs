//! A file in the framing of `blk*.dat`, with rubbish between frames, torn frames and lying lengths. What is imported is a valid chain, and
//! its export is imported as the same.

#![no_main]

use std::sync::{Arc, LazyLock};

use chain::fixtures::TestChain;
use chain::framing::magic;
use chain::import::import;
use chain::{Chain, Params, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(u32::MAX);

static PARAMS: LazyLock<Arc<Params>> = LazyLock::new(|| Arc::new(TestChain::params()));

/// Stands for the network's magic in the input, so that a fuzzer finds frames.
const MARK: u8 = 0xfe;

fuzz_target!(|data: &[u8]| {
    let mut file = Vec::with_capacity(data.len() * 2);
    for byte in data {
        match *byte {
            MARK => file.extend(magic(&PARAMS)),
            byte => file.push(byte),
        }
    }
    let mut chain = Chain::in_memory(Arc::clone(&PARAMS));
    if import(&mut chain, file.as_slice(), NOW, &mut |_| {}).is_err() {
        return;
    }
    let mut written = Vec::new();
    chain::export::export(&chain, &mut written, &mut |_| {}).expect("in memory");
    let mut again = Chain::in_memory(Arc::clone(&PARAMS));
    import(&mut again, written.as_slice(), NOW, &mut |_| {}).expect("what we write we read");
    assert_eq!(again.tip(), chain.tip());
    assert_eq!(
        again.coin_set_stats(true).expect("in memory"),
        chain.coin_set_stats(true).expect("in memory")
    );
});
