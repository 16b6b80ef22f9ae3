//! What a node's own mining costs its validation, and how fast mining nodes take up new tips.
//!
//! ```text
//! cargo bench --bench mine_and_validate                 # both
//! cargo bench --bench mine_and_validate -- validation   # blocks of 1,000 payments that the node has never seen
//! cargo bench --bench mine_and_validate -- switches     # two nodes that mine
//! ```
//!
//! `validation`: one node gets equal blocks by submitblock, in pairs, one without and one with its own mining on all cores; the order
//! changes from pair to pair. Blocks cost 2^26 hashes, so the node seldom finds one; where it does, the pair does not count.
//! `switches`: two nodes mine on all cores at 2^23 hashes a block, and tell how long each new tip waited until a thread searched on it.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod support;

use std::time::{Duration, Instant};

use bitcoin::CompactTarget;
use bitcoin::consensus::encode::serialize_hex;
use chain::fixtures::{Key, TEST_GENESIS_TIME};
use chain::genesis::GenesisSpec;
use serde_json::{Value, json};

use support::PAYMENTS_PER_BLOCK;
use support::hard::HardChain;
use support::node::Node;

/// Pairs of blocks that count.
const PAIRS: usize = 24;
/// The first pairs find caches cold.
const WARM_UP: usize = 2;
/// The node mines, or does nothing, for so long before each block.
const SETTLE: Duration = Duration::from_millis(200);
const CONNECT: &str = "mend_validation_seconds_sum{stage=\"connect\"}";

/// New tips that count, over both nodes.
const SWITCHES: usize = 400;
/// 2^23 hashes a block.
const SWITCH_BITS: u32 = 0x1e01_ffff;
/// How often nodes are asked for their last switch: more often than tips come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let one_part = ["validation", "switches"]
        .into_iter()
        .any(support::has_argument);
    if !one_part || support::has_argument("validation") {
        validation();
    }
    if !one_part || support::has_argument("switches") {
        switches();
    }
}

/// What one block took, in milliseconds.
#[derive(Clone, Copy)]
struct Took {
    /// In the node: moving the tip, with coins and signatures.
    connect_ms: f64,
    /// As who submitted it saw it, saving it to disk included.
    submit_ms: f64,
    /// Cores that the node was busy on just before.
    busy_cores: f64,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn validation() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut chain, genesis) = HardChain::new(folder.path(), PAYMENTS_PER_BLOCK);
    let threads = cores().to_string();
    let arguments = ["--no-discovery", "--threads", &threads];
    let node = Node::start(&folder.path().join("node"), &genesis, &arguments);
    // Costs two hashes: a mining node would find its siblings at once.
    let first = timed(&node, &mut chain, false);
    assert!(first.is_some(), "block 1 is connected");
    println!(
        "validation: {PAIRS} pairs of blocks of {PAYMENTS_PER_BLOCK} unseen payments, {threads} mining threads"
    );
    let mut pairs: Vec<[Took; 2]> = Vec::new();
    let mut spoilt = 0;
    for number in 0.. {
        let mining_first = number % 2 == 1;
        let one = timed(&node, &mut chain, mining_first);
        let two = timed(&node, &mut chain, !mining_first);
        match (one, two) {
            (Some(one), Some(two)) if number >= WARM_UP => {
                let pair = if mining_first { [two, one] } else { [one, two] };
                println!(
                    "pair {}: connected in {:.1} ms without and {:.1} ms with mining",
                    pairs.len() + 1,
                    pair[0].connect_ms,
                    pair[1].connect_ms
                );
                pairs.push(pair);
            }
            (Some(_), Some(_)) => {}
            _ => spoilt += 1,
        }
        if pairs.len() == PAIRS {
            break;
        }
    }
    let column =
        |kind: usize, of: fn(&Took) -> f64| pairs.iter().map(|pair| of(&pair[kind])).collect();
    let mining_busy = quartiles(column(1, |took| took.busy_cores)).median;
    let idle_busy = quartiles(column(0, |took| took.busy_cores)).median;
    println!(
        "the node was busy on {mining_busy:.2} cores while it mined, on {idle_busy:.2} otherwise; it found a block itself in {spoilt} pairs"
    );
    let connect = tell(
        "connecting",
        column(0, |took| took.connect_ms),
        column(1, |took| took.connect_ms),
    );
    let submit = tell(
        "submitblock",
        column(0, |took| took.submit_ms),
        column(1, |took| took.submit_ms),
    );
    println!(
        "{}",
        json!({ "pairs": PAIRS, "busy_cores": mining_busy, "connect": connect, "submitblock": submit })
    );
}

/// Gives the next block to the node while it mines, or does not. `None` where the node found one itself.
fn timed(node: &Node, chain: &mut HardChain, mining: bool) -> Option<Took> {
    let block = chain.next_block();
    let (hash, hex) = (json!(block.block_hash()), serialize_hex(&block));
    if mining {
        let address = Key::p2tr("own miner").address();
        node.call("setmining", json!([true, null, address]));
    }
    let (rested, cpu) = (Instant::now(), node.cpu_seconds());
    std::thread::sleep(SETTLE);
    let busy_cores = (node.cpu_seconds() - cpu) / rested.elapsed().as_secs_f64();
    let before = node.metric(CONNECT);
    let submitted = Instant::now();
    let answer = node.call("submitblock", json!([hex]));
    let submit_ms = submitted.elapsed().as_secs_f64() * 1e3;
    let connect_ms = (node.metric(CONNECT) - before) * 1e3;
    node.call("setmining", json!([false]));
    let best = || node.call("getbestblockhash", json!([]));
    let alone = answer.is_null() && best() == hash;
    while best() != hash {
        // The node's own blocks, beside ours or on it: the chain goes on without them.
        let height = chain.height().0;
        let at_height = |height: u32| node.call("getblockhash", json!([height]));
        let beside = at_height(height) != hash;
        let own = at_height(if beside { height } else { height + 1 });
        node.call("invalidateblock", json!([own]));
    }
    alone.then_some(Took {
        connect_ms,
        submit_ms,
        busy_cores,
    })
}

/// Where the middle half of some numbers lies.
struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

fn quartiles(mut numbers: Vec<f64>) -> Quartiles {
    numbers.sort_by(f64::total_cmp);
    let at = |quarter: usize| numbers[(numbers.len() - 1) * quarter / 4];
    Quartiles {
        low: at(1),
        median: at(2),
        high: at(3),
    }
}

fn tell(what: &str, without: Vec<f64>, with: Vec<f64>) -> Value {
    let ratios = without
        .iter()
        .zip(&with)
        .map(|(without, with)| with / without);
    let ratio = quartiles(ratios.collect());
    let (without, with) = (quartiles(without), quartiles(with));
    let percent = (with.median / without.median - 1.0) * 100.0;
    println!(
        "{what}: {:.1} ms without mining ({:.1} to {:.1}), {:.1} ms with ({:.1} to {:.1}): {percent:+.1} %; \
         ratio of each pair {:.2} ({:.2} to {:.2})",
        without.median,
        without.low,
        without.high,
        with.median,
        with.low,
        with.high,
        ratio.median,
        ratio.low,
        ratio.high
    );
    json!({ "without_ms": without.median, "with_ms": with.median, "delay_percent": percent, "pair_ratio": ratio.median })
}

fn switches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut spec = GenesisSpec::trivial("switches", TEST_GENESIS_TIME);
    spec.pow.limit.0 = CompactTarget::from_consensus(SWITCH_BITS);
    let genesis = support::write_spec(folder.path(), spec, 1);
    let (address, threads) = (
        Key::p2tr("own miner").address().to_string(),
        cores().to_string(),
    );
    let mining = ["--no-discovery", "--mine", &address, "--threads", &threads];
    let first = Node::start(&folder.path().join("first"), &genesis, &mining);
    let linked = [&mining[..], &["--connect", &first.address]].concat();
    let second = Node::start(&folder.path().join("second"), &genesis, &linked);
    first.wait_until("the other node", |node| node.connections() == 1);
    let mut watched = [Watch::new(&first), Watch::new(&second)];
    let began = Instant::now();
    while watched
        .iter()
        .map(|watch| watch.waits_ms.len())
        .sum::<usize>()
        < SWITCHES
    {
        assert!(began.elapsed() < PATIENCE, "the chain stopped growing");
        std::thread::sleep(LOOK_EVERY);
        watched.iter_mut().for_each(Watch::look);
    }
    let missed: u64 = watched.iter().map(|watch| watch.missed).sum();
    let worst = watched.iter().map(Watch::worst_ms).fold(0.0, f64::max);
    let mut waits: Vec<f64> = watched
        .into_iter()
        .flat_map(|watch| watch.waits_ms)
        .collect();
    waits.sort_by(f64::total_cmp);
    let at = |part: usize| waits[(waits.len() - 1) * part / 100];
    let (half, p99) = (at(50), at(99));
    println!(
        "switches: {} new tips on two mining nodes of {threads} threads in {:.0} s: searched on after {half:.2} ms (median), {p99:.2} ms \
         (99 of 100), {worst:.2} ms (worst); {missed} more came too close to another to be told apart",
        waits.len(),
        began.elapsed().as_secs_f64()
    );
    println!(
        "{}",
        json!({ "switches": waits.len(), "median_ms": half, "p99_ms": p99, "worst_ms": worst })
    );
}

/// A node's switches, told apart by asking often.
struct Watch<'a> {
    node: &'a Node,
    count: u64,
    seconds: f64,
    worst_s: f64,
    waits_ms: Vec<f64>,
    missed: u64,
}

impl Watch<'_> {
    fn new(node: &Node) -> Watch<'_> {
        let mut watch = Watch {
            node,
            count: 0,
            seconds: 0.0,
            worst_s: 0.0,
            waits_ms: Vec::new(),
            missed: 0,
        };
        watch.look();
        // What came before both nodes were there.
        (watch.waits_ms, watch.missed) = (Vec::new(), 0);
        watch
    }

    fn look(&mut self) {
        let told = self.node.call("getmininginfo", json!([]));
        let told = &told["mining"]["tipswitches"];
        let number = |key: &str| told[key].as_f64().expect("a number");
        let (count, seconds) = (told["count"].as_u64().expect("a count"), number("seconds"));
        match count - self.count {
            0 => {}
            1 => self.waits_ms.push((seconds - self.seconds) * 1e3),
            several => self.missed += several,
        }
        (self.count, self.seconds, self.worst_s) = (count, seconds, number("worst_s"));
    }

    /// The longest since the node's start, as it tells.
    fn worst_ms(&self) -> f64 {
        self.worst_s * 1e3
    }
}
