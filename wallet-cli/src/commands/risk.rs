//! `risk`: how likely a payment is taken back although it has some confirmations.

use anyhow::bail;
use serde_json::json;

use super::show;
use crate::cli::CommonArgs;

/// More confirmations than this are not worth a line.
const MAX_CONFIRMATIONS: u32 = 500;

pub(crate) fn risk(common: &CommonArgs, share: f64, confirmations: u32) -> anyhow::Result<()> {
    if !(0.0..0.5).contains(&share) {
        bail!("an attacker with a share of {share} wins in the end or is none; use 0 to below 0.5");
    }
    if !(1..=MAX_CONFIRMATIONS).contains(&confirmations) {
        bail!("{confirmations} confirmations are out of range; use 1 to {MAX_CONFIRMATIONS}");
    }
    let rows: Vec<(u32, f64)> = (1..=confirmations)
        .map(|count| (count, success(share, count)))
        .collect();
    let enough = (1..=MAX_CONFIRMATIONS).find(|count| success(share, *count) < 0.001);
    let mut text =
        format!("An attacker with {share} of all hash power takes a payment back with\n");
    for (count, chance) in &rows {
        text += &format!("{count:>4} confirmations  {:>8.3}%\n", chance * 100.0);
    }
    if let Some(count) = enough {
        text += &format!("Below 0.1% from {count} confirmations on.");
    }
    let table: Vec<_> = rows
        .iter()
        .map(|(count, chance)| json!({ "confirmations": count, "chance": chance }))
        .collect();
    show(
        common,
        &json!({ "share": share, "table": table, "below_a_thousandth_from": enough }),
        text.trim_end(),
    )?;
    Ok(())
}

/// The chance of a double spend after `n` confirmations by an attacker with the share `q` below one half, who has one
/// block mined in advance: M. Rosenfeld, "Analysis of Hashrate-Based Double Spending" (arXiv 1402.2009),
/// `1 - sum over m = 0..n of C(m+n-1, m) (p^n q^m - p^m q^n)`.
fn success(q: f64, n: u32) -> f64 {
    let p = 1.0 - q;
    let power = |base: f64| base.powi(n.cast_signed());
    let (mut honest, mut attacker) = (power(p), power(q));
    let mut sum = 0.0;
    for m in 0..=n {
        sum += honest - attacker;
        // From C(m+n-1, m) to C(m+n, m+1).
        let step = f64::from(m + n) / f64::from(m + 1);
        honest *= step * q;
        attacker *= step * p;
    }
    (1.0 - sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Percent for one to six confirmations, as the paper's table has them.
    #[test]
    fn the_table_of_the_paper() {
        for (share, table) in [
            (0.02, [4.0, 0.237, 0.016, 0.001, 0.0, 0.0]),
            (0.1, [20.0, 5.6, 1.712, 0.546, 0.178, 0.059]),
            (0.2, [40.0, 20.8, 11.584, 6.669, 3.916, 2.331]),
            (0.3, [60.0, 43.2, 32.616, 25.207, 19.762, 15.645]),
            (0.4, [80.0, 70.4, 63.488, 57.958, 53.314, 49.300]),
        ] {
            for (n, expected) in (1..).zip(table) {
                let found = success(share, n) * 100.0;
                assert!((found - expected).abs() < 0.000_6, "{share} {n}: {found}");
            }
        }
    }

    #[test]
    fn confirmations_for_less_than_a_thousandth() {
        for (share, expected) in [(0.1, 6), (0.2, 13), (0.3, 32), (0.4, 133)] {
            assert_eq!(
                (1..500).find(|n| success(share, *n) < 0.001),
                Some(expected)
            );
        }
    }
}
