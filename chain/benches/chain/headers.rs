//! Headers: memory in the tree, and the time to load them.

use std::path::Path;
use std::time::Instant;

use chain::fixtures::{BlockBuilder, test_params};
use chain::{Chain, ChainOptions, Height, Timestamp};

use crate::process;

pub(crate) fn run(count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let params = test_params();
    let mut chain = Chain::open(dir.path(), params.clone(), ChainOptions::default()).unwrap();
    let mut parent = params.genesis.header;
    let start = Instant::now();
    for height in 1..=count {
        let header = BlockBuilder::on(&params, &parent, Height(height as u32))
            .mine()
            .header;
        chain.accept_header(&header, Timestamp(u32::MAX)).unwrap();
        if height % 100_000 == 0 {
            chain.flush().unwrap();
        }
        parent = header;
    }
    let made = start.elapsed().as_secs_f64();
    chain.flush().unwrap();
    drop(chain);
    println!("headers: {count} made and accepted in {made:.1} s");
    print!(
        "{}",
        process::again(&["load-headers", dir.path().to_str().unwrap()])
    );
}

/// Opens a chain of headers and prints what it took.
pub(crate) fn load(data_dir: &Path) {
    let before = process::resident_mib();
    let start = Instant::now();
    let chain = Chain::open(data_dir, test_params(), ChainOptions::default()).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let count = chain.tree().len();
    println!(
        "headers: {count} loaded in {seconds:.2} s; {:.0} bytes each in the tree, {:.0} MiB resident more than before",
        chain.tree().memory_bytes() as f64 / count as f64,
        process::resident_mib() - before
    );
}
