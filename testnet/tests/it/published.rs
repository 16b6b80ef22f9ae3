//! Published results that the simulator has to meet.
//!
//! Sizes are small so that the tests are quick without optimisation; docs/TESTNET.md has the larger runs.

use testnet::scenario::Scenario;
use testnet::sim::attack::double_spend;
use testnet::sim::simulate;

/// Share of stale blocks among `nodes` equal miners, all with the same delay to each other, at `x` = delay / interval.
fn stale_share(nodes: usize, x: f64, blocks: u64, seed: u64) -> f64 {
    let interval_s = 10;
    let delay_ms = x * interval_s as f64 * 1_000.0;
    let text = format!(
        r#"
        name = "stale"
        nodes = {nodes}
        topology = "complete"
        duration = "{}s"
        spacing = "{interval_s}s"
        link.delay_ms = {}
        "#,
        blocks * interval_s,
        delay_ms.round()
    );
    let run = simulate(&Scenario::from_toml(&text).unwrap(), seed, None).unwrap();
    assert_eq!(run.violations, []);
    run.summary.stale_share
}

/// Decker and Wattenhofer's and Sompolinsky and Zohar's bounds, and an event simulation of four equal miners: at
/// x = 1/60, 0.1 the stale share is 1.25%, 6.76%.
#[test]
fn stale_blocks_of_four_equal_miners() {
    for (x, expected) in [(1.0 / 60.0, 0.0125), (0.1, 0.0676)] {
        let blocks = 1_500;
        let share = stale_share(4, x, blocks, 11);
        // Four standard deviations of a binomial count.
        let tolerance = 4.0 * (expected * (1.0 - expected) / blocks as f64).sqrt();
        assert!(
            (share - expected).abs() < tolerance,
            "x = {x}: {share}, expected {expected}"
        );
    }
}

/// Rosenfeld's table (arXiv 1402.2009), one block mined before: 20% with q = 0.1 and one confirmation, 43.2% with q = 0.3
/// and two.
#[test]
fn double_spends_succeed_as_often_as_rosenfeld_says() {
    let tries = 150;
    for (share, confirmations, expected) in [(0.1, 1, 0.20), (0.3, 2, 0.432)] {
        let won = (0..tries)
            .filter(|seed| double_spend(share, confirmations, *seed).unwrap())
            .count();
        let rate = won as f64 / tries as f64;
        let tolerance = 4.0 * f64::sqrt(expected * (1.0 - expected) / tries as f64);
        assert!(
            (rate - expected).abs() < tolerance,
            "q = {share}, n = {confirmations}: {rate}, expected {expected}"
        );
    }
}
