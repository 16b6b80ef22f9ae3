//! Settings as `bitcoind` takes them: `-name`, `-name=value`, `-noname`, and lines of `bitcoin.conf`.

use anyhow::{Context, bail};
use std::path::Path;

/// One setting: its name without dashes, and what it is set to. `-name` and `-noname` are `1` and `0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

impl Setting {
    /// A setting, as it is typed without its dashes.
    fn of(text: &str) -> Setting {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match name.strip_prefix("no") {
            Some(name) if is_negated(name) => Setting {
                name: name.to_owned(),
                value: flipped(value).to_owned(),
            },
            _ => Setting {
                name: name.to_owned(),
                value: value.unwrap_or("1").to_owned(),
            },
        }
    }

    /// Whether it is switched on, as Bitcoin Core reads a switch.
    pub(super) fn is_on(&self) -> bool {
        self.value.is_empty() || self.value.parse::<i64>().is_ok_and(|value| value != 0)
    }
}

/// Whether a name that "no" stood before is a name; "nofoo" may be one by itself, but none that anybody gives here.
fn is_negated(name: &str) -> bool {
    !name.is_empty() && name != "de"
}

fn flipped(value: Option<&str>) -> &str {
    match value {
        Some("0") => "1",
        _ => "0",
    }
}

/// What stands on the command line.
///
/// # Errors
///
/// A word that is no setting.
pub(super) fn of_words(words: &[String]) -> anyhow::Result<Vec<Setting>> {
    let settings = words.iter().map(|word| match word.trim_start_matches('-') {
        name if name.len() < word.len() && !name.is_empty() => Ok(Setting::of(name)),
        _ => bail!("{word} is no setting; bitcoind's begin with a dash, as -regtest"),
    });
    settings.collect()
}

/// What stands in a file, of the part that all networks share and of `[regtest]`.
///
/// # Errors
///
/// When it cannot be read, or a line is no setting.
pub(super) fn of_file(path: &Path) -> anyhow::Result<Vec<Setting>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    of_text(&text).with_context(|| format!("{shown}"))
}

fn of_text(text: &str) -> anyhow::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut is_ours = true;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(section) = line.strip_prefix('[') {
            is_ours = section.trim_end_matches(']') == "regtest";
        } else if line.contains('=') {
            let (name, value) = line.split_once('=').unwrap_or_default();
            // A dot names the network, as in regtest.rpcport.
            let name = name.trim();
            let (network, name) = name.split_once('.').unwrap_or(("regtest", name));
            if is_ours && network == "regtest" {
                settings.push(Setting::of(&format!("{name}={}", value.trim())));
            }
        } else if !line.is_empty() {
            bail!("line {number}: {line} is no setting; write name=value");
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn words_are_read_as_bitcoind_reads_them() {
        let words = [
            "-regtest",
            "--rpcport=18500",
            "-nolisten",
            "-node=1",
            "-noserver=0",
        ];
        let told = of_words(&words.map(str::to_owned)).expect("settings");
        let expected = [
            setting("regtest", "1"),
            setting("rpcport", "18500"),
            setting("listen", "0"),
            setting("node", "1"),
            setting("server", "1"),
        ];
        assert_eq!(told, expected);
        assert!(of_words(&["getinfo".to_owned()]).is_err());
    }

    #[test]
    fn a_file_counts_as_far_as_it_is_for_regtest() {
        let text = "txindex=1 # all\nmain.rpcport=1\nregtest.rpcport=2\n[regtest]\nrest = 1\n[signet]\nrest=0\n";
        let told = of_text(text).expect("settings");
        let expected = [
            setting("txindex", "1"),
            setting("rpcport", "2"),
            setting("rest", "1"),
        ];
        assert_eq!(told, expected);
        assert!(of_text("what\n").is_err());
    }
}
