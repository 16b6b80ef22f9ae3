//! Measures what the chain promises: import against bare signature checks, headers in memory and on load, and a deep
//! reorganisation.
//!
//! ```text
//! cargo bench -p chain                          # all, at a tenth of the size
//! cargo bench -p chain -- import 300000         # one-input payments, 1,000 a block
//! cargo bench -p chain -- parts 300000          # decode, hash, coins, signatures, flush, each alone
//! cargo bench -p chain -- make-file 300000 FILE # for a profiler, or for another program
//! cargo bench -p chain -- import-file FILE DATA_DIR
//! cargo bench -p chain -- headers 1000000
//! cargo bench -p chain -- chains 1000           # in memory, as a simulation holds them
//! cargo bench -p chain -- reorg 1000            # blocks of 100 payments each, the same ones or others on the other side
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark shows its numbers")]
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod chains;
mod headers;
mod import;
mod parts;
mod payments;
mod process;
mod reorg;

use std::path::Path;

fn main() {
    // `cargo bench` adds this word; `cargo test --benches` does not, and wants to be done soon.
    const BENCH: &str = "--bench";
    let is_bench = std::env::args().any(|word| word == BENCH);
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != BENCH)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let count = |word: &str| -> usize { word.parse().expect("a number") };
    match words[..] {
        [] if is_bench => {
            import::run(30_000);
            headers::run(100_000);
            reorg::run(100);
            chains::run(100);
        }
        ["import", payments] => import::run(count(payments)),
        ["parts", payments] => parts::run(count(payments)),
        ["make-file", payments, file] => import::make_file(count(payments), Path::new(file)),
        ["import-file", file, data_dir] => {
            import::import_file(Path::new(file), Path::new(data_dir))
        }
        ["headers", headers] => headers::run(count(headers)),
        ["load-headers", data_dir] => headers::load(Path::new(data_dir)),
        ["chains", chains] => chains::run(count(chains)),
        ["reorg", blocks] => reorg::run(count(blocks)),
        ["reorg-files", old, new, data_dir] => {
            reorg::run_files(Path::new(old), Path::new(new), Path::new(data_dir))
        }
        ["reorg-stored", data_dir] => reorg::run_stored(Path::new(data_dir)),
        _ => {}
    }
}
