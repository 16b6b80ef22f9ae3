//! Published results that the simulator has to meet. Seeds are fixed, so that a run is the same everywhere; tolerances say how
//! far a sample of this size may be off.
//!
//! Samples are small so that the tests are quick without optimisation; docs/performance/simulation.md has the larger ones, from
//! the same scenario files.

use testnet::scenario::{Change, Scenario};
use testnet::sim::attack::successes;
use testnet::sim::{Summary, simulate};

/// Runs a scenario of `scenarios/published` with some fields changed.
fn run(name: &str, changes: &[&str], seed: u64) -> Summary {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/published");
    let text = std::fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
    let changes: Vec<Change> = changes.iter().map(|text| text.parse().unwrap()).collect();
    let scenario = Scenario::from_toml_with(&text, &changes).unwrap();
    let run = simulate(&scenario, seed, None).unwrap();
    assert_eq!(run.violations, []);
    run.summary
}

/// Whether a share of `count` is what is expected, within four standard deviations of a binomial count.
fn assert_share(what: &str, share: f64, expected: f64, count: u64) {
    let tolerance = 4.0 * (expected * (1.0 - expected) / count as f64).sqrt();
    assert!(
        (share - expected).abs() < tolerance,
        "{what}: {share:.4}, expected {expected} +- {tolerance:.4}"
    );
}

/// Probability that an attacker with a share `q` of the hash power and one block mined before takes back a payment with `n`
/// confirmations (Rosenfeld, arXiv 1402.2009).
fn rosenfeld(q: f64, n: u32) -> f64 {
    let p = 1.0 - q;
    let mut binomial = 1.0; // C(m + n - 1, m)
    let mut sum = 0.0;
    for m in 0..=n {
        let (ahead, behind) = (f64::from(n), f64::from(m));
        sum += binomial * (p.powf(ahead) * q.powf(behind) - p.powf(behind) * q.powf(ahead));
        binomial *= (behind + ahead) / (behind + 1.0);
    }
    1.0 - sum
}

/// The same after Nakamoto: the honest miners take the expected time for their `z` blocks, and the attacker's are Poisson.
fn nakamoto(q: f64, z: u32) -> f64 {
    let p = 1.0 - q;
    let mean = f64::from(z) * q / p;
    let mut poisson = (-mean).exp();
    let mut sum = 0.0;
    for k in 0..=z {
        sum += poisson * (1.0 - (q / p).powi((z - k) as i32));
        poisson *= mean / f64::from(k + 1);
    }
    1.0 - sum
}

/// A miner's stale blocks for each of its blocks in the chain, for delays that are short against the interval: `x` is their
/// ratio (the model behind darosior/miningsimulation; Delving Bitcoin, topic 2110).
fn own_stale_rate(shares: &[f64], miner: usize, x: f64) -> f64 {
    let own = shares[miner];
    let others = shares
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != miner);
    let behind: f64 = others
        .map(|(_, share)| (1.0 - (-share * x).exp()) * share)
        .sum();
    (1.0 - (-(1.0 - own) * x).exp()) * (1.0 - own) + behind
}

const NINE: [f64; 9] = [0.30, 0.29, 0.12, 0.11, 0.08, 0.05, 0.03, 0.01, 0.01];

/// So that what simulations are held against is itself what was published.
#[test]
fn the_formulas_give_the_published_numbers() {
    let near = |got: f64, expected: f64, within: f64| {
        assert!(
            (got - expected).abs() < within,
            "{got}, expected {expected}"
        );
    };
    let tenth = [
        1.0, 0.2045873, 0.0509779, 0.0131722, 0.0034552, 0.0009137, 0.0002428,
    ];
    for (z, expected) in (0..).zip(tenth) {
        near(nakamoto(0.1, z), expected, 6e-8);
    }
    for (z, expected) in [(5, 0.1773523), (10, 0.0416605), (25, 0.0006132)] {
        near(nakamoto(0.3, z), expected, 6e-8);
    }
    let percent = [
        (0.1, [20.0, 5.6, 1.712, 0.546, 0.178, 0.059]),
        (0.2, [40.0, 20.8, 11.584, 6.669, 3.916, 2.331]),
        (0.3, [60.0, 43.2, 32.616, 25.207, 19.762, 15.645]),
        (0.4, [80.0, 70.4, 63.488, 57.958, 53.314, 49.300]),
    ];
    for (q, row) in percent {
        for (n, expected) in (1..).zip(row) {
            near(rosenfeld(q, n) * 100.0, expected, 6e-4);
        }
    }
    let rates = [
        (0, 1.0125),
        (1, 1.0456),
        (2, 1.6075),
        (4, 1.7395),
        (5, 1.8384),
        (7, 1.9702),
    ];
    for (miner, expected) in rates {
        near(
            own_stale_rate(&NINE, miner, 1.0 / 60.0) * 100.0,
            expected,
            6e-3,
        );
    }
}

/// An event simulation with the rule "first seen" and one delay between all: at x = delay / interval = 1/60, 0.1, 0.5 and 1, the
/// stale share of four equal miners is 1.25, 6.76, 24.8 and 37.2%.
#[test]
fn stale_blocks_of_four_equal_miners() {
    for (delay_ms, expected) in [(33, 0.0125), (200, 0.0676), (1_000, 0.248), (2_000, 0.372)] {
        let delay = format!("link.delay_ms={delay_ms}");
        let summary = run("four-miners", &[&delay, "duration=2000s"], 11);
        assert_share(&delay, summary.stale_share, expected, summary.blocks);
    }
}

/// The same of a hundred: 8.92% at x = 0.1, near the closed formula x / (1 + x) for infinitely many.
#[test]
fn stale_blocks_of_a_hundred_equal_miners() {
    let x = 0.1;
    let summary = run("hundred-miners", &["duration=500s"], 1);
    assert_share("simulated", summary.stale_share, 0.0892, summary.blocks);
    assert_share(
        "formula",
        summary.stale_share,
        x / (1.0 + x),
        summary.blocks,
    );
}

/// Large miners lose fewer of their blocks; in all, 7.22% are stale at x = 0.1.
#[test]
fn stale_blocks_of_miners_of_different_size() {
    let changes = ["link.delay_ms=600", "duration=12000s"];
    let summary = run("nine-miners", &changes, 3);
    assert_share("all", summary.stale_share, 0.0722, summary.blocks);
    let rate = |nodes: std::ops::Range<usize>| {
        let miners = summary
            .miners
            .iter()
            .filter(|miner| nodes.contains(&miner.node));
        let (found, stale) = miners.fold((0, 0), |(found, stale), miner| {
            (found + miner.found, stale + miner.stale)
        });
        (stale as f64 / found as f64, found)
    };
    let (large, middle, small) = (rate(0..2), rate(2..5), rate(5..9));
    assert!(
        large.0 < middle.0 && middle.0 < small.0,
        "{large:?} {middle:?} {small:?}"
    );
}

/// Gervais et al. (CCS 2016): the shorter the interval, the more stale blocks: 1.73% at 10 s, 6.98% at 2 s, 20.62% at 0.5 s
/// where blocks are pushed.
#[test]
fn stale_blocks_grow_as_the_interval_shrinks() {
    let mut last = -1.0;
    for (interval, duration, least, most) in [
        ("10s", "1500s", 0.0, 0.05),
        ("2s", "400s", 0.03, 0.14),
        ("500ms", "100s", 0.10, 0.32),
    ] {
        let changes = [
            format!("spacing={interval}"),
            format!("duration={duration}"),
        ];
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let share = run("block-intervals", &changes, 2).stale_share;
        assert!(share > last, "{interval}: {share} is not more than {last}");
        assert!((least..=most).contains(&share), "{interval}: {share}");
        last = share;
    }
}

/// Rosenfeld's table, one block mined before. Nakamoto's numbers are within the tolerance of so few tries, too; they differ a
/// little, for he lets the honest miners take the expected time.
#[test]
fn double_spends_succeed_as_often_as_rosenfeld_and_nakamoto_say() {
    let tries = 150;
    for (share, confirmations) in [(0.1, 1), (0.1, 2), (0.3, 2)] {
        let won = successes(share, confirmations, 0..tries).unwrap();
        let rate = won as f64 / tries as f64;
        let what = format!("q = {share}, n = {confirmations}");
        assert_share(&what, rate, rosenfeld(share, confirmations), tries);
        assert_share(&what, rate, nakamoto(share, confirmations), tries);
    }
}
