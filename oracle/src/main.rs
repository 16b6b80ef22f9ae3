//! Bitcoin Core's validation and ours, fed with the same blocks.
//!
//! ```text
//! cargo run --release -- all                 # every comparison that needs no file, about four minutes
//! cargo run --release -- cases               # made by hand: every rule at its limit, forks, signatures
//! cargo run --release -- faults              # every fault alone, and every two of them in one block
//! cargo run --release -- mutations 5000 1    # so many blocks changed at random, from a seed
//! cargo run --release -- file blk00000.dat   # a recorded chain of regtest
//! cargo run --release -- speed 100000        # import of so many one-input payments by both
//! cargo run --release -- reorg 1000          # a reorganisation of so many blocks by both
//! ```
//!
//! Exits with 1 if anything differs, and prints what.

mod cases;
mod coins;
mod faults;
mod kernel;
mod mutations;
mod ours;
mod pair;
mod random;
mod recorded;
mod reorg;
mod scene;
mod sign;
mod speed;
mod verdict;

use std::path::Path;
use std::process::ExitCode;

use pair::Tally;

/// Mutants that `all` feeds.
const MUTATIONS_OF_ALL: usize = 5_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["all"] => {
            let mut tally = cases::compare_all();
            tally.add(faults::compare_all());
            tally.add(mutations::compare(MUTATIONS_OF_ALL, 1));
            report(tally)
        }
        ["cases"] => report(cases::compare_all()),
        ["faults"] => report(faults::compare_all()),
        ["mutations", count, seed] => {
            let (count, seed) = (number(count), number(seed));
            report(mutations::compare(count as usize, seed))
        }
        ["speed", payments] => {
            speed::run(number(payments));
            ExitCode::SUCCESS
        }
        ["reorg", depth] => {
            reorg::run(number(depth));
            ExitCode::SUCCESS
        }
        ["file", path] => {
            let (tally, end) = recorded::compare(Path::new(path));
            println!("{end}");
            report(tally)
        }
        _ => {
            eprintln!(
                "say one of: all, cases, faults, mutations COUNT SEED, file PATH, speed PAYMENTS, \
                 reorg BLOCKS"
            );
            ExitCode::FAILURE
        }
    }
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

/// Prints what was compared and what differs.
fn report(tally: Tally) -> ExitCode {
    for (reason, count) in &tally.reasons {
        let reason = if reason.is_empty() {
            "(no fault)"
        } else {
            reason
        };
        println!("{count:>8}  {reason}");
    }
    for (what, count) in &tally.stated {
        println!("{count:>8}  stated difference: {what}");
    }
    for difference in &tally.differences {
        println!("DIFFERENT {difference}");
    }
    println!(
        "{} blocks and {} coins compared, {} reasons, {} differences",
        tally.blocks,
        tally.coins,
        tally
            .reasons
            .keys()
            .filter(|reason| !reason.is_empty())
            .count(),
        tally.differences.len()
    );
    if tally.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
