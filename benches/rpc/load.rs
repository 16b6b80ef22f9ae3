//! What runs beside the node: callers, and something that only burns CPU.

use std::process::{Command, Stdio};

use rpc_client::{Auth, Client};
use serde_json::{Value, json};

use crate::process::{Node, Owned};

/// Callers at once.
const CLIENTS: usize = 16;

/// Starts 16 clients in a process of their own, at the lowest priority there is: what callers burn is not what is measured, only
/// what the node does for them. They ask for counts and blocks (verbosity 1 and 2) and send payments from `file`, one a line.
pub(crate) fn callers(node: &Node, file: &str) -> Owned {
    itself(&["load", &node.url, &node.cookie, file])
}

/// Starts as many threads that do nothing useful, at the same priority.
pub(crate) fn burner() -> Owned {
    itself(&["burn"])
}

/// This program again, at the scheduler's idle priority where `chrt` is at hand, else as nice as can be.
fn itself(words: &[&str]) -> Owned {
    let program = std::env::current_exe().expect("this program");
    let start = |first: &str, options: &[&str]| {
        Command::new(first)
            .args(options)
            .arg(&program)
            .args(words)
            .stdout(Stdio::null())
            .spawn()
    };
    let child = start("chrt", &["--idle", "0"]).or_else(|_| start("nice", &["-n", "19"]));
    Owned(child.expect("nice is at hand"))
}

/// Calls until it is ended.
pub(crate) fn call_for_ever(url: &str, cookie: &str, file: &str) {
    let client = Client::new(url, Auth::Cookie(cookie.into()));
    let block = client
        .call("getblockhash", json!([2]))
        .expect("a block of 1,000 payments");
    let payments = std::fs::read_to_string(file).expect("payments");
    let payments: Vec<&str> = payments.lines().collect();
    let share = payments.len().div_ceil(CLIENTS / 4).max(1);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, block) = (&client, &block);
            let mut own = payments
                .chunks(share)
                .nth(number / 4)
                .into_iter()
                .flatten()
                .cycle();
            scope.spawn(move || {
                loop {
                    let (method, params): (_, Value) = match number % 4 {
                        0 => ("getblockcount", json!([])),
                        1 => ("getblock", json!([block, 1])),
                        2 => ("getblock", json!([block, 2])),
                        _ => ("sendrawtransaction", json!([own.next()])),
                    };
                    // One that was sent before is refused when it is in a block.
                    let _ = client.call_text(method, params);
                }
            });
        }
    });
}

/// Burns CPU until it is ended.
pub(crate) fn burn_for_ever() {
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut number = 1_u64;
                loop {
                    number =
                        std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
                }
            });
        }
    });
}
