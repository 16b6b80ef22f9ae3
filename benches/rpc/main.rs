//! What RPC calls cost, and what they cost others.
//!
//! ```text
//! cargo bench --bench rpc             # both of these
//! cargo bench --bench rpc -- rates    # calls per second with 1 and 16 clients
//! cargo bench --bench rpc -- delay    # how much longer blocks of 1,000 payments take to connect under calls
//! ```
//!
//! Starts real processes on loopback; measures, asserts nothing.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod delay;
mod load;
mod network;
mod process;
mod rates;

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            rates::run();
            delay::run();
        }
        ["rates"] => rates::run(),
        ["delay"] => delay::run(),
        // What this program calls itself with.
        ["load", url, cookie, file] => load::call_for_ever(url, cookie, file),
        ["burn"] => load::burn_for_ever(),
        _ => println!("unknown arguments {words:?}; give rates, delay or nothing"),
    }
}
