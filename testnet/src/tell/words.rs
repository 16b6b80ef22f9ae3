//! Numbers and lists as people read them.

use bitcoin::{Amount, BlockHash};

use crate::record::Position;

/// `412 us`, `87 ms`, `3.42 s`, `12 m 5 s`, `2 h 14 m`.
pub(crate) fn time(us: u64) -> String {
    let secs = us / 1_000_000;
    match us {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{:.2} s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{} m {} s", secs / 60, secs % 60),
        3_600_000_000..86_400_000_000 => format!("{} h {} m", secs / 3_600, secs / 60 % 60),
        _ => format!("{} d {} h", secs / 86_400, secs / 3_600 % 24),
    }
}

/// `1 block`, `7 blocks`.
pub(crate) fn count(number: impl Into<u64>, one: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        several => format!("{several} {one}s"),
    }
}

/// `node 3`, `nodes 0, 1, 2`.
pub(crate) fn nodes(nodes: &[usize]) -> String {
    match nodes {
        [one] => format!("node {one}"),
        _ => format!("nodes {}", ranges(nodes)),
    }
}

/// `0-3, 7`: for nodes in order.
pub(crate) fn ranges(nodes: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for node in nodes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *node => *last = *node,
            _ => parts.push((*node, *node)),
        }
    }
    let part = |(first, last): (usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    let parts: Vec<String> = parts.into_iter().map(part).collect();
    parts.join(", ")
}

/// The end of a hash: its beginning is zeros.
pub(crate) fn short(hash: &BlockHash) -> String {
    let text = hash.to_string();
    text[text.len() - 8..].to_owned()
}

/// `8a1f03c2 at height 12`.
pub(crate) fn place(at: &Position) -> String {
    format!("{} at height {}", short(&at.hash), at.height)
}

/// `1.31 M hashes`.
pub(crate) fn hashes(work: u128) -> String {
    let value = work as f64;
    match work {
        0..10_000 => format!("{work} hashes"),
        10_000..1_000_000 => format!("{:.1} k hashes", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M hashes", value / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.2} G hashes", value / 1e9),
        _ => format!("{:.2} T hashes", value / 1e12),
    }
}

/// `50 BTC`.
pub(crate) fn amount(sat: u64) -> String {
    Amount::from_sat(sat).to_string()
}

/// `9.2 kB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_human_units() {
        let times = [
            0,
            7,
            87_999,
            3_424_000,
            725_000_000,
            8_040_000_000,
            93_600_000_000,
        ];
        let told: Vec<String> = times.into_iter().map(time).collect();
        assert_eq!(
            told,
            [
                "0 s", "7 us", "87 ms", "3.42 s", "12 m 5 s", "2 h 14 m", "1 d 2 h"
            ]
        );
        assert_eq!(nodes(&[3]), "node 3");
        assert_eq!(nodes(&[0, 1, 2, 3, 5, 6, 9]), "nodes 0-3, 5, 6, 9");
        assert_eq!(
            (count(1u32, "block"), count(0u32, "block")),
            ("1 block".into(), "0 blocks".into())
        );
        assert_eq!(
            (hashes(2), hashes(1_310_000)),
            ("2 hashes".into(), "1.31 M hashes".into())
        );
        assert_eq!(
            (bytes(999), bytes(12_345)),
            ("999 B".into(), "12.3 kB".into())
        );
    }
}
