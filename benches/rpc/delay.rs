//! How much longer blocks take to connect while others call: blocks of 1,000 payments that the node has not seen, each in turn
//! connected in quiet, beside a process that burns CPU, and beside 16 callers.

use std::time::{Duration, Instant};

use rpc_client::Client;

use crate::load;
use crate::network::{Network, hex};
use crate::process::Node;
use crate::rates::submit;

/// Blocks for each of the three.
const ROUNDS: usize = 31;
/// For callers to send, for each block.
const PAYMENTS: usize = 550;
const BLOCK_PAYMENTS: usize = 1_000;
/// For callers to be at work.
const SETTLE: Duration = Duration::from_millis(400);

/// What one block took, in seconds.
#[derive(Clone, Copy)]
struct Times {
    /// As who submitted it saw it.
    submit: f64,
    /// In the node: moving the tip, with coins and signatures.
    connect: f64,
}

pub(crate) fn run() {
    let (mut network, first) = Network::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("plain").to_owned();
    std::fs::write(path("genesis.json"), &network.genesis_json).expect("written");
    let node = Node::start(&folder.path().join("data"), &path("genesis.json"));
    submit(&node.client, &hex(&first));
    let sent: Vec<String> = network
        .payments(PAYMENTS * ROUNDS)
        .iter()
        .map(hex)
        .collect();
    let mut sent = sent.chunks(PAYMENTS);
    let mut times = [const { Vec::new() }; 3];
    let mut rates = Vec::new();
    let mut blocks = network.blocks(BLOCK_PAYMENTS);
    submit(&node.client, &hex(&blocks.next_block()));
    for _ in 0..ROUNDS {
        for (kind, times) in times.iter_mut().enumerate() {
            let load = match kind {
                0 => None,
                1 => Some(load::burner()),
                _ => {
                    let fresh = sent.next().expect("enough for all rounds");
                    std::fs::write(path("payments"), fresh.join("\n")).expect("written");
                    Some(load::callers(&node, &path("payments")))
                }
            };
            let block = hex(&blocks.next_block());
            std::thread::sleep(SETTLE);
            let (called, start) = (calls(&node.client), Instant::now());
            std::thread::sleep(SETTLE);
            if kind == 2 {
                rates.push((calls(&node.client) - called) / start.elapsed().as_secs_f64());
            }
            times.push(timed(&node.client, &block));
            drop(load);
        }
    }
    let [quiet, burnt, called] = times;
    show("in quiet", &quiet, &quiet);
    show("beside a process that burns CPU", &burnt, &quiet);
    show("beside 16 callers", &called, &quiet);
    show("beside 16 callers, against burning", &called, &burnt);
    rates.sort_by(f64::total_cmp);
    println!("the callers made {:.0} calls/s", rates[rates.len() / 2]);
}

fn timed(client: &Client, block: &str) -> Times {
    let before = connect_seconds(client);
    let start = Instant::now();
    submit(client, block);
    let submit = start.elapsed().as_secs_f64();
    Times {
        submit,
        connect: connect_seconds(client) - before,
    }
}

/// What the node has spent on connecting so far.
fn connect_seconds(client: &Client) -> f64 {
    sum_of(client, "mend_validation_seconds_sum{stage=\"connect\"} ")
}

/// Calls that the node has answered so far.
fn calls(client: &Client) -> f64 {
    sum_of(client, "mend_rpc_calls_total{")
}

/// The sum of the samples that start with `name`.
fn sum_of(client: &Client, name: &str) -> f64 {
    let page = crate::process::get(client.url(), "/metrics");
    let samples = page.lines().filter(|line| line.starts_with(name));
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

fn show(what: &str, times: &[Times], quiet: &[Times]) {
    let part = |times: &[Times], of: fn(&Times) -> f64| {
        let mut list: Vec<f64> = times.iter().map(of).collect();
        list.sort_by(f64::total_cmp);
        (
            list[list.len() / 2],
            list[list.len() / 4],
            list[list.len() * 3 / 4],
        )
    };
    for (name, of) in [
        ("connect", (|times| times.connect) as fn(&Times) -> f64),
        ("submitblock", |times| times.submit),
    ] {
        let (median, low, high) = part(times, of);
        let (base, _, _) = part(quiet, of);
        println!(
            "{name} of 1,000 new payments {what}: {:.1} ms ({:.1} to {:.1}), {:+.0} %",
            median * 1e3,
            low * 1e3,
            high * 1e3,
            (median / base - 1.0) * 100.0
        );
    }
}
