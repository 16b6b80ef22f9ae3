//! What `--log` may say. A filter takes every word for the name of a part, so a slip of the pen would silence a node.

use anyhow::bail;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Our crates, whose modules are parts as well, and what the libraries below them are called.
const PARTS: [&str; 14] = [
    "chain",
    "p2p",
    "miner",
    "node",
    "node_core",
    "node_host",
    "node_api",
    "node_stratum",
    "log",
    "libp2p",
    "redb",
    "axum",
    "hyper",
    "yamux",
];

/// Looks whether `text` is a list of levels and `PART=LEVEL`s of parts that there are.
///
/// # Errors
///
/// Names the word that is wrong.
pub(super) fn check(text: &str) -> anyhow::Result<()> {
    for word in text.split(',') {
        let (part, level) = match word.split_once('=') {
            Some((part, level)) => (Some(part), level),
            None => (None, word),
        };
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            bail!(
                "--log {text}: {level:?} is not a level; write error, warn, info, debug or trace, or by part as in info,chain=debug"
            );
        }
        let known = |part: &str| {
            PARTS.contains(&part.split("::").next().unwrap_or(part)) || part.starts_with("libp2p_")
        };
        if let Some(part) = part.filter(|part| !known(part)) {
            bail!(
                "--log {text}: there is no part {part:?}; parts are chain, p2p, miner, node, node_core, node_host, node_api, node_stratum and libp2p"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_parts_are_known_from_slips() {
        for good in [
            "info",
            "WARN",
            "info,chain=debug",
            "off,p2p::sync=trace",
            "info,libp2p_swarm=warn",
        ] {
            check(good).expect(good);
        }
        for (bad, named) in [
            ("foo", "foo"),
            ("", "\"\""),
            ("info,chian=debug", "chian"),
            ("chain=loud", "loud"),
            ("info,", "\"\""),
        ] {
            let error = check(bad).expect_err(bad).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
